"""Smaller and converted copies of originals: found, or made in the decode processes.

The 320 and 640 are made ahead by a task, everything else when it is first asked for; a lost task costs nothing,
because asking makes them too.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import structlog
from django.db.models import Q
from django.utils import timezone

from gallery import storage
from gallery.clip_containers import ClipFormat
from gallery.decode_pool import DecodePoolError, renderer
from gallery.errors import PictureUnavailable, RenditionUnavailable
from gallery.imaging import (
    RECIPE_VERSION,
    Format,
    ImageRejected,
    RenditionFacts,
    RenditionTarget,
    hash_picture,
    make_renditions,
    make_thumbhash,
)
from gallery.models import Blob, Rendition

log = structlog.get_logger(__name__)

ORIGINAL = "original"
LONG_SIDES = {"320": 320, "640": 640, "1280": 1280}
VARIANTS = (ORIGINAL, *LONG_SIDES)

FAILURE_PAUSE = timedelta(minutes=15)
POOL_PAUSE_S = 30

# A page asks for small copies at the very moment when the task makes them: whoever comes second waits for the first.
_locks = [threading.Lock() for _ in range(64)]


@dataclass(frozen=True)
class Wish:
    """A copy by its long side, or the original in another format; of a clip in its own (clip_copies.py)."""

    variant: str
    format: Format | ClipFormat


SMALLEST = Wish("320", "webp")
EAGER = (SMALLEST, Wish("640", "webp"))


def make_eager(blob: Blob) -> None:
    """Make the small copies that are missing or of an older recipe, from one decode, and the placeholder from them.

    Raises as `get_rendition`.
    """
    if len(_found(blob.still, EAGER)) < len(EAGER):
        _ensure(blob.still, EAGER)
    add_thumbhash(blob)


def add_thumbhash(blob: Blob) -> None:
    """Give a blob, and the clips whose poster it is, the placeholder that it lacks.

    It is made from the smallest copy. Without one, or when that fails, the picture has its colour alone until the next
    run: nothing is refused for the want of a placeholder.
    """
    still = blob.still
    if blob.thumbhash and still.thumbhash:
        return
    still.refresh_from_db(fields=["thumbhash"])  # whoever came first has made it
    still.thumbhash = still.thumbhash or _thumbhash_of(still)
    if still.thumbhash:
        lacking = Blob.objects.filter(Q(pk=still.pk) | Q(poster=still), thumbhash="")
        lacking.update(thumbhash=still.thumbhash)


def _thumbhash_of(still: Blob) -> str:
    smallest = still.renditions.filter(variant=SMALLEST.variant, format=SMALLEST.format).first()
    if smallest is None:
        return ""
    try:
        with storage.local_copy(smallest.storage_name) as source:
            return renderer.run(make_thumbhash, str(source))
    except (ImageRejected, OSError, DecodePoolError) as error:
        log.warning("thumbhash_not_made", sha256=still.sha256, error=repr(error))
        return ""


def rebuild(blob: Blob) -> int:
    """Make what is missing of the small copies, and every copy of an older recipe; returns how many were made.

    Raises as `get_rendition`.
    """
    outdated = [_wish_of(row) for row in blob.renditions.exclude(recipe=RECIPE_VERSION)]
    wishes = [*EAGER, *(wish for wish in outdated if wish not in EAGER)]
    found = _found(blob, wishes)
    missing = [wish for wish in wishes if wish not in found]
    if missing:
        _ensure(blob, missing)
    return len(missing)


def hash_still(blob: Blob) -> None:
    """Tell what a picture looks like that was kept before that was asked. Raises RenditionUnavailable and
    PictureUnavailable."""
    _refuse_if_failed_lately(blob)
    with blaming(blob), storage.local_copy(blob.storage_name) as source:
        blob.perceptual_hash = renderer.run(hash_picture, str(source))
    Blob.objects.filter(pk=blob.pk).update(perceptual_hash=blob.perceptual_hash)


def get_rendition(blob: Blob, wish: Wish) -> Rendition:
    """The copy, made now if need be; of a clip, a copy of its poster.

    Raises RenditionUnavailable or PictureUnavailable.
    """
    blob = blob.still
    found = _found(blob, [wish])
    if wish not in found:
        found = _ensure(blob, EAGER if wish in EAGER else [wish])
    return found[wish]


def find_or_make(blob: Blob, wish: Wish, make: Callable[[], Rendition]) -> Rendition:
    """The copy, or the one that `make` puts into the storage now, inside of `blaming`; its row is written here.

    Raises RenditionUnavailable or PictureUnavailable.
    """
    found = _found(blob, [wish])
    if wish not in found:
        found = _ensure(blob, [wish], lambda blob, wishes: [make()])
    return found[wish]


def _found(blob: Blob, wishes: Sequence[Wish]) -> dict[Wish, Rendition]:
    """Those that are in the database, of the present recipe, and whole in the storage. Raises PictureUnavailable."""
    rows = list(blob.renditions.filter(recipe=RECIPE_VERSION, variant__in={wish.variant for wish in wishes}))
    by_wish = {(row.variant, row.format): row for row in rows}
    try:
        return {
            wish: row
            for wish in wishes
            if (row := by_wish.get((wish.variant, wish.format))) and storage.size_of(row.storage_name) == row.byte_size
        }
    except OSError as error:
        log.error("storage_away", sha256=blob.sha256, error=repr(error))
        raise PictureUnavailable(retry_after=POOL_PAUSE_S) from error


def _ensure(blob: Blob, wishes: Sequence[Wish], make: "Maker | None" = None) -> dict[Wish, Rendition]:
    with _locks[blob.pk % len(_locks)]:
        found = _found(blob, wishes)
        missing = [wish for wish in wishes if wish not in found]
        if not missing:
            return found
        try:
            made = _keep(blob, missing, make or _make)
        except (
            OSError,
            DecodePoolError,
        ) as error:  # ours and not the picture's: a full disk, a pool that ended
            log.error("renderer_failed", sha256=blob.sha256, error=repr(error))
            raise RenditionUnavailable(retry_after=POOL_PAUSE_S) from error
        if SMALLEST in made:
            add_thumbhash(blob)
        return {**found, **made}


def _keep(blob: Blob, wishes: Sequence[Wish], make: "Maker") -> dict[Wish, Rendition]:
    _refuse_if_failed_lately(blob)
    outdated = [row.storage_name for row in blob.renditions.exclude(recipe=RECIPE_VERSION) if _wish_of(row) in wishes]
    rows = make(blob, wishes)
    Rendition.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["blob", "variant", "format"],
        update_fields=["recipe", "sha256", "byte_size", "width", "height", "created_at"],
    )
    for name in outdated:
        storage.delete(name)
    return dict(zip(wishes, rows, strict=True))


Maker = Callable[[Blob, Sequence[Wish]], list[Rendition]]


def _make(blob: Blob, wishes: Sequence[Wish]) -> list[Rendition]:
    with ExitStack() as stack:
        paths = [stack.enter_context(storage.staged(f".{wish.format}")) for wish in wishes]
        targets = [
            RenditionTarget(path=str(path), long_side=LONG_SIDES.get(wish.variant), format=cast("Format", wish.format))
            for path, wish in zip(paths, wishes, strict=True)
        ]
        with blaming(blob), storage.local_copy(blob.storage_name) as source:
            made = renderer.run(make_renditions, str(source), targets)
        rows = [_row(blob, wish, facts) for wish, facts in zip(wishes, made, strict=True)]
        for path, row in zip(paths, rows, strict=True):
            storage.put(path, row.storage_name, sha256=row.sha256, byte_size=row.byte_size)
    return rows


def _wish_of(row: Rendition) -> Wish:
    return Wish(row.variant, cast("Format | ClipFormat", row.format))


def _row(blob: Blob, wish: Wish, facts: RenditionFacts) -> Rendition:
    return Rendition(
        blob=blob,
        variant=wish.variant,
        format=wish.format,
        recipe=RECIPE_VERSION,
        sha256=facts.sha256,
        byte_size=facts.byte_size,
        width=facts.width,
        height=facts.height,
    )


def _refuse_if_failed_lately(blob: Blob) -> None:
    blob.refresh_from_db(fields=["unrenderable_until"])
    if blob.unrenderable_until is not None:
        wait_s = (blob.unrenderable_until - timezone.now()).total_seconds()
        if wait_s > 0:
            raise RenditionUnavailable(retry_after=int(wait_s) + 1)


@contextmanager
def blaming(blob: Blob) -> Iterator[None]:
    """Around what reads the bytes of a blob: what cannot be rendered is told so, and left alone for a while."""
    try:
        yield
    except ImageRejected as error:
        # Each try may cost seconds of a core, so a picture that fails gets a pause and not a loop.
        log.warning("rendition_failed", sha256=blob.sha256, reason=error.reason, detail=error.detail)
        Blob.objects.filter(pk=blob.pk).update(unrenderable_until=timezone.now() + FAILURE_PAUSE)
        raise RenditionUnavailable(retry_after=int(FAILURE_PAUSE.total_seconds())) from error
    except FileNotFoundError as error:
        log.error("original_missing", sha256=blob.sha256)
        raise PictureUnavailable from error
