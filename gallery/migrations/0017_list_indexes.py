import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

from gallery import search

KEPT = Q(trashed_at__isnull=True)
QUEUED = Q(queued_at__isnull=False)


def name_spans(apps, schema_editor):
    search.name_spans(schema_editor.connection)


def index(model, name, *fields, condition=None):
    return migrations.AddIndex(model, models.Index(fields=fields, condition=condition, name=name))


def published(field):
    fields = [field, "-published_order"]
    return index("image", f"image_published_{field}", *fields, condition=Q(published_order__isnull=False))


class Migration(migrations.Migration):
    """An index for each list that lacked one, and for frequent words of a search."""

    dependencies = [("gallery", "0016_image_shape"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.RunPython(name_spans, migrations.RunPython.noop),
        migrations.RemoveIndex("image", "image_trashed_of_owner"),
        index(
            "image",
            "image_trashed_of_owner",
            *("owner", "-trashed_at", "-id"),
            condition=Q(trashed_at__isnull=False, purged_at__isnull=True),
        ),
        index("image", "image_shape_of_owner", *("owner", "shape", "-id"), condition=KEPT),
        *(
            index("image", f"image_{name}_of_owner", *("owner", "-id"), condition=condition & KEPT)
            for name, condition in {
                "waiting": Q(review_status__in=("pending", "escalated", "reported", "appealed")),
                "refused": Q(review_status__in=("rejected", "quarantined")),
            }.items()
        ),
        *(published(field) for field in ("model", "kind", "shape")),
        index("review", "review_waiting_by_age", "id", condition=QUEUED),
        index("review", "review_waiting_of_source", "source", "id", condition=QUEUED),
        # The new index begins with the owner, too.
        migrations.AlterField(
            "statement",
            "owner",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="statements",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        index("statement", "statement_of_owner_newest", "owner", "-id"),
    ]
