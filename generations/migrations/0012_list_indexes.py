import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """An index for each filter of the history, in the order of the list; one that the list of all replaces goes."""

    dependencies = [
        ("generations", "0011_sources_of_pictures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            "generation",
            "user",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="generations",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        *(
            migrations.AddIndex(
                "generation", models.Index(fields=["user", field, "-id"], name=f"generation_{field}_of_user")
            )
            for field in ("status", "model", "kind")
        ),
    ]
