"""Pictures that were made before copy the sources of the searches that are still kept."""

from django.db import migrations


def copy_sources(apps, schema_editor):
    from gallery.sources import keepable

    outputs = apps.get_model("generations", "Output").objects.using(schema_editor.connection.alias)
    images = apps.get_model("gallery", "Image").objects.using(schema_editor.connection.alias)
    grounded = outputs.filter(is_draft=False, attempt__evidence__isnull=False, image__purged_at=None)
    rows = grounded.values_list("image_id", "attempt__evidence__sources")
    for image_id, found in rows.iterator(chunk_size=500):
        if kept := keepable(found):
            images.filter(pk=image_id).update(sources=kept)


class Migration(migrations.Migration):
    dependencies = [("generations", "0010_account_export"), ("gallery", "0014_image_sources")]

    operations = [migrations.RunPython(copy_sources, migrations.RunPython.noop)]
