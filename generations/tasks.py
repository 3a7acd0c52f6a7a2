"""The wake-ups: each says that there is work; the rows in the database say what it is, and turns.py whose turn."""

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from generations import account_exports, leases, pipeline
from generations.leases import LeaseLost
from generations.models import Attempt, Generation

log = structlog.get_logger(__name__)

# After an error of our own (a full disk, a bucket or a database that went away) the spooled answer is still there to
# be adopted, however long it takes: the deadline ends no job whose answer has come. Each try decodes it again, so they
# grow rare.
REPAIR_DELAY_S = 5.0
MAX_REPAIR_DELAY_S = 60.0


@shared_task(name="generations.run_generation", lane="generations", is_wake_up=True)
def run_generation(generation_id: int) -> None:
    """There is work: take the generation whose turn it is, whichever one the message was sent for, and work on it.

    Safe to be called any number of times, at once and by many workers.
    """
    lease = leases.claim_next()
    if lease is None:
        return
    _work(lease)
    if not settings.CELERY_BROKER_URL:
        # A lane keeps no more messages than it has threads; on a broker there is one for each job.
        run_generation.delay(generation_id)


@shared_task(name="generations.make_export", lane="renditions")
def make_export(export_id: int) -> None:
    """Make the ZIP of somebody's account, if it waits still; one that failed waits for the sweeper's next message."""
    account_exports.make(export_id)


def work_on(generation_id: int) -> None:
    """Work on this very generation if nobody else does, out of turn: its owner lends it the processor."""
    lease = leases.claim(generation_id)
    if lease is not None:
        _work(lease)


def _work(lease: leases.Lease) -> None:
    structlog.contextvars.bind_contextvars(generation=lease.generation_id, fence=lease.fence)
    try:
        pipeline.execute(lease)
    except LeaseLost:
        log.warning("lease_lost")
    except Exception:
        log.exception("generation_interrupted")
        _park_for_repair(lease)
    finally:
        structlog.contextvars.unbind_contextvars("generation", "fence")
    wake_if_parked(lease.generation_id)


def _park_for_repair(lease: leases.Lease) -> None:
    try:
        leases.park(lease, delay_s=_repair_delay_s(lease), stage="recovering")
    except LeaseLost:
        log.warning("lease_lost")


def _repair_delay_s(lease: leases.Lease) -> float:
    open_calls = Attempt.objects.filter(generation=lease.generation_id, outcome=Attempt.SENT)
    first_sent_at = open_calls.aggregate(first=Min("sent_at"))["first"]
    age_s = (timezone.now() - first_sent_at).total_seconds() if first_sent_at else 0.0
    return min(max(REPAIR_DELAY_S, age_s / 4), MAX_REPAIR_DELAY_S)


def wake_if_parked(generation_id: int) -> None:
    """Send the wake-up for a generation that is to go on later; the sweeper sends it as well if this one is lost."""
    parked = Generation.objects.unfinished().filter(pk=generation_id, lease_owner="").values("next_run_at").first()
    if parked is not None:
        delay_s = max(0.0, (parked["next_run_at"] - timezone.now()).total_seconds())
        run_generation.apply_async((generation_id,), countdown=delay_s)
