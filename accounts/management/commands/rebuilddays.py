from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from accounts import closed_days


class Command(BaseCommand):
    help = "Make the kept figures of all days that are over again from the ledger; prints how many days there are."

    def handle(self, *args: Any, **options: Any) -> str:
        return str(closed_days.rebuild(timezone.now()))
