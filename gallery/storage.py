"""Where bytes live: files named by their digest, each one whole or not there.

Callers speak names such as "originals/ab/cd/<sha256>.png", so another store (S3) can stand behind the same functions.
Temporary files have one directory of their own inside MEDIA_ROOT, which must be one file system: a rename out of it
is atomic all the same, and a sweep looks at one directory instead of at 65,536 shards.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from django.conf import settings
from django.core.files.storage import default_storage

from gallery.imaging import Format, ImageFacts
from gallery.video import VideoFacts

if TYPE_CHECKING:
    from gallery.models import Blob

ORIGINALS = "originals"
RENDITIONS = "renditions"
STAGING = "staging"
CHUNK_BYTES = 1024 * 1024
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
}


def original_name(sha256: str, *, mime_type: str) -> str:
    return f"{ORIGINALS}/{sha256[:2]}/{sha256[2:4]}/{sha256}.{EXTENSIONS[mime_type]}"


def rendition_name(sha256: str, *, variant: str, recipe: int, format: Format) -> str:
    """The name of a copy; `sha256` is the original's, so that its copies are found beside each other."""
    extension = EXTENSIONS[f"image/{format}"]
    return f"{RENDITIONS}/{sha256[:2]}/{sha256[2:4]}/{sha256}-{variant}-r{recipe}.{extension}"


def path_to(name: str) -> Path:
    return Path(default_storage.path(name))


def path_of(blob: "Blob") -> Path:
    """The original's own file, to be read only."""
    return path_to(blob.storage_name)


def size_of(name: str) -> int | None:
    """Bytes, or None when there is no such file."""
    return _size(path_to(name))


def open_stored(name: str) -> BinaryIO:
    """The file for reading; raises FileNotFoundError."""
    return path_to(name).open("rb")


def delete(name: str) -> None:
    path_to(name).unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(blob: "Blob") -> bool:
    """Whether the stored original is there and has the digest of its row."""
    try:
        return digest_of(path_of(blob)) == blob.sha256
    except OSError:
        return False


def put_original(source: Path, facts: ImageFacts | VideoFacts) -> str:
    """Keep a verified file byte for byte; returns its name. Moves `source`, see `put`."""
    name = original_name(facts.sha256, mime_type=facts.mime_type)
    put(source, name, sha256=facts.sha256, byte_size=facts.byte_size)
    return name


def put(source: Path, name: str, *, sha256: str, byte_size: int) -> None:
    """Move a complete file to `name` unless its bytes are there already; afterwards `source` is gone.

    Precondition: `source` was flushed to disk (fsync) and nobody writes to it. It is moved and not hard-linked, so
    that nobody keeps a second name by which the stored bytes could be changed. Killed at any point, this leaves the
    whole file under `name` or nothing. From another file system it copies, and hashes the copy. Raises OSError, also
    when the bytes are not those that were announced.
    """
    target = path_to(name)
    if _size(target) == byte_size:
        os.utime(target)  # in use again: its age counts from now when orphans are looked for
        source.unlink(missing_ok=True)
        return
    if source.stat().st_size != byte_size:
        raise OSError(errno.EIO, "The file is not the one that was verified", str(source))
    _make_directory(target.parent)
    if settings.FILE_UPLOAD_PERMISSIONS is not None:
        source.chmod(settings.FILE_UPLOAD_PERMISSIONS)  # a web server of another user may have to read it
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_in(source, target, sha256=sha256)
    _flush_directory(target.parent)


def _copy_in(source: Path, target: Path, *, sha256: str) -> None:
    with staged() as temporary:
        with source.open("rb") as reader, temporary.open("xb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        if digest_of(temporary) != sha256:
            raise OSError(errno.EIO, "The copy is not the file that was verified", str(source))
        shutil.copymode(source, temporary)
        temporary.replace(target)
    source.unlink()


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
    removed = 0
    for name, stored_at in _walk(path_to(STAGING)):
        if stored_at < limit:
            delete(name)
            removed += 1
    return removed


def stored_names(top: str) -> Iterator[tuple[str, float]]:
    """Every file below ORIGINALS or RENDITIONS with the time (Unix seconds) at which it was stored."""
    return _walk(path_to(top))


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
