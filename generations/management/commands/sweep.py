import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from generations.sweeper import sweep


class Command(BaseCommand):
    help = (
        "Take away expired leases and holds, send lost wake-ups, remove old spool files, exports and trash; prints "
        "what was found."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(asdict(sweep())))
