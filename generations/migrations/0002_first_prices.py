"""The first prices: those of the articles, and placeholders where they name none."""

from datetime import UTC, datetime

from django.db import migrations

# Not a frozen copy: on a new instance the catalogue's models all have a price, on an old one the rows are there.
from generations.catalog import FIRST_PRICES

START = datetime(2026, 1, 1, tzinfo=UTC)


def add_prices(apps, schema_editor):
    price = apps.get_model("accounts", "Price")
    for row in FIRST_PRICES:
        price.objects.get_or_create(
            model=row.model,
            size=row.size,
            unit=row.unit,
            valid_from=START,
            defaults={
                "amount_micros": row.amount_micros,
                "cost_micros": row.cost_micros,
                "comparison_micros": row.comparison_micros,
                "is_placeholder": row.placeholder,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("generations", "0001_initial"), ("accounts", "0001_initial")]

    # Prices are append-only: going back leaves them.
    operations = [migrations.RunPython(add_prices, migrations.RunPython.noop)]
