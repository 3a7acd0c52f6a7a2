"""Who works on a generation: claims, heartbeats and fences, each an UPDATE whose row count decides a race."""

import os
import secrets
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from django.conf import settings
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from generations import turns
from generations.models import Generation, GenerationQuerySet, Status

CLAIM_TRIES = 100
_claiming = threading.Lock()


class LeaseLost(Exception):
    """Another worker has taken the generation over, or it has ended: whatever was being written must not be."""


@dataclass(frozen=True)
class Lease:
    """The right to write to one generation, until somebody else has a higher fence."""

    generation_id: int
    owner: str
    fence: int

    def rows(self) -> GenerationQuerySet:
        """The generation's row, as long as the lease holds; every write of a worker goes through this."""
        return Generation.objects.filter(
            pk=self.generation_id, status=Status.RUNNING, lease_owner=self.owner, fence=self.fence
        )


@cache
def worker_identity(pid: int | None = None) -> str:
    """Names this process; random as well, because a process id comes back after a restart."""
    return f"{socket.gethostname()[:30]}:{pid}:{secrets.token_hex(6)}"


def claim_next() -> Lease | None:
    """Take the generation whose turn it is; None when nothing is due."""
    for _ in range(CLAIM_TRIES):
        # The lock only spares the threads of one process the picks that would lose; between processes the row count of
        # the claim decides, and who loses looks again. Durable: whoever held the database here would wait for ever.
        with _claiming, transaction.atomic(durable=True):
            generation_id = turns.next_due(timezone.now())
            if generation_id is None:
                return None
            if lease := claim(generation_id):
                return lease
    return None  # the sweeper sends another message


def claim(generation_id: int) -> Lease | None:
    """Take this very generation if it is due and nobody holds it. Of many that try, one changes the row."""
    now = timezone.now()
    owner = worker_identity(os.getpid())
    with transaction.atomic():
        claimed = (
            Generation.objects.claimable(now)
            .filter(pk=generation_id)
            .update(
                status=Status.RUNNING,
                stage="starting",
                lease_owner=owner,
                lease_expires_at=now + timedelta(seconds=settings.LEASE_S),
                fence=F("fence") + 1,
                version=F("version") + 1,
                started_at=Coalesce("started_at", Value(now)),
            )
        )
        if not claimed:
            return None
        # The row is locked until the commit, so this is the fence that was set above.
        fence, user_id = Generation.objects.values_list("fence", "user_id").get(pk=generation_id)
        turns.record_turn(user_id)
    return Lease(generation_id, owner, fence)


def heartbeat() -> int:
    """Renew every lease of this process in one UPDATE; returns how many it holds."""
    return Generation.objects.filter(status=Status.RUNNING, lease_owner=worker_identity(os.getpid())).update(
        lease_expires_at=timezone.now() + timedelta(seconds=settings.LEASE_S)
    )


def park(lease: Lease, *, delay_s: float, stage: str) -> None:
    """Let go of a generation until it is due again, so that waiting costs no thread. Raises LeaseLost."""
    parked = lease.rows().update(
        lease_owner="",
        lease_expires_at=None,
        stage=stage,
        next_run_at=timezone.now() + timedelta(seconds=delay_s),
        woken_at=timezone.now() + timedelta(seconds=delay_s),
        version=F("version") + 1,
    )
    if not parked:
        raise LeaseLost


def expire(generation: Generation) -> bool:
    """Take an abandoned lease away; the higher fence shuts its old owner out. False when it was renewed meanwhile."""
    now = timezone.now()
    return bool(
        Generation.objects.abandoned(now)
        .filter(pk=generation.pk, fence=generation.fence)
        .update(
            lease_owner="",
            lease_expires_at=None,
            fence=F("fence") + 1,
            next_run_at=now,
            stage="recovering",
            version=F("version") + 1,
        )
    )


def release_all() -> int:
    """Give back every lease of this process, at the end of a drain; another worker goes on at once."""
    return Generation.objects.filter(status=Status.RUNNING, lease_owner=worker_identity(os.getpid())).update(
        lease_owner="",
        lease_expires_at=None,
        fence=F("fence") + 1,
        next_run_at=timezone.now(),
        stage="recovering",
        version=F("version") + 1,
    )
