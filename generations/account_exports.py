"""The ZIP of an account from the page: asked for once at a time, made by a task, kept for KEPT, then removed."""

import hashlib
from datetime import datetime, timedelta
from math import ceil
from typing import BinaryIO
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.errors import NotFound, RateLimited
from accounts.models import User
from gallery import storage
from gallery.errors import StorageUnavailable
from generations import archives
from generations.models import AccountExport

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
EVERY = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(hours=6)  # a process that makes one and says nothing for so long is dead
MAX_TRIES = 3
STORAGE_PAUSE_S = 10
State = AccountExport.State


def request(user: User) -> AccountExport:
    """Ask for a copy of everything; the one that is being made if there is one. The caller starts the task.

    A new one takes the place of those before. Raises RateLimited: one in EVERY is enough work.
    """
    earliest = next_at(latest_of(user))
    if earliest is not None and earliest > timezone.now():
        wait_s = (earliest - timezone.now()).total_seconds()
        raise RateLimited(
            "An export was made within the last hour.", remedy="Download that one, or wait.", retry_after=ceil(wait_s)
        )
    try:
        with transaction.atomic():
            export = AccountExport.objects.create(user=user)
    except IntegrityError:  # one is under way; of two requests at once the second finds the first one's
        return AccountExport.objects.get(user=user, state__in=(State.WAITING, State.RUNNING))
    for earlier in AccountExport.objects.filter(user=user).exclude(pk=export.pk):
        remove(earlier)
    return export


def next_at(latest: AccountExport | None) -> datetime | None:
    """From when on another one may be asked for, after one that is ready."""
    return latest.created_at + EVERY if latest is not None and latest.state == State.READY else None


def latest_of(user: User) -> AccountExport | None:
    """What the page shows: the newest, whatever became of it."""
    return AccountExport.objects.filter(user=user).order_by("-pk").first()


def open_export(user: User, public_id: UUID) -> tuple[AccountExport, BinaryIO]:
    """A finished one of this user, to be read. Raises NotFound, StorageUnavailable."""
    exports = AccountExport.objects.filter(user=user, state=State.READY, expires_at__gt=timezone.now())
    export = exports.filter(public_id=public_id).first()
    if export is None:
        raise NotFound("There is no such export in your account, or its week is over.")
    try:
        return export, storage.open_stored(export.storage_name)
    except FileNotFoundError:
        raise NotFound("The file of this export is gone. Ask for another one.") from None
    except OSError as error:
        raise StorageUnavailable(retry_after=STORAGE_PAUSE_S) from error


def make(export_id: int) -> None:
    """Make the ZIP of one that waits. Safe to be called any number of times, at once and after a crash."""
    now = timezone.now()
    rows = AccountExport.objects.filter(pk=export_id)
    waiting = Q(state=State.WAITING) | Q(state=State.RUNNING, started_at__lt=now - GIVEN_UP_AFTER)
    # Of many messages for one row, one takes it.
    if not rows.filter(waiting).update(state=State.RUNNING, started_at=now, tries=F("tries") + 1):
        return
    mine = rows.filter(state=State.RUNNING, started_at=now)
    export = rows.select_related("user").get()
    try:
        with storage.staged(".zip") as path:
            with path.open("xb") as file:
                archives.write_archive(export.user, file)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            byte_size = path.stat().st_size
            storage.put(path, export.storage_name, sha256=sha256, byte_size=byte_size)
    except Exception:
        log.exception("export_not_made", export=str(export.public_id))
        is_last = export.tries >= MAX_TRIES
        mine.update(state=State.FAILED if is_last else State.WAITING, finished_at=timezone.now() if is_last else None)
        return
    done = timezone.now()
    if not mine.update(state=State.READY, byte_size=byte_size, finished_at=done, expires_at=done + KEPT):
        storage.delete(export.storage_name)  # the account was deleted meanwhile, or another process has taken it over


def due(at: datetime, *, resend_after: timedelta) -> list[int]:
    """Those for which a message may have been lost, each named once in `resend_after`."""
    waiting = Q(state=State.WAITING) | Q(state=State.RUNNING, started_at__lt=at - GIVEN_UP_AFTER)
    lost = AccountExport.objects.filter(waiting, woken_at__lte=at - resend_after)
    ids = list(lost.values_list("pk", flat=True)[:100])
    AccountExport.objects.filter(pk__in=ids).update(woken_at=at)
    return ids


def remove_expired(at: datetime) -> int:
    """Remove those whose week is over; returns how many. Raises OSError."""
    expired = list(AccountExport.objects.filter(expires_at__lte=at)[:100])
    for export in expired:
        remove(export)
    return len(expired)


def remove_of(user: User) -> None:
    """Remove all of this user, also one that is being made. Raises OSError."""
    for export in AccountExport.objects.filter(user=user):
        remove(export)


def remove(export: AccountExport) -> None:
    """The row last: as long as it is there, somebody comes back for the file."""
    storage.delete(export.storage_name)
    export.delete()
