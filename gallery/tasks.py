"""The wake-ups of the gallery: each carries an id, may come twice and may be lost."""

import structlog
from celery import shared_task

from accounts.errors import ServiceError
from gallery import renditions
from gallery.models import Blob
from gallery.review import notices

log = structlog.get_logger(__name__)


@shared_task(name="gallery.send_notices", lane="renditions", is_wake_up=True)
def send_notices() -> None:
    """Mail what owners are to be told of decisions; the sweeper sends this message as long as there is any."""
    notices.send_due()


@shared_task(name="gallery.make_renditions", lane="renditions")
def make_renditions(blob_id: int) -> None:
    """Make the small copies of a blob ahead of the first request for them."""
    blob = Blob.objects.filter(pk=blob_id).first()
    if blob is None:
        return
    try:
        renditions.make_eager(blob)
    except ServiceError as error:  # the next request tries again, after a pause
        log.warning("renditions_not_made", sha256=blob.sha256, code=error.code)
