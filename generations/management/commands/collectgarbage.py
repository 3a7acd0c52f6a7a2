import json
from dataclasses import asdict
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gallery import garbage
from generations.settlement import waiting_digests


class Command(BaseCommand):
    help = (
        "Mark files and blobs that nothing refers to, and remove those that were marked a day ago and still are."
        " Changes nothing without --apply."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="mark and remove, instead of saying what would be")
        parser.add_argument("--grace-hours", type=float, default=garbage.GRACE / timedelta(hours=1))
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, apply: bool, grace_hours: float, json: bool, **options: object) -> None:
        if not grace_hours >= 1:
            raise CommandError("--grace-hours must be 1 or more: a picture is stored before its row.", returncode=2)
        try:
            found = garbage.collect(apply=apply, waiting_digests=waiting_digests, grace=timedelta(hours=grace_hours))
        except OSError as error:
            raise CommandError(f"The storage does not answer: {error}", returncode=1) from error
        self.stdout.write(_as_json(found) if json else _as_text(found, apply=apply))


def _as_json(found: garbage.Collection) -> str:
    return json.dumps(asdict(found))


def _as_text(found: garbage.Collection, *, apply: bool) -> str:
    lines = [f"{what}: {name}" for what in ("marked", "waiting", "removed") for name in getattr(found, what)]
    counts = f"{len(found.marked)} marked, {len(found.waiting)} waiting, {len(found.removed)} removed."
    return "\n".join([*lines, counts if apply else f"{counts} Nothing was changed: --apply does it."])
