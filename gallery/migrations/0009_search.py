import django.db.models.deletion
from django.db import migrations, models

import gallery.models.search
from gallery import search


def create(apps, schema_editor):
    search.create_index(schema_editor.connection)
    images = apps.get_model("gallery", "Image").objects.using(schema_editor.connection.alias).order_by("pk")
    search.fill_index(images, using=schema_editor.connection)


def drop(apps, schema_editor):
    search.drop_index(schema_editor.connection)


class Migration(migrations.Migration):
    """The words of the pictures that are there already, too; `gallery.search` keeps them from then on."""

    dependencies = [("gallery", "0008_screening")]

    operations = [
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                (
                    "image",
                    models.OneToOneField(
                        db_column="rowid",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="search_entry",
                        serialize=False,
                        to="gallery.image",
                    ),
                ),
                ("document", gallery.models.search.Document()),
            ],
            options={"db_table": "gallery_search", "managed": False},
        ),
        migrations.RunPython(create, drop),
    ]
