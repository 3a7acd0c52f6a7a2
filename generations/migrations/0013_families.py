"""What each generation was begun from; those that worked on a picture have said so already."""

import django.db.models.deletion
from django.db import migrations, models

BATCH = 500


def add_parents_of_edits(apps, schema_editor):
    """The first ones first, so that a parent knows its family when its children ask."""
    generations, outputs = apps.get_model("generations", "Generation"), apps.get_model("generations", "Output")
    for edit in generations.objects.filter(spec__has_key="edit_of").order_by("pk").iterator(chunk_size=BATCH):
        rows = outputs.objects.filter(image__public_id=edit.spec["edit_of"], generation__user=edit.user_id)
        found = rows.values_list("generation", "generation__family", "image").first()
        if found:
            parent, family, image = found
            generations.objects.filter(pk=edit.pk).update(parent=parent, family=family or parent, parent_image=image)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0015_decision_notices'),
        ('generations', '0012_list_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='generation',
            name='family',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='descendants', to='generations.generation'),
        ),
        migrations.AddField(
            model_name='generation',
            name='parent',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='children', to='generations.generation'),
        ),
        migrations.AddField(
            model_name='generation',
            name='parent_image',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='gallery.image'),
        ),
        migrations.RunPython(add_parents_of_edits, migrations.RunPython.noop),
    ]
