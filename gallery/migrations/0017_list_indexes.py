from django.db import migrations, models
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When

from gallery import search

SQUARE = 1.02


def name_shapes(apps, schema_editor):
    alias = schema_editor.connection.alias
    blobs = apps.get_model("gallery", "Blob").objects.using(alias).filter(pk=OuterRef("blob_id"))
    shape = Case(
        When(width__gt=F("height") * SQUARE, then=Value("wide")),
        When(height__gt=F("width") * SQUARE, then=Value("tall")),
        default=Value("square"),
        output_field=models.CharField(),
    )
    images = apps.get_model("gallery", "Image").objects.using(alias).filter(blob__isnull=False)
    images.update(shape=Subquery(blobs.annotate(shape=shape).values("shape")))


def name_spans(apps, schema_editor):
    search.name_spans(schema_editor.connection)


def kept(name, field):
    index = models.Index(fields=["owner", field, "-id"], condition=Q(trashed_at__isnull=True), name=name)
    return migrations.AddIndex("image", index)


def published(name, field):
    fields = [field, "-published_order"]
    return migrations.AddIndex("image", models.Index(fields=fields, condition=Q(published_order__isnull=False), name=name))


def waiting(name, *fields):
    return migrations.AddIndex(
        "review", models.Index(fields=[*fields, "id"], condition=Q(queued_at__isnull=False), name=name)
    )


class Migration(migrations.Migration):
    """Shapes and spans of the pictures that are there, and an index for each list that lacked one."""

    dependencies = [("gallery", "0016_list_columns")]

    operations = [
        migrations.RunPython(name_shapes, migrations.RunPython.noop),
        migrations.RunPython(name_spans, migrations.RunPython.noop),
        migrations.RemoveIndex("image", "image_trashed_of_owner"),
        migrations.AddIndex(
            "image",
            models.Index(
                fields=["owner", "-trashed_at", "-id"],
                condition=Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="image_trashed_of_owner",
            ),
        ),
        kept("image_standing_of_owner", "standing"),
        kept("image_shape_of_owner", "shape"),
        published("image_published_model", "model"),
        published("image_published_kind", "kind"),
        published("image_published_shape", "shape"),
        waiting("review_waiting_by_age"),
        waiting("review_waiting_of_source", "source"),
        migrations.AddIndex("statement", models.Index(fields=["owner", "-id"], name="statement_of_owner_newest")),
    ]
