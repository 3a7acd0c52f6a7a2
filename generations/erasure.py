"""Deleting an account with its jobs and pictures; what must be kept is kept under a pseudonym (docs/privacy.md).

1. The account is closed: nobody signs in, no key works, nothing new is stored. 2. Jobs end, their holds are released.
3. Words and answers go, and the pictures. 4. What is left of the balance is forfeited. Each step may be repeated, and
the sweeper goes on with an erasure that was cut off. Precondition of all: no open transaction.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from django.utils import timezone

from accounts import closing, ledger
from accounts.models import User
from gallery import erasure as pictures
from generations import account_exports, settlement, spool
from generations.leases import LeaseLost
from generations.models import (
    TERMINAL,
    Attempt,
    DraftPreview,
    Evidence,
    Generation,
    GenerationQuerySet,
    IdempotencyKey,
    Output,
    Turn,
)

log = structlog.get_logger(__name__)

BATCH = 100


@dataclass
class Erased:
    """What an erasure did; money in micro-USD. `is_kept`: its owner came back before it began."""

    jobs_ended: int = 0
    pictures: int = 0
    originals: int = 0  # of those pictures, each counted once
    originals_removed: int = 0
    forfeited_micros: int = 0
    is_kept: bool = False


def erase_account(user: User, *, removes_bytes: bool = False, due_by: datetime | None = None) -> Erased:
    """Erase the account, at once, or with `due_by` only if its time had come by then.

    Nobody reaches the bytes of its pictures any more. They are left to collectgarbage, unless `removes_bytes`: then
    those that nobody else has go now. Raises OSError while the storage does not answer; call it again then.
    """
    erased = Erased()
    if not closing.close_account(user, due_by=due_by):
        erased.is_kept = True
        return erased
    jobs = Generation.objects.filter(user=user)
    while True:
        erased.jobs_ended += _end_jobs(jobs.unfinished())
        _erase_words(jobs)
        # A retry that had begun before the account was closed may have brought one back to the queue.
        if not jobs.unfinished().exists():
            break
    spool.discard_of(user)
    purged = pictures.purge_pictures_of(user)
    pictures.erase_reports_by(user)
    pictures.delete_collections_of(user)
    account_exports.remove_of(user)
    IdempotencyKey.objects.filter(user=user).delete()
    Turn.objects.filter(user=user).delete()
    erased.pictures, erased.originals = purged.pictures, len(purged.blob_ids)
    if removes_bytes:
        erased.originals_removed = pictures.remove_bytes(purged.blob_ids, waiting_digests=settlement.waiting_digests)
    if forfeit := ledger.forfeit(user=user, actor="system", reason="account deleted"):
        erased.forfeited_micros = forfeit.amount_micros
    closing.finish_erasure(user)
    log.info("account_erased", user=str(user.public_id), pictures=erased.pictures, jobs_ended=erased.jobs_ended)
    return erased


def erase_due(at: datetime | None = None) -> int:
    """Erase the accounts whose grace is over; returns how many. One that fails does not keep the others."""
    now = at or timezone.now()
    count = 0
    for user in closing.due_accounts(now)[:BATCH]:
        try:
            count += not erase_account(user, removes_bytes=True, due_by=now).is_kept
        except Exception:
            log.exception("account_not_erased_yet", user=str(user.public_id))
    return count


def _end_jobs(unfinished: GenerationQuerySet) -> int:
    """Cancel them, also those that a worker is at: its lease ends with its row, and what it brings is not kept."""
    count = 0
    for generation in unfinished.select_related("user", "price", "hold"):
        rows = Generation.objects.unfinished().filter(pk=generation.pk)
        try:
            settlement.cancel(rows, generation)
            count += 1
        except LeaseLost:  # it has ended at this moment, with its pictures or with that of another one
            continue
    return count


def _erase_words(jobs: GenerationQuerySet) -> None:
    """Leave of each job that it was, when, how it ended and what it cost."""
    ended = jobs.filter(status__in=TERMINAL)
    ended.update(prompt="", spec={}, text="", error_detail="", fingerprint="", likeness="", rule_hits=[])
    attempts = Attempt.objects.filter(generation__in=ended)
    DraftPreview.objects.filter(attempt__in=attempts).delete()
    Evidence.objects.filter(attempt__in=attempts).delete()
    Output.objects.filter(generation__in=ended).update(thought_signature=b"")
    attempts.update(detail="", raw_answer="", text="", text_signature=b"", thoughts="", safety_ratings=[], pictures=[])
