import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gallery", "0002_trash")]

    operations = [
        migrations.AddField("blob", "duration_ms", models.PositiveIntegerField(blank=True, null=True)),
        migrations.AddField(
            "blob",
            "poster",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="clips",
                to="gallery.blob",
            ),
        ),
    ]
