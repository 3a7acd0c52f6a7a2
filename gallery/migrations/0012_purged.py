import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gallery", "0011_sharing")]

    operations = [
        migrations.AlterField(
            "image",
            "blob",
            models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="images", to="gallery.blob"
            ),
        ),
        migrations.AddField("image", "purged_at", models.DateTimeField(blank=True, editable=False, null=True)),
    ]
