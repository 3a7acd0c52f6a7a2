"""What our commands share: a verb's refusal becomes one sentence on stderr and exit code 1."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.errors import ServiceError


class ServiceCommand(BaseCommand):
    """A command that calls a service; what `handle` returns stands alone on stdout."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ServiceError as error:
            raise CommandError(error.message) from error
