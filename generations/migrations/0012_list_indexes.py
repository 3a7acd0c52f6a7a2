from django.db import migrations, models


class Migration(migrations.Migration):
    """An index for each filter of the history, in the order of the list."""

    dependencies = [("generations", "0011_sources_of_pictures")]

    operations = [
        migrations.AddIndex("generation", models.Index(fields=["user", field, "-id"], name=f"generation_{field}_of_user"))
        for field in ("status", "model", "kind")
    ]
