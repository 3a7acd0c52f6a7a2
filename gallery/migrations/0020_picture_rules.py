"""What was refused for some categories is not brought along by anybody: the rules, and what they have refused."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


# In how many bits of 64 a copy differs at most; other pictures differ in about 32 (perceptual.py).
DISTANCE = "~ 4"
RULES = [
    ("refused_csam", "Pictures refused as sexual abuse of children", "csam"),
    ("refused_minor_safety", "Pictures refused for the safety of minors", "minor_safety"),
]


def seed(apps, schema_editor):
    Rule = apps.get_model("gallery", "Rule")
    Rule.objects.using(schema_editor.connection.alias).bulk_create(
        Rule(
            version=1,
            note="Came with the software",
            code=code,
            label=label,
            kind="picture",
            body=DISTANCE,
            action="block",
            category=category,
            risk=100,
            is_enabled=True,
        )
        for code, label, category in RULES
    )


def let_operators_look(apps, schema_editor):
    """Operators of an installation that is older see the hits; of a new one accounts.operators makes the group."""

    def rows(app_label, name):
        return apps.get_model(app_label, name).objects.using(schema_editor.connection.alias)

    group = rows("auth", "Group").filter(name="Operators").first()
    if group is None:
        return
    content_type, _ = rows("contenttypes", "ContentType").get_or_create(app_label="gallery", model="picturehit")
    permission, _ = rows("auth", "Permission").get_or_create(
        content_type=content_type, codename="view_picturehit", defaults={"name": "Can view picture hit"}
    )
    group.permissions.add(permission)


class Migration(migrations.Migration):

    dependencies = [
        ('gallery', '0019_resemblance'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='rule',
            name='kind',
            field=models.CharField(choices=[('words', 'words'), ('near', 'close words'), ('pattern', 'pattern'), ('detector', 'personal data'), ('picture', 'pictures that were refused')], max_length=10),
        ),
        migrations.CreateModel(
            name='PictureHit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('door', models.CharField(max_length=10)),
                ('rule', models.CharField(max_length=40)),
                ('rule_version', models.PositiveIntegerField()),
                ('category', models.CharField(max_length=30)),
                ('distance', models.PositiveSmallIntegerField()),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False)),
                ('decision', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='picture_hits', to='gallery.reviewstep')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='picture_hits', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunPython(let_operators_look, migrations.RunPython.noop),
    ]
