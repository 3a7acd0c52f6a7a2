"""Raw upstream answers on disk before any database write, so that a killed worker loses no picture.

A file is one line of JSON (status, headers, elapsed_ms) and then the body as it came. It appears under its final
name only when it is whole and on disk (fsync, rename), and goes when its generation has been settled.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson
from django.conf import settings

from generations.models import Attempt
from generations.providers.base import Answer


def reply_path(attempt: Attempt) -> Path:
    return Path(settings.SPOOL_DIR) / f"{attempt.public_id.hex}.reply"


def picture_path(attempt: Attempt) -> Path:
    return Path(settings.SPOOL_DIR) / f"{attempt.public_id.hex}.picture"


def write_head(file: BinaryIO, *, status: int, headers: Mapping[str, str]) -> int:
    """Write the first line; returns the offset at which the body begins."""
    return file.write(orjson.dumps({"status": status, "headers": dict(headers)}) + b"\n")


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` whole or not at all, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def adopt(attempt: Attempt) -> Answer | None:
    """The answer that a dead worker had received for this attempt, if it had."""
    path = reply_path(attempt)
    try:
        with path.open("rb") as file:
            line = file.readline()
    except FileNotFoundError:
        return None
    head = orjson.loads(line)
    return Answer(status=head["status"], headers=head["headers"], elapsed_ms=0, path=path, offset=len(line))


def discard(attempt: Attempt) -> None:
    for path in (reply_path(attempt), picture_path(attempt)):
        path.unlink(missing_ok=True)


def sweep(*, older_than_s: float = 3600) -> int:
    """Remove what no open attempt will ask for again; returns how many files went."""
    limit = time.time() - older_than_s
    removed = 0
    for path in Path(settings.SPOOL_DIR).glob("*"):
        try:
            is_old = path.stat().st_mtime < limit
        except FileNotFoundError:
            continue
        is_open = Attempt.objects.filter(public_id=path.name.split(".")[0], outcome=Attempt.SENT).exists()
        if is_old and not is_open:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
