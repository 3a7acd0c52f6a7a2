"""Kept bytes as files on a disk: each one whole or not there.

Temporary files have one directory of their own inside MEDIA_ROOT, which must be one file system: a rename out of it
is atomic all the same, and a sweep looks at one directory instead of at 65,536 shards.
"""

import errno
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files.storage import storages

from gallery.names import CHUNK_BYTES, digest_of

STAGING = "staging"
TAKEN = ".taken"


def path_to(name: str) -> Path:
    """Where a name is on the disk; refuses one that leads out of MEDIA_ROOT."""
    return Path(storages["files"].path(name))


@contextmanager
def staged(suffix: str = "") -> Iterator[Path]:
    """A path for a temporary file on the media's file system; what is still there at the end is removed."""
    directory = path_to(STAGING)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{secrets.token_hex(16)}{suffix}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def sweep_orphan_temporaries(older_than: timedelta = timedelta(hours=1)) -> int:
    """Remove temporary files that a killed process left; returns how many went."""
    limit = time.time() - older_than.total_seconds()
    Files().recover(begun_before=limit)
    removed = 0
    for name, stored_at in _walk(path_to(STAGING)):
        if stored_at < limit and not name.endswith(TAKEN):
            path_to(name).unlink(missing_ok=True)
            removed += 1
    return removed


def copy_durably(reader: BinaryIO, writer: BinaryIO) -> None:
    """Copy in pieces, and flush to the disk."""
    while chunk := reader.read(CHUNK_BYTES):
        writer.write(chunk)
    writer.flush()
    os.fsync(writer.fileno())


class Files:
    """The store below MEDIA_ROOT; storage.py says what its methods promise."""

    is_local = True

    def size_of(self, name: str) -> int | None:
        return _size(path_to(name))

    def stored_at(self, name: str) -> float | None:
        try:
            return path_to(name).stat().st_mtime
        except FileNotFoundError:
            return None

    def open(self, name: str, *, start: int = 0, stop: int | None = None) -> BinaryIO:
        file = path_to(name).open("rb")
        file.seek(start)
        return file

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = path_to(name)
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield path

    def delete(self, name: str) -> None:
        path_to(name).unlink(missing_ok=True)

    def names(self, top: str) -> Iterator[tuple[str, float]]:
        return _walk(path_to(top))

    def signed_address(self, name: str, **answer: object) -> str | None:
        return None

    def check(self) -> None:
        directory = path_to("")
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"ready")

    def put(self, source: Path, name: str, *, sha256: str, byte_size: int) -> None:
        """It is moved and not hard-linked, so that nobody keeps a second name by which the stored bytes could change.

        Killed at any point, this leaves the whole file under `name` or nothing. From another file system it copies,
        and hashes the copy.
        """
        target = path_to(name)
        if _size(target) == byte_size and self._touch(target):
            source.unlink(missing_ok=True)
            return
        if source.stat().st_size != byte_size:
            raise OSError(errno.EIO, "The file is not the one that was verified", str(source))
        _make_directory(target.parent)
        if settings.FILE_UPLOAD_PERMISSIONS is not None:
            source.chmod(settings.FILE_UPLOAD_PERMISSIONS)  # a web server of another user may have to read it
        os.utime(source)  # a move keeps its time, and an answer may have lain in the spool for a day
        try:
            source.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_in(source, target, sha256=sha256)
        _flush_directory(target.parent)

    def _touch(self, target: Path) -> bool:
        """In use again: its age counts from now when orphans are looked for. False when it has gone meanwhile."""
        try:
            os.utime(target)
        except FileNotFoundError:
            return False
        return True

    def remove_unused(self, name: str, *, stored_before: float, is_wanted: Callable[[], bool]) -> bool:
        # Taken away first and looked at then: whoever puts it meanwhile has either touched it before, which is seen
        # here, or finds it gone and puts it anew.
        target, taken = path_to(name), _taken(name)
        taken.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.replace(taken)
        except FileNotFoundError:
            return False
        is_unused = False
        try:
            is_unused = taken.stat().st_mtime < stored_before and not is_wanted()
        finally:
            if is_unused:
                taken.unlink(missing_ok=True)
            else:
                taken.replace(target)
        return is_unused

    def is_being_removed(self, name: str) -> bool:
        return _taken(name).exists()

    def recover(self, *, begun_before: float) -> None:
        for path in path_to(STAGING).glob(f"*{TAKEN}"):
            if path.stat().st_ctime < begun_before:  # a rename sets this time
                target = path_to(path.name.removesuffix(TAKEN).replace("+", "/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)


def _taken(name: str) -> Path:
    return path_to(f"{STAGING}/{name.replace('/', '+')}{TAKEN}")


def _copy_in(source: Path, target: Path, *, sha256: str) -> None:
    with staged() as temporary:
        with source.open("rb") as reader, temporary.open("xb") as writer:
            copy_durably(reader, writer)
        if digest_of(temporary) != sha256:
            raise OSError(errno.EIO, "The copy is not the file that was verified", str(source))
        shutil.copymode(source, temporary)
        temporary.replace(target)
    source.unlink()


def _walk(top: Path) -> Iterator[tuple[str, float]]:
    root = path_to("")
    for directory, _, names in os.walk(top):
        for name in names:
            path = Path(directory, name)
            try:
                yield path.relative_to(root).as_posix(), path.stat().st_mtime
            except FileNotFoundError:  # renamed or removed since the directory was read
                continue


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _make_directory(directory: Path) -> None:
    """Make it and its parents; each is on disk before anything stands in it."""
    if not directory.is_dir():
        _make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        _flush_directory(directory.parent)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
