from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gallery", "0012_purged")]

    operations = [
        migrations.AddIndex(
            "image",
            models.Index(
                fields=["trashed_at", "id"],
                condition=models.Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="image_in_trash",
            ),
        ),
    ]
