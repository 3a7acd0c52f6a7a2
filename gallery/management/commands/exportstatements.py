"""The statements of reasons for the DSA Transparency Database."""

import json
from argparse import ArgumentParser
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gallery.models import Statement
from gallery.review.statements import as_dsa


class Command(BaseCommand):
    help = (
        "Print every statement of reasons as one line of JSON, with the field names of the DSA Transparency Database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", metavar="DATE", help="only those from this day on (UTC), such as 2026-11-27")

    def handle(self, *args: object, since: str | None = None, **options: Any) -> None:
        # What was taken back within the half minute was never told.
        rows = Statement.objects.filter(step__undone_by=None).order_by("pk")
        if since:
            rows = rows.filter(created_at__gte=_day(since))
        for statement in rows.select_related("step__reason", "step__review__image").iterator(chunk_size=500):
            self.stdout.write(json.dumps(as_dsa(statement), ensure_ascii=False))


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no date; write it as 2026-11-27.", returncode=2) from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
