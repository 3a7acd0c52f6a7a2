import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


def order_published(apps, schema_editor):
    """What is public already stands in the gallery at the time at which it was made."""
    images = apps.get_model("gallery", "Image").objects.filter(publication_key__isnull=False)
    for image in images.only("pk", "created_at").iterator():
        order = round(image.created_at.timestamp() * 1_000_000) << 12 | image.pk % 4096
        images.filter(pk=image.pk).update(published_order=order)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0010_library'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ShareLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('key_id', models.CharField(max_length=40)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('views', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='image',
            name='discloses_prompt',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='image',
            name='published_order',
            field=models.BigIntegerField(blank=True, editable=False, null=True, unique=True),
        ),
        migrations.AddField(
            model_name='sharelink',
            name='image',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='share_links', to='gallery.image'),
        ),
        migrations.RunPython(order_published, migrations.RunPython.noop),
    ]
