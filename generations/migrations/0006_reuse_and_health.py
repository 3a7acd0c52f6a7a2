"""Reuse, verdicts on uncertain costs, and the columns and indexes that health figures are read from."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Not a frozen copy: a likeness is worth nothing if it is not made as later ones are.
from generations.spec import GenerationSpec

BATCH = 500


def add_likenesses(apps, schema_editor):
    """Stored wishes can be offered again too."""
    model = apps.get_model("generations", "Generation")
    batch = []
    for generation in model.objects.filter(likeness="").only("pk", "spec").iterator(chunk_size=BATCH):
        generation.likeness = GenerationSpec.from_canonical(generation.spec).likeness
        batch.append(generation)
        if len(batch) == BATCH:
            model.objects.bulk_update(batch, ["likeness"])
            batch = []
    model.objects.bulk_update(batch, ["likeness"])


def open_uncertain_costs(apps, schema_editor):
    uncertain = apps.get_model("generations", "Attempt").objects.filter(is_paid=True, cost_micros__gt=0)
    uncertain.exclude(outcome__in=("ok", "partial")).update(cost_verdict="open")


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_confirmed_addresses'),
        ('generations', '0005_video_price'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='attempt',
            name='cost_verdict',
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name='attempt',
            name='picture_count',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='attempt',
            name='shape_count',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='attempt',
            name='size_count',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='generation',
            name='likeness',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='generation',
            name='reused_from',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='reused_by', to='generations.generation'),
        ),
        migrations.AlterField(
            model_name='generation',
            name='hold',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.transfer'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['sent_at', 'upstream', 'upstream_model', 'outcome', 'elapsed_ms', 'picture_count', 'shape_count', 'size_count'], name='attempt_health'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('outcome', 'sent')), fields=['upstream', 'upstream_model'], name='attempt_in_flight'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('cost_verdict', 'open')), fields=['sent_at'], name='attempt_of_uncertain_cost'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(fields=['user', 'likeness'], name='generation_alike_of_user'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('cost_verdict__in', ['', 'open', 'billed', 'not_billed'])), name='attempt_verdict_is_known'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('hold__isnull', False), ('reused_from__isnull', True)), models.Q(('charged_micros', 0), ('hold__isnull', True), ('quoted_micros', 0), ('reused_from__isnull', False)), _connector='OR'), name='generation_paid_for_or_reused'),
        ),
        migrations.RunPython(add_likenesses, migrations.RunPython.noop),
        migrations.RunPython(open_uncertain_costs, migrations.RunPython.noop),
    ]
