"""The articles' connectivity test: one small picture straight from the upstream, on the operator's key and outside the
ledger."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from accounts import ledger
from accounts.errors import ServiceUnavailable
from gallery.imaging import OUTPUT_LIMITS, ImageRejected, decode_base64_to_file, verify_image
from generations import catalog
from generations.outcomes import OUTCOMES
from generations.providers.base import ProviderError
from generations.providers.current import providers_for
from generations.spec import GenerationSpec

PROMPT = "A solid blue circle on white background."


class ProbeFailed(ServiceUnavailable):
    """The upstream brought no picture; the message says how its answer ended."""

    code = "probe_failed"
    title = "The probe brought no picture"
    message = "The probe brought no picture. No user was charged."
    remedy = "Check the upstream key and its address, and what the upstream says about its own state."


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe found; `latency_ms` is the whole call."""

    latency_ms: int
    byte_size: int
    width: int
    height: int
    request_id: str
    price_micros: int


def probe(model_id: str, *, save_to: Path | None = None) -> Probe:
    """Ask the first upstream of a model for its smallest picture. Raises ProbeFailed, PriceUnknown, UnknownModel."""
    model = catalog.get_model(model_id)
    size = model.sizes[0]
    spec = GenerationSpec.parse({"prompt": PROMPT, "model": model.id, "image_size": size}, default_image_size=size)
    price = ledger.current_price(model=spec.model, size=spec.image_size)
    provider = providers_for(spec)[0]
    with tempfile.TemporaryDirectory() as directory:
        target = save_to or Path(directory) / "picture"
        try:
            answer = provider.send(
                spec,
                key_index=0,
                timeout_s=settings.UPSTREAM_TIMEOUT_S or catalog.default_timeout_s(spec.image_size, spec.model),
                spool_path=Path(directory) / "reply",
            )
            reply = provider.read(answer)
            if reply.chosen is None:
                raise _failure(reply.outcome or "no_image", f"HTTP {answer.status}")
            decode_base64_to_file(reply.chosen.data, target, max_bytes=OUTPUT_LIMITS.max_bytes)
            facts = verify_image(target, limits=OUTPUT_LIMITS)
        except ProviderError as error:
            raise _failure(error.outcome, error.detail) from error
        except ImageRejected as error:
            raise _failure(error.reason, error.detail) from error
    return Probe(
        latency_ms=answer.elapsed_ms,
        byte_size=facts.byte_size,
        width=facts.width,
        height=facts.height,
        request_id=answer.request_id or reply.response_id or "-",
        price_micros=price.amount_micros,
    )


def _failure(outcome: str, detail: str) -> ProbeFailed:
    return ProbeFailed(f"{OUTCOMES[outcome].message} ({outcome}: {detail})")
