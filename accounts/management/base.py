"""What our commands share: moments as they are typed, and refusals as one sentence on stderr with exit code 1."""

from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator
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


def whole_number(text: str) -> int:
    """ASCII digits and nothing else; whether the number is in range the service says."""
    if not text.isascii() or not text.isdecimal():
        raise ArgumentTypeError(f"{text[:50]!r} is not a whole number")
    return int(text[:30])


class ServiceCommand(BaseCommand):
    """A command that calls a service; what `handle` returns stands alone on stdout."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ServiceError as error:
            raise CommandError(" ".join(_sentences(error, options)) or error.message) from error


def _sentences(error: ServiceError, options: Collection[str]) -> Iterator[str]:
    """What was refused, field by field, and by the name of its option where it has one."""
    for problem in error.errors:
        name = problem.field.removesuffix("_micros").removesuffix("_at")
        option = next((each for each in (name, f"{name}_usd") if each in options), None)
        yield f"--{option.replace('_', '-')}: {problem.message}" if option else problem.message
