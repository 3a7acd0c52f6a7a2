"""The JSON of a generation (CONTRACT 5), rendered in one place for answers, lists and events."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.ledger import format_usd
from gallery.api.serializers import image_body
from generations.background import grounding_of, previews_of, thoughts_of
from generations.estimates import Estimate, estimate_all
from generations.models import DraftPreview, Generation, Status
from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec


def generation_bodies(generations: Iterable[Generation], request: HttpRequest | None = None) -> list[dict[str, Any]]:
    generations = list(generations)
    estimates = estimate_all(generations)
    return [_body(generation, estimates[generation.pk], request) for generation in generations]


def generation_body(generation: Generation, request: HttpRequest | None = None) -> dict[str, Any]:
    """One generation, loaded with `for_api()`."""
    return generation_bodies([generation], request)[0]


def _body(generation: Generation, estimate: Estimate, request: HttpRequest | None) -> dict[str, Any]:
    held = 0 if generation.is_terminal else generation.quoted_micros
    spec = GenerationSpec.from_canonical(generation.spec)
    outputs = [output for output in generation.shown_outputs if output.is_kept]
    return {
        "id": str(generation.public_id),
        "status": generation.status,
        "stage": generation.stage,
        "progress": estimate.progress,
        "queue_position": estimate.queue_position,
        "queue_reason": estimate.reason or None,
        "eta_s": estimate.eta_s,
        "model": generation.model,
        "kind": generation.kind,
        "prompt": generation.prompt,
        "parameters": spec.parameters(),
        "images": [image_body(output.image, request) for output in outputs if not output.is_draft],
        "text": generation.text or None,
        "thoughts": (thoughts_of(generation) or None) if spec.include_thoughts else None,
        "drafts": [image_body(output.image, request) for output in outputs if output.is_draft],
        "draft_previews": [_preview(generation, preview, request) for preview in previews_of(generation)],
        "grounding": _grounding(generation),
        "cost": {
            "quoted": format_usd(generation.quoted_micros),
            "held": format_usd(held),
            "charged": format_usd(generation.charged_micros),
            "currency": "USD",
        },
        "attempts": [
            {
                "number": attempt.number,
                "slot": attempt.slot,
                "outcome": attempt.outcome,
                "http_status": attempt.http_status,
                "upstream_request_id": attempt.upstream_request_id or None,
                "elapsed_ms": attempt.elapsed_ms,
            }
            for attempt in generation.attempts.all()
        ],
        "error": _error(generation),
        "source": generation.source,
        "parent": _parent(generation),
        "family": str(generation.family_public_id or generation.public_id),
        "reused_from": str(generation.reused_from.public_id) if generation.reused_from else None,
        "created_at": _moment(generation.created_at),
        "started_at": _moment(generation.started_at),
        "finished_at": _moment(generation.finished_at),
        "elapsed_ms": _elapsed_ms(generation),
        "version": generation.version,
        "links": _links(generation, request),
    }


def _parent(generation: Generation) -> dict[str, str | None] | None:
    if generation.parent_public_id is None:
        return None
    image = generation.parent_image_public_id
    return {"generation": str(generation.parent_public_id), "image": str(image) if image else None}


def _preview(generation: Generation, preview: DraftPreview, request: HttpRequest | None) -> dict[str, Any]:
    return {
        "id": str(preview.public_id),
        "width": preview.width,
        "height": preview.height,
        "dominant_colour": preview.dominant_colour,
        "url": f"{_address(generation, request)}/drafts/{preview.public_id}",
    }


def _grounding(generation: Generation) -> dict[str, Any] | None:
    grounding = grounding_of(generation)
    if grounding is None:
        return None
    sources = [{"uri": source.uri, "title": source.title, "domain": source.domain} for source in grounding.sources]
    return {"queries": list(grounding.queries), "sources": sources}


def _moment(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


def _error(generation: Generation) -> dict[str, Any] | None:
    if generation.status != Status.FAILED:
        return None
    outcome = OUTCOMES[generation.error_code]
    return {
        "code": generation.error_code,
        "message": outcome.message,
        "remedy": outcome.remedy,
        "retryable": outcome.retryable,
        "charged": generation.charged_micros > 0,
    }


def _elapsed_ms(generation: Generation) -> int | None:
    if generation.finished_at is None:
        return None
    return round((generation.finished_at - generation.queued_at).total_seconds() * 1000)


def _links(generation: Generation, request: HttpRequest | None) -> dict[str, str]:
    base = _address(generation, request)
    return {"self": base, "events": f"{base}/events", "cancel": f"{base}/cancel"}


def _address(generation: Generation, request: HttpRequest | None) -> str:
    path = f"/api/v1/generations/{generation.public_id}"
    return request.build_absolute_uri(path) if request else settings.SITE_URL + path
