from django.db import migrations, models


def seed_plan(apps, schema_editor):
    limits = {"rank": 0, "concurrent": 1, "requests_per_minute": 15, "storage_bytes": 256 * 1024**2}
    plans = apps.get_model("accounts", "Plan").objects.using(schema_editor.connection.alias)
    plans.get_or_create(name="guest", defaults=limits)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0011_closing")]

    operations = [
        migrations.AddField("user", "is_guest", models.BooleanField(default=False)),
        migrations.CreateModel(
            name="GuestUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=30)),
                ("window_start", models.DateTimeField()),
                ("used", models.PositiveBigIntegerField(default=0)),
                ("network", models.CharField(max_length=32)),
            ],
            options={
                "indexes": [models.Index(fields=["window_start"], name="guest_usage_by_window")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("network", "name", "window_start"), name="guest_usage_one_row_a_window"
                    )
                ],
            },
        ),
        migrations.AlterField(
            "ledgeraccount",
            "kind",
            models.CharField(
                choices=[
                    ("wallet", "Wallet"),
                    ("grant", "Grant"),
                    ("revenue", "Revenue"),
                    ("expense", "Expense"),
                    ("provider", "Provider"),
                    ("external", "External"),
                    ("suspense", "Suspense"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunPython(seed_plan, migrations.RunPython.noop, elidable=False),
    ]
