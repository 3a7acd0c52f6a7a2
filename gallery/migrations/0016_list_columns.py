from django.db import migrations, models
from django.db.models import Case, Value, When


class Migration(migrations.Migration):
    """What a list is narrowed by is a column of its own, so that an index has it in the order of the list."""

    dependencies = [("gallery", "0015_decision_notices")]

    operations = [
        migrations.AddField("image", "shape", models.CharField(blank=True, default="", editable=False, max_length=6), preserve_default=False),
        migrations.AddField(
            "image",
            "standing",
            models.GeneratedField(
                expression=Case(
                    When(
                        review_status__in=("pending", "escalated", "reported", "appealed"),
                        then=Value("review"),
                    ),
                    When(review_status__in=("rejected", "quarantined"), then=Value("refused")),
                    When(review_status="approved", visibility__in=("unlisted", "public"), then=Value("public")),
                    default=Value(""),
                ),
                output_field=models.CharField(max_length=7),
                db_persist=True,
            ),
        ),
    ]
