from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generations", "0002_first_prices")]

    operations = [migrations.AddField("attempt", "raw_answer", models.TextField(blank=True, default=""))]
