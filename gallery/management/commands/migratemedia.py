import json
from dataclasses import asdict

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gallery.moving import Moved, move

OTHER = {"s3": "files", "files": "s3"}


class Command(BaseCommand):
    help = (
        "Copy all originals and copies into the other store, while the site runs. May be interrupted: the next run"
        " goes on where this one ended. Changes nothing without --apply, and removes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", choices=list(OTHER), required=True)
        parser.add_argument("--apply", action="store_true", help="copy, instead of counting what would be")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, to: str, apply: bool, json: bool, **options: object) -> None:
        source = OTHER[to]
        if [to, source] != settings.MEDIA_STORES:
            raise CommandError(
                f"Set MEDIA_STORES={to},{source} for every process and restart them: new pictures then go into the new"
                " store, and what is not there yet is read from the old one.",
                returncode=2,
            )
        try:
            report = move(source=source, target=to, apply=apply)
        except OSError as error:
            raise CommandError(f"A store does not answer: {error}. Run it again to go on.", returncode=1) from error
        self.stdout.write(_as_json(report) if json else _as_text(report, apply=apply))
        if report.missing or report.corrupt:
            raise CommandError("Not everything could be copied: see verifyblobs, and the backup.", returncode=1)


def _as_json(report: Moved) -> str:
    return json.dumps(asdict(report))


def _as_text(report: Moved, *, apply: bool) -> str:
    lines = [f"{problem}: {name}" for problem in ("missing", "corrupt") for name in getattr(report, problem)]
    done = "copied" if apply else "to copy (--apply does it)"
    counts = f"{report.copied} {done}, {report.there} there already, "
    return "\n".join([*lines, f"{counts}{len(report.missing)} missing, {len(report.corrupt)} corrupt."])
