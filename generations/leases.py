"""Who works on a generation: claims, heartbeats and fences, each an UPDATE whose row count decides a race."""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from generations.models import Generation, GenerationQuerySet, Status


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


def claim(generation_id: int) -> Lease | None:
    """Take a due generation that nobody holds. Of many workers that were woken for it, one changes the row."""
    now = timezone.now()
    owner = worker_identity(os.getpid())
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
    # Read back by owner: nobody but this process can raise the fence while this process holds the lease.
    fence = Generation.objects.filter(pk=generation_id, lease_owner=owner).values_list("fence", flat=True).first()
    return None if fence is None else Lease(generation_id, owner, fence)


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
