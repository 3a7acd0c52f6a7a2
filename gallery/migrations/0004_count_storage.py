from datetime import UTC, datetime

from django.db import migrations
from django.db.models import Sum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count_storage(apps, schema_editor):
    """What everybody keeps already; from here on it is counted with each picture."""
    alias = schema_editor.connection.alias
    kept = apps.get_model("gallery", "Image").objects.using(alias).order_by().values("owner_id")
    rows = kept.annotate(own=Sum("blob__byte_size"), posters=Sum("blob__poster__byte_size"))
    usage = apps.get_model("accounts", "Usage").objects.using(alias)
    for row in rows.iterator(chunk_size=2000):
        usage.update_or_create(
            user_id=row["owner_id"],
            name="storage_bytes",
            window_start=EPOCH,
            defaults={"used": row["own"] + (row["posters"] or 0)},
        )


class Migration(migrations.Migration):
    dependencies = [("gallery", "0003_clips"), ("accounts", "0007_limits")]

    operations = [migrations.RunPython(count_storage, migrations.RunPython.noop)]
