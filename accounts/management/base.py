"""What our commands share: moments as they are typed, and refusals as one sentence on stderr with exit code 1."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.errors import ServiceError


def moment(text: str) -> datetime:
    """An ISO date, which means its first moment, or an ISO time; UTC unless it says otherwise."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


class ServiceCommand(BaseCommand):
    """A command that calls a service; what `handle` returns stands alone on stdout."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ServiceError as error:
            raise CommandError(error.message) from error
