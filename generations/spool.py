"""Raw upstream answers on disk before any database write, so that a killed worker loses no picture.

A file appears under its final name only when it is whole and on disk, and goes when its attempt has been settled;
providers/answer.py knows what is in it.
"""

import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings

from accounts.models import User
from generations.models import Attempt
from generations.providers.answer import Answer, open_answer


def reply_path(attempt: Attempt) -> Path:
    return Path(settings.SPOOL_DIR) / f"{attempt.public_id.hex}.reply"


def picture_path(attempt: Attempt, index: int = 0) -> Path:
    return Path(settings.SPOOL_DIR) / f"{attempt.public_id.hex}.{index}.picture"


def draft_path(attempt: Attempt, index: int) -> Path:
    """Where a draft lies that is looked at before the answer is whole."""
    return Path(settings.SPOOL_DIR) / f"{attempt.public_id.hex}.{index}.draft"


def adopt(attempt: Attempt) -> Answer | None:
    """The answer that a dead worker had received for this attempt, if it had."""
    return open_answer(reply_path(attempt))


def discard(attempt: Attempt) -> None:
    for path in Path(settings.SPOOL_DIR).glob(f"{attempt.public_id.hex}.*"):
        path.unlink(missing_ok=True)


def discard_of(user: User) -> int:
    """Remove what lies here of somebody's jobs; returns how many files went."""
    found: dict[UUID, list[Path]] = {}
    for path in Path(settings.SPOOL_DIR).glob("*"):
        with suppress(ValueError):  # no file of ours
            found.setdefault(UUID(path.name.split(".")[0]), []).append(path)
    theirs = Attempt.objects.filter(generation__user=user, public_id__in=list(found))
    paths = [path for public_id in theirs.values_list("public_id", flat=True) for path in found[public_id]]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def sweep(*, older_than_s: float = 3600) -> int:
    """Remove what no open attempt will ask for again; returns how many files went."""
    limit = time.time() - older_than_s
    removed = 0
    for path in Path(settings.SPOOL_DIR).glob("*"):
        try:
            is_old = path.stat().st_mtime < limit
        except FileNotFoundError:
            continue
        if is_old and not _is_asked_for(path.name):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _is_asked_for(name: str) -> bool:
    """Whether an open attempt will look for this file; one with another's name is nobody's."""
    try:
        attempt = UUID(name.split(".")[0])
    except ValueError:
        return False
    return Attempt.objects.filter(public_id=attempt, outcome=Attempt.SENT).exists()
