"""What nobody refers to any more goes in two phases: it is marked, and removed a day later if it still is garbage.

A file is garbage when no row names it; a blob when no image and no clip has it. Whoever brings such bytes again takes
the mark away (services.py), and `storage.remove_unused` loses no file that is put at the very moment.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, ProtectedError, QuerySet
from django.utils import timezone

from gallery import storage
from gallery.models import Blob, Garbage, Image, Rendition

log = structlog.get_logger(__name__)

GRACE = timedelta(hours=24)
ORPHAN_AGE = timedelta(hours=1)  # bytes are stored before their row, so a younger file may be a picture on its way
BATCH = 500


@dataclass
class Collection:
    """Names by what becomes of them; `waiting` are marked and not old enough."""

    marked: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def collect(*, apply: bool, waiting_digests: Callable[[], set[str]], grace: timedelta = GRACE) -> Collection:
    """Mark what is garbage since now, remove what has been for `grace`; without `apply` only say so.

    `waiting_digests` are originals that are kept for rows of the floors above, asked again before each removal.
    Precondition: no open transaction. Raises OSError.
    """
    found = Collection()
    if apply:
        storage.recover(begun_before=time.time() - ORPHAN_AGE.total_seconds())
    wanted = waiting_digests()
    candidates = [name for name in _candidates() if storage.original_digest(name) not in wanted]
    marks = dict(Garbage.objects.values_list("name", "marked_at"))
    limit = timezone.now() - grace
    for name in candidates:
        marked_at = marks.get(name)
        if marked_at is None:
            found.marked.append(name)
        elif marked_at > limit:
            found.waiting.append(name)
        elif not apply or _remove(name, marked_at, waiting_digests):
            found.removed.append(name)
    if apply:
        _unmark(marks.keys() - set(candidates))
        Garbage.objects.bulk_create(
            [Garbage(name=name) for name in found.marked], batch_size=BATCH, ignore_conflicts=True
        )
    return found


def unclaimed_names(top: str) -> Iterator[str]:
    """The files below ORIGINALS or RENDITIONS that no row names, except those that may be on their way."""
    limit = time.time() - ORPHAN_AGE.total_seconds()
    names = (name for name, stored_at in storage.stored_names(top) if stored_at < limit)
    seen: set[str] = set()  # while pictures are moved, one may be in both stores
    while batch := set(islice(names, BATCH)):
        unclaimed = batch - _claimed(batch) - seen
        seen |= unclaimed
        yield from unclaimed


def _candidates() -> Iterator[str]:
    for top in (storage.ORIGINALS, storage.RENDITIONS):
        yield from unclaimed_names(top)
    old = unused_blobs().filter(created_at__lt=timezone.now() - ORPHAN_AGE)
    yield from (blob.storage_name for blob in old.iterator(chunk_size=BATCH))


def _claimed(names: Iterable[str]) -> set[str]:
    digests = {storage.original_digest(name) for name in names}
    blobs = Blob.objects.filter(sha256__in=digests)
    copies = Rendition.objects.select_related("blob").filter(blob__sha256__in=digests)
    return {blob.storage_name for blob in blobs} | {copy.storage_name for copy in copies}


def remove_now(names: Iterable[str], *, settled: timedelta, waiting_digests: Callable[[], set[str]]) -> int:
    """Remove these originals and their copies without the day's grace, where nobody uses them; returns how many went.

    A file that was put within `settled` is spared: its row may be on its way. Raises OSError.
    """
    names = list(names)
    since = timezone.now() - settled
    Garbage.objects.bulk_create([Garbage(name=name, marked_at=since) for name in names], ignore_conflicts=True)
    marks = Garbage.objects.filter(name__in=names).values_list("name", "marked_at")
    return sum(_remove(name, marked_at, waiting_digests) for name, marked_at in list(marks))


def unused_blobs() -> QuerySet[Blob]:
    """Those that no image and no clip has."""
    shown = Exists(Image.objects.filter(blob=OuterRef("pk")))
    is_poster = Exists(Blob.objects.filter(poster=OuterRef("pk")))
    return Blob.objects.exclude(shown).exclude(is_poster)


def _remove(name: str, marked_at: datetime, waiting_digests: Callable[[], set[str]]) -> bool:
    digest = storage.original_digest(name)
    copies = _remove_blob(name, digest, marked_at)
    if copies is None:
        return False

    def is_wanted(name: str) -> bool:
        return name in _claimed([name]) or digest in waiting_digests()

    removed = [
        storage.remove_unused(each, stored_before=marked_at.timestamp(), is_wanted=partial(is_wanted, each))
        for each in (name, *copies)
    ]
    log.info("garbage_removed" if removed[0] else "garbage_spared", name=name)
    return removed[0]


def _remove_blob(name: str, digest: str, marked_at: datetime) -> list[str] | None:
    """Take the mark and the rows away; the names of its copies, or None when it has come into use again."""
    try:
        with transaction.atomic():
            # The mark decides: who stores a picture of these bytes takes it away in his own transaction (services.py).
            taken, _ = Garbage.objects.filter(name=name, marked_at=marked_at).delete()
            if not taken:
                return None
            blob = unused_blobs().filter(sha256=digest).first()
            if blob is None or blob.storage_name != name:
                return []
            copies = [copy.storage_name for copy in blob.renditions.all()]
            blob.delete()
            return copies
    except (ProtectedError, IntegrityError):  # shown again by somebody who found no mark to take away
        return None


def _unmark(names: Iterable[str]) -> None:
    remaining = iter(names)
    while batch := list(islice(remaining, BATCH)):
        Garbage.objects.filter(name__in=batch).delete()
