"""Limits by month and of storage, plans with rank and credit, group plans, limits of keys and of the whole site."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

GB = 1024**3
PLANS = {
    "free": {"rank": 10, "storage_bytes": 2 * GB},
    "standard": {"rank": 20, "storage_bytes": 50 * GB},
    "unlimited": {"rank": 30, "storage_bytes": None},
}


def complete_plans(apps, schema_editor):
    """What the seeded plans have beside the limits that they began with; an operator's own plans keep no limit."""
    alias = schema_editor.connection.alias
    for name, columns in PLANS.items():
        apps.get_model("accounts", "Plan").objects.using(alias).filter(name=name).update(**columns)
    apps.get_model("accounts", "SiteLimits").objects.using(alias).get_or_create(pk=1)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_key_budgets_and_approvals'),
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='LimitChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('subject', models.CharField(db_index=True, max_length=60)),
                ('actor', models.CharField(max_length=40)),
                ('reason', models.CharField(blank=True, max_length=200)),
                ('before', models.JSONField()),
                ('after', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
        ),
        migrations.AddField(
            model_name='apikey',
            name='concurrent',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='images_per_day',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='images_per_month',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='requests_per_minute',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='plan',
            name='images_per_month',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='plan',
            name='monthly_credit_micros',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='plan',
            name='rank',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='plan',
            name='storage_bytes',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='quota',
            name='expires_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='quota',
            name='images_per_month',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='quota',
            name='reason',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='quota',
            name='set_by',
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name='quota',
            name='storage_bytes',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='user',
            name='credited_month',
            field=models.CharField(blank=True, default='', max_length=7),
        ),
        migrations.AlterField(
            model_name='usage',
            name='used',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.CreateModel(
            name='GroupPlan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('group', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='group_plan', to='auth.group')),
                ('plan', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='group_plans', to='accounts.plan')),
            ],
        ),
        migrations.CreateModel(
            name='SiteLimits',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('images_per_day', models.PositiveIntegerField(blank=True, null=True)),
                ('images_per_month', models.PositiveIntegerField(blank=True, null=True)),
                ('concurrent', models.PositiveIntegerField(blank=True, null=True)),
                ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True)),
                ('storage_bytes', models.PositiveBigIntegerField(blank=True, null=True)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name_plural': 'site limits',
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='site_limits_one_row')],
            },
        ),
        migrations.CreateModel(
            name='SiteUsage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=30)),
                ('window_start', models.DateTimeField()),
                ('used', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('name', 'window_start'), name='site_usage_one_row_a_window')],
            },
        ),
        migrations.CreateModel(
            name='StorageHold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('byte_size', models.PositiveBigIntegerField()),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='storage_holds', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='KeyUsage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=30)),
                ('window_start', models.DateTimeField()),
                ('used', models.PositiveBigIntegerField(default=0)),
                ('api_key', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='usage', to='accounts.apikey')),
            ],
            options={
                'indexes': [models.Index(fields=['window_start'], name='key_usage_by_window')],
                'constraints': [models.UniqueConstraint(fields=('api_key', 'name', 'window_start'), name='key_usage_one_row_a_window')],
            },
        ),
        migrations.RunPython(complete_plans, migrations.RunPython.noop),
    ]
