"""Where bytes live: under names made of their digest, in files (files.py) or in a bucket (objects.py), or in both.

MEDIA_STORES names the stores. What is new goes into the first; what is not there is read from the next, so that
pictures can be moved from one to the other while they are looked at.
"""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from django.conf import settings

from gallery.files import Files, copy_durably, path_to, staged, sweep_orphan_temporaries
from gallery.imaging import ImageFacts
from gallery.names import (
    EXTENSIONS,
    ORIGINALS,
    RENDITIONS,
    digest_of,
    digest_of_stream,
    original_digest,
    original_name,
    rendition_name,
)
from gallery.video import VideoFacts

__all__ = [
    "EXTENSIONS",
    "ORIGINALS",
    "RENDITIONS",
    "Kept",
    "Store",
    "check",
    "copy_durably",
    "delete",
    "digest_of",
    "digest_of_stream",
    "find",
    "local_copy",
    "named",
    "open_stored",
    "original_digest",
    "original_name",
    "path_to",
    "put",
    "put_original",
    "recover",
    "remove_unused",
    "rendition_name",
    "size_of",
    "staged",
    "stored_names",
    "stores",
    "sweep_orphan_temporaries",
]

REMOVAL_PATIENCE_S = 10.0
REMOVAL_POLL_S = 0.05


class Store(Protocol):
    """One place for bytes. Every method may raise OSError: the disk is full, or the bucket is away."""

    is_local: bool  # a web server on this machine could read it

    def size_of(self, name: str) -> int | None:
        """Bytes, or None when there is no such file."""

    def stored_at(self, name: str) -> float | None:
        """When it was last put, in Unix seconds; None when there is no such file."""

    def open(self, name: str, *, start: int = 0, stop: int | None = None) -> BinaryIO:
        """To be read from `start`, at least up to `stop`. Raises FileNotFoundError."""

    def local(self, name: str) -> AbstractContextManager[Path]:
        """Its bytes as a file on this machine, to be read only. Raises FileNotFoundError."""

    def put(self, source: Path, name: str, *, sha256: str, byte_size: int) -> None:
        """As `put` below; `source` may be there still afterwards."""

    def delete(self, name: str) -> None:
        """Without asking; one that is not there is no error."""

    def remove_unused(self, name: str, *, stored_before: float, is_wanted: Callable[[], bool]) -> bool:
        """Delete it unless it was put since `stored_before` or is wanted after all; whether it has gone.

        Safe against somebody who puts it at this moment: he ends with the bytes there.
        """

    def is_being_removed(self, name: str) -> bool:
        """Whether `remove_unused` has begun and not ended."""

    def recover(self, *, begun_before: float) -> None:
        """Undo each `remove_unused` that began before then and was cut off."""

    def names(self, top: str) -> Iterator[tuple[str, float]]:
        """Every file below ORIGINALS or RENDITIONS with the time (Unix seconds) at which it was last put."""

    def signed_address(
        self, name: str, *, mime_type: str, disposition: str, cache_control: str, lifetime_s: int
    ) -> str | None:
        """Where a browser may fetch it without us; None when it cannot."""

    def check(self) -> None:
        """Raise OSError when nothing can be kept here."""


@dataclass(frozen=True)
class Kept:
    """A file that is there, and in which store."""

    name: str
    byte_size: int
    store: Store


def stores() -> list[Store]:
    """Those that MEDIA_STORES names, in its order."""
    return [named(name) for name in settings.MEDIA_STORES]


def named(name: str) -> Store:
    """The store that is called "files" or "s3"."""
    if name == "files":
        return Files()
    from gallery.objects import current_objects  # boto3 takes a quarter of a second, and most instances have no bucket

    return current_objects()


def find(name: str) -> Kept | None:
    """The file, wherever it is. Raises OSError."""
    for store in stores():
        byte_size = store.size_of(name)
        if byte_size is not None:
            return Kept(name, byte_size, store)
    return None


def size_of(name: str) -> int | None:
    """Bytes, or None when there is no such file."""
    kept = find(name)
    return None if kept is None else kept.byte_size


def open_stored(name: str) -> BinaryIO:
    """The file for reading; raises FileNotFoundError."""
    *others, last = stores()
    for store in others:
        try:
            return store.open(name)
        except FileNotFoundError:
            continue
    return last.open(name)


@contextmanager
def local_copy(name: str) -> Iterator[Path]:
    """The file's bytes on this machine, to be read only; raises FileNotFoundError."""
    kept = find(name)
    if kept is None:
        raise FileNotFoundError(errno.ENOENT, "There is no such file", name)
    with kept.store.local(name) as path:
        yield path


def delete(name: str) -> None:
    for store in stores():
        store.delete(name)


def remove_unused(name: str, *, stored_before: float, is_wanted: Callable[[], bool]) -> bool:
    """Delete it everywhere unless it was put since then or is wanted after all; whether something has gone."""
    removed = [store.remove_unused(name, stored_before=stored_before, is_wanted=is_wanted) for store in stores()]
    return any(removed)


def recover(*, begun_before: float) -> None:
    """Undo each `remove_unused` that began before then (Unix seconds) and was cut off."""
    for store in stores():
        store.recover(begun_before=begun_before)


def stored_names(top: str) -> Iterator[tuple[str, float]]:
    """Every file below ORIGINALS or RENDITIONS with the time (Unix seconds) at which it was last put."""
    for store in stores():
        yield from store.names(top)


def check() -> None:
    """Raise OSError when a store does not work."""
    for store in stores():
        store.check()


def is_whole(name: str, *, sha256: str) -> bool:
    """Whether the file is there and has this digest; a store that is away raises OSError."""
    try:
        with open_stored(name) as file:
            return digest_of_stream(file) == sha256
    except FileNotFoundError:
        return False


def put_original(source: Path, facts: ImageFacts | VideoFacts) -> str:
    """Keep a verified file byte for byte; returns its name. Takes `source` away, see `put`."""
    name = original_name(facts.sha256, mime_type=facts.mime_type)
    put(source, name, sha256=facts.sha256, byte_size=facts.byte_size)
    return name


def put(source: Path, name: str, *, sha256: str, byte_size: int) -> None:
    """Keep a complete file as `name` unless its bytes are there already; afterwards `source` is gone.

    Precondition: `source` was flushed to disk (fsync) and nobody writes to it. Killed at any point, this leaves the
    whole file under `name` or nothing. Raises OSError, also when the bytes are not those that were announced; what
    has failed may be repeated as long as `source` is there.
    """
    store = stores()[0]
    deadline = time.monotonic() + REMOVAL_PATIENCE_S
    store.put(source, name, sha256=sha256, byte_size=byte_size)
    while store.is_being_removed(name):  # by somebody who may not have seen that it is in use again
        if time.monotonic() > deadline:
            raise OSError(errno.EBUSY, "It is being removed at this moment", name)
        time.sleep(REMOVAL_POLL_S)
        if not store.is_being_removed(name) and store.size_of(name) is None:
            store.put(source, name, sha256=sha256, byte_size=byte_size)
    source.unlink(missing_ok=True)
