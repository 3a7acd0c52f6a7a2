"""What pictures look like. Those that are there have their hash from rebuildrenditions; their digest is known now."""

import django.db.models.deletion
from django.db import migrations, models

BATCH = 500


def add_digests(apps, schema_editor):
    """What has been in the review is found again by its bytes."""
    reviews = apps.get_model("gallery", "Review").objects.filter(image__blob__isnull=False).order_by("pk")
    resemblance = apps.get_model("gallery", "Resemblance")
    batch = []
    for review, sha256 in reviews.values_list("pk", "image__blob__sha256").iterator(chunk_size=BATCH):
        batch.append(resemblance(review_id=review, sha256=sha256))
        if len(batch) == BATCH:
            resemblance.objects.bulk_create(batch)
            batch = []
    resemblance.objects.bulk_create(batch)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0018_thumbhash'),
    ]

    operations = [
        migrations.AddField(
            model_name='blob',
            name='perceptual_hash',
            field=models.CharField(blank=True, max_length=16, null=True),
        ),
        migrations.CreateModel(
            name='Resemblance',
            fields=[
                ('review', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='resemblance', serialize=False, to='gallery.review')),
                ('sha256', models.CharField(db_index=True, max_length=64)),
                ('perceptual_hash', models.CharField(blank=True, max_length=16)),
                ('band_0', models.PositiveIntegerField(blank=True, null=True)),
                ('band_1', models.PositiveIntegerField(blank=True, null=True)),
                ('band_2', models.PositiveIntegerField(blank=True, null=True)),
                ('band_3', models.PositiveIntegerField(blank=True, null=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('band_0__isnull', False)), fields=['band_0'], name='resemblance_band_0'), models.Index(condition=models.Q(('band_1__isnull', False)), fields=['band_1'], name='resemblance_band_1'), models.Index(condition=models.Q(('band_2__isnull', False)), fields=['band_2'], name='resemblance_band_2'), models.Index(condition=models.Q(('band_3__isnull', False)), fields=['band_3'], name='resemblance_band_3')],
            },
        ),
        migrations.RunPython(add_digests, migrations.RunPython.noop),
    ]
