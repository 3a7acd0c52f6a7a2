from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_sums_by_index")]

    operations = [
        migrations.AddField("user", "erase_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("user", "closed_at", models.DateTimeField(blank=True, editable=False, null=True)),
        migrations.AddField("user", "erased_at", models.DateTimeField(blank=True, editable=False, null=True)),
        migrations.AddIndex(
            "user",
            models.Index(
                condition=models.Q(("erase_at__isnull", False), ("erased_at__isnull", True)),
                fields=["erase_at"],
                name="user_to_be_erased",
            ),
        ),
    ]
