"""A placeholder price for short videos: the articles show them and name none."""

from datetime import UTC, datetime

from django.db import migrations

# Not a frozen copy, as in 0002_first_prices.
from generations.catalog import FIRST_CLIP_PRICES

START = datetime(2026, 1, 1, tzinfo=UTC)


def add_prices(apps, schema_editor):
    price = apps.get_model("accounts", "Price")
    for row in FIRST_CLIP_PRICES:
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
    dependencies = [("generations", "0004_several_pictures")]

    # Prices are append-only: going back leaves them.
    operations = [migrations.RunPython(add_prices, migrations.RunPython.noop)]
