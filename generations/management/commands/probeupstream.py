import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import ledger
from accounts.errors import ServiceError
from gallery.imaging import OUTPUT_LIMITS, ImageRejected, decode_base64_to_file, verify_image
from generations import catalog
from generations.emulated import emulator_if_needed
from generations.outcomes import OUTCOMES
from generations.providers.base import ProviderError
from generations.providers.current import current_provider
from generations.spec import GenerationSpec

PROMPT = "A solid blue circle on white background."


class Command(BaseCommand):
    help = (
        "The articles' connectivity test: one small picture straight from the upstream, on the operator's key and "
        "outside the ledger. Saves it and prints latency, bytes, request id and price."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", default=catalog.DEFAULT_MODEL_ID)
        parser.add_argument("--out", type=Path, default=None, help="default: DATA_DIR/probe.png")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            model = catalog.get_model(options["model"])
            spec = GenerationSpec.parse(
                {"prompt": PROMPT, "model": model.id, "image_size": model.sizes[0]}, default_image_size=model.sizes[0]
            )
            price = ledger.current_price(model=spec.model, size=spec.image_size)
        except ServiceError as error:
            raise CommandError(error.message) from error
        target = options["out"] or settings.DATA_DIR / "probe.png"
        with emulator_if_needed(), tempfile.TemporaryDirectory() as directory:
            provider = current_provider()
            try:
                answer = provider.send(
                    spec,
                    key_index=0,
                    timeout_s=settings.UPSTREAM_TIMEOUT_S or catalog.default_timeout_s(spec.image_size),
                    spool_path=Path(directory) / "reply",
                )
            except ProviderError as error:
                raise CommandError(f"{OUTCOMES[error.outcome].message} ({error.outcome}: {error.detail})") from error
            reply = provider.read(answer)
            if reply.chosen is None:
                outcome = OUTCOMES[reply.outcome or "no_image"]
                raise CommandError(f"{outcome.message} ({outcome.name}, HTTP {answer.status})")
            try:
                decode_base64_to_file(reply.chosen.data, target, max_bytes=OUTPUT_LIMITS.max_bytes)
                facts = verify_image(target, limits=OUTPUT_LIMITS)
            except ImageRejected as error:
                raise CommandError(f"{OUTCOMES[error.reason].message} ({error.reason}: {error.detail})") from error
        figures = {
            "saved": target,
            "latency_ms": answer.elapsed_ms,
            "bytes": facts.byte_size,
            "pixels": f"{facts.width}x{facts.height}",
            "request_id": answer.request_id or reply.response_id or "-",
            "price_usd": ledger.format_usd(price.amount_micros),
        }
        for name, value in figures.items():
            self.stdout.write(f"{name}: {value}")
