from django.db import migrations, models
from django.db.models import Case, F, OuterRef, Subquery, Value, When

SQUARE = 1.02


def name_shapes(apps, schema_editor):
    alias = schema_editor.connection.alias
    shape = Case(
        When(width__gt=F("height") * SQUARE, then=Value("wide")),
        When(height__gt=F("width") * SQUARE, then=Value("tall")),
        default=Value("square"),
        output_field=models.CharField(),
    )
    blobs = apps.get_model("gallery", "Blob").objects.using(alias).filter(pk=OuterRef("blob_id"))
    images = apps.get_model("gallery", "Image").objects.using(alias).filter(blob__isnull=False)
    images.update(shape=Subquery(blobs.annotate(named=shape).values("named")))


class Migration(migrations.Migration):
    """The shape of a picture is a column of its own, so that an index has it in the order of the list."""

    dependencies = [("gallery", "0015_decision_notices")]

    operations = [
        migrations.AddField("image", "shape", models.CharField(blank=True, editable=False, max_length=6)),
        migrations.RunPython(name_shapes, migrations.RunPython.noop),
    ]
