from django.db import migrations

PLANS = {
    "free": {"images_per_day": 40, "concurrent": 4, "requests_per_minute": 30},
    "standard": {"images_per_day": 500, "concurrent": 16, "requests_per_minute": 120},
    "unlimited": {"images_per_day": None, "concurrent": None, "requests_per_minute": None},
}


def seed_plans(apps, schema_editor):
    plan = apps.get_model("accounts", "Plan")
    for name, limits in PLANS.items():
        plan.objects.using(schema_editor.connection.alias).get_or_create(name=name, defaults=limits)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(seed_plans, migrations.RunPython.noop)]
