"""Compares what the database says of originals with what is on disk. Changes nothing."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import islice

from django.core.management.base import BaseCommand, CommandError

from gallery import storage
from gallery.models import Blob, Rendition

ORPHAN_AGE = timedelta(hours=1)  # bytes are stored before their row, so a younger file may be a picture on its way
BATCH = 500


@dataclass
class Report:
    """How many originals were read, and the storage names of the files that are not as they should be."""

    checked: int = 0
    missing: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return len(self.missing) + len(self.corrupt)


class Command(BaseCommand):
    help = "Recompute the digest of every original; list missing, corrupt and orphaned files. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, **options: bool) -> None:
        report = Report()
        _check_originals(report)
        _find_orphans(report)
        self.stdout.write(json.dumps(asdict(report)) if options["json"] else _as_text(report))
        if report.lost:
            raise CommandError("Originals are missing or corrupt: restore them from a backup.", returncode=1)


def _as_text(report: Report) -> str:
    lines = [
        f"{problem}: {name}" for problem in ("missing", "corrupt", "orphaned") for name in getattr(report, problem)
    ]
    counts = f"{len(report.missing)} missing, {len(report.corrupt)} corrupt, {len(report.orphaned)} orphaned"
    return "\n".join([*lines, f"{report.checked} originals checked: {counts}."])


def _check_originals(report: Report) -> None:
    for blob in Blob.objects.order_by("pk").iterator(chunk_size=BATCH):
        report.checked += 1
        try:
            is_whole = storage.digest_of(storage.path_of(blob)) == blob.sha256
        except FileNotFoundError:
            report.missing.append(blob.storage_name)
            continue
        except OSError:  # the disk cannot read it back
            is_whole = False
        if not is_whole:
            report.corrupt.append(blob.storage_name)


def _find_orphans(report: Report) -> None:
    originals = _old_names(storage.ORIGINALS)
    while batch := list(islice(originals, BATCH)):
        blobs = Blob.objects.filter(sha256__in={_digest_in(name) for name in batch})
        report.orphaned += sorted(set(batch) - {blob.storage_name for blob in blobs})
    copies = _old_names(storage.RENDITIONS)
    while batch := list(islice(copies, BATCH)):
        rows = Rendition.objects.select_related("blob").filter(blob__sha256__in={_digest_in(name) for name in batch})
        report.orphaned += sorted(set(batch) - {row.storage_name for row in rows})


def _old_names(top: str) -> Iterator[str]:
    limit = time.time() - ORPHAN_AGE.total_seconds()
    return (name for name, stored_at in storage.stored_names(top) if stored_at < limit)


def _digest_in(name: str) -> str:
    return name.rpartition("/")[2][:64]
