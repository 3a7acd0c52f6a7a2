from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import ledger
from accounts.errors import ServiceError
from generations import catalog
from generations.emulated import emulator_if_needed
from generations.probing import probe


class Command(BaseCommand):
    help = (
        "The articles' connectivity test: one small picture straight from the upstream, on the operator's key and "
        "outside the ledger. Saves it and prints latency, bytes, request id and price."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", default=catalog.DEFAULT_MODEL_ID)
        parser.add_argument("--out", type=Path, default=None, help="default: DATA_DIR/probe.png")

    def handle(self, *args: Any, **options: Any) -> None:
        target = options["out"] or settings.DATA_DIR / "probe.png"
        try:
            with emulator_if_needed():
                found = probe(options["model"], save_to=target)
        except ServiceError as error:
            raise CommandError(error.message) from error
        figures = {
            "saved": target,
            "latency_ms": found.latency_ms,
            "bytes": found.byte_size,
            "pixels": f"{found.width}x{found.height}",
            "request_id": found.request_id,
            "price_usd": ledger.format_usd(found.price_micros),
        }
        for name, value in figures.items():
            self.stdout.write(f"{name}: {value}")
