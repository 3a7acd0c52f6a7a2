"""Finds what a lost message, a killed worker or a passed deadline has left behind. Safe to repeat."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import closed_days, counters, ledger, plans, quotas, signup_credit
from accounts.errors import Conflict
from gallery import erasure as pictures
from gallery import search, storage
from gallery.review import notices
from gallery.services import forget_sources
from gallery.tasks import send_notices
from generations import account_exports, erasure, events, leases, settlement, spool
from generations.leases import LeaseLost
from generations.models import Evidence, Generation, IdempotencyKey, Output, Status
from generations.tasks import make_export, run_generation

log = structlog.get_logger(__name__)

BATCH = 500
IDEMPOTENCY_KEPT = timedelta(days=30)
USAGE_KEPT = timedelta(days=62)
EXPORT_RESENT_AFTER = timedelta(minutes=2)


@dataclass
class Swept:
    leases_expired: int = 0
    woken: int = 0
    timed_out: int = 0
    holds_released: int = 0
    files_removed: int = 0
    rows_pruned: int = 0
    refilled: int = 0
    credits_given: int = 0
    credits_expired: int = 0
    storage_released: int = 0
    exports_removed: int = 0
    accounts_erased: int = 0
    pictures_purged: int = 0
    searches_dropped: int = 0
    words_forgotten: int = 0
    days_closed: int = 0


def sweep(*, resend_after_s: float = 0.0) -> Swept:
    """Everything once; the figures say what was found."""
    swept = sweep_jobs(resend_after_s=resend_after_s)
    swept.holds_released = release_expired_holds()
    swept.files_removed = spool.sweep() + storage.sweep_orphan_temporaries()
    swept.rows_pruned = prune()
    swept.refilled = plans.refill_due()
    swept.credits_given = signup_credit.give_waiting()
    swept.credits_expired = signup_credit.expire_due()
    swept.storage_released = quotas.release_dead_storage(timezone.now())
    quotas.recount_site()
    swept.exports_removed = sweep_exports(timezone.now())
    swept.accounts_erased = erasure.erase_due()
    swept.pictures_purged = pictures.purge_overdue(timezone.now())
    swept.searches_dropped = drop_searches(timezone.now())
    swept.words_forgotten = search.forget_purged()
    swept.days_closed = closed_days.close_due(timezone.now())
    return swept


def sweep_exports(now: datetime) -> int:
    """Send the lost messages of exports, and remove those whose week is over; returns how many."""
    for export_id in account_exports.due(now, resend_after=EXPORT_RESENT_AFTER):
        make_export.delay(export_id)
    try:
        return account_exports.remove_expired(now)
    except OSError as error:  # the next sweep comes soon
        log.warning("exports_not_removed", error=repr(error))
        return 0


def drop_searches(now: datetime) -> int:
    """What searches brought, after GROUNDING_RETENTION_DAYS: the evidence of jobs, and what pictures copied of it."""
    old = Evidence.objects.filter(created_at__lt=now - timedelta(days=settings.GROUNDING_RETENTION_DAYS))
    ids = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        return 0
    with transaction.atomic():
        outputs = Output.objects.filter(attempt__evidence__in=ids)
        forget_sources(list(outputs.values_list("image_id", flat=True)))
        Evidence.objects.filter(pk__in=ids).delete()
    return len(ids)


def sweep_jobs(*, resend_after_s: float) -> Swept:
    """The part that a waiting user feels: abandoned leases, unsent wake-ups, queue timeouts."""
    swept = Swept()
    now = timezone.now()
    for generation in Generation.objects.abandoned(now)[:BATCH]:
        if leases.expire(generation):
            swept.leases_expired += 1
            events.publish(generation.pk)
    swept.timed_out = _fail_overdue(now)
    swept.woken = wake(timezone.now(), resend_after_s=resend_after_s)
    if notices.is_any_due(timezone.now()):
        send_notices.delay()
    if swept.leases_expired or swept.timed_out:
        log.warning("swept", **asdict(swept))
    return swept


def wake(now: datetime, *, resend_after_s: float) -> int:
    """Send a message for every due row that has had none for a while; `woken_at` keeps a long queue from flooding."""
    due = Generation.objects.claimable(now).filter(woken_at__lte=now - timedelta(seconds=resend_after_s))
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if ids:
        Generation.objects.filter(pk__in=ids).update(woken_at=now)
    for generation_id in ids:
        run_generation.delay(generation_id)
    return len(ids)


def _fail_overdue(now: datetime) -> int:
    failed = 0
    overdue = Generation.objects.filter(
        status=Status.QUEUED, lease_owner="", queued_at__lt=now - timedelta(seconds=settings.QUEUE_TIMEOUT_S)
    )
    for generation in overdue.select_related("user", "price", "hold")[:BATCH]:
        rows = Generation.objects.filter(pk=generation.pk, status=Status.QUEUED, lease_owner="")
        try:
            settlement.fail(rows, generation, code="timeout", detail="no worker was free in time")
            failed += 1
        except LeaseLost:
            continue
    return failed


def release_expired_holds() -> int:
    """Void holds that ran out and whose job has ended or is missing; a job that still runs keeps its hold."""
    released = 0
    for hold in ledger.expired_holds(timezone.now())[:BATCH]:
        if not Generation.objects.unfinished().filter(hold=hold).exists():
            try:
                ledger.release(hold=hold, reason="expired")
            except Conflict:  # its job was settled between the two queries
                continue
            log.error("hold_leaked", hold=str(hold.pk), reference=hold.reference)
            released += 1
    return released


def prune() -> int:
    now = timezone.now()
    keys, _ = IdempotencyKey.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT).delete()
    return keys + counters.prune(before=now - USAGE_KEPT)
