from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gallery", "0013_purge_of_the_trash")]

    operations = [migrations.AddField("image", "sources", models.JSONField(blank=True, default=list))]
