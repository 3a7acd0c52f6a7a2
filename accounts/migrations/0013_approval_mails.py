from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0012_guests")]

    operations = [migrations.AddField("user", "hears_of_approvals", models.BooleanField(default=True))]
