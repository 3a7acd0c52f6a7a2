"""Compares what the database says of originals with what is in the storage. Changes nothing."""

import json
from argparse import ArgumentParser
from dataclasses import asdict, dataclass, field

from django.core.management.base import BaseCommand, CommandError

from gallery import storage
from gallery.errors import ObjectsAway
from gallery.garbage import unclaimed_names
from gallery.models import Blob

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
        try:
            _check_originals(report)
            _find_orphans(report)
        except ObjectsAway as error:
            raise CommandError(f"Nothing can be said about what is kept: {error}", returncode=2) from error
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
            with storage.open_stored(blob.storage_name) as file:
                is_whole = storage.digest_of_stream(file) == blob.sha256
        except FileNotFoundError:
            report.missing.append(blob.storage_name)
            continue
        except ObjectsAway:
            raise
        except OSError:  # the disk cannot read it back
            is_whole = False
        if not is_whole:
            report.corrupt.append(blob.storage_name)


def _find_orphans(report: Report) -> None:
    for top in (storage.ORIGINALS, storage.RENDITIONS):
        report.orphaned += sorted(unclaimed_names(top))
