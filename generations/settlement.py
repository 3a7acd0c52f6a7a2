"""How a generation ends: its row, its money, its quota and its pictures in one transaction.

`rows` is always a queryset of the one generation that holds only while the caller may write it (a lease's rows, or a
row that nobody holds): the first UPDATE locks the row and decides; 0 rows mean that somebody else has ended it.
Locks are taken in the order generation, usage, wallet everywhere, so that PostgreSQL finds no deadlock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import ledger, quotas
from gallery import services as gallery
from gallery.imaging import ImageFacts
from gallery.models import Image
from gallery.tasks import make_renditions
from generations import catalog, events
from generations.leases import LeaseLost
from generations.models import Attempt, Generation, GenerationQuerySet, Output, Status
from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What one attempt came to: a row of outcomes.py and what the upstream said about it."""

    outcome: str
    detail: str = ""
    http_status: int | None = None
    request_id: str = ""
    elapsed_ms: int | None = None
    finish_reason: str = ""
    block_reason: str = ""
    usage: dict[str, object] = field(default_factory=dict)
    raw_answer: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A verified picture whose bytes are already in the gallery's storage."""

    facts: ImageFacts
    thought_signature: str = ""


def conclude_attempt(attempt: Attempt, generation: Generation, conclusion: Conclusion) -> None:
    """Write an attempt's outcome and what it cost us. Precondition: an open transaction that locks the generation.

    A delivered picture costs what the price row says; any other paid outcome may have cost that, so it is booked to
    suspense until somebody compares it with the upstream's bill.
    """
    is_paid = OUTCOMES[conclusion.outcome].paid
    cost = generation.price.cost_micros if is_paid else 0
    concluded = Attempt.objects.filter(pk=attempt.pk, outcome=Attempt.SENT).update(
        outcome=conclusion.outcome,
        detail=conclusion.detail[:2000],
        http_status=conclusion.http_status,
        upstream_request_id=conclusion.request_id,
        elapsed_ms=conclusion.elapsed_ms,
        finish_reason=conclusion.finish_reason[:60],
        block_reason=conclusion.block_reason[:60],
        usage=conclusion.usage,
        raw_answer=conclusion.raw_answer,
        is_paid=is_paid,
        cost_micros=cost,
        finished_at=timezone.now(),
    )
    if concluded and cost:
        ledger.record_cost(
            amount_micros=cost,
            reference=str(generation.public_id),
            key=f"cost:{attempt.public_id}",
            price=generation.price,
            is_certain=conclusion.outcome in ("ok", "partial"),
        )


def succeed(
    rows: GenerationQuerySet,
    generation: Generation,
    attempt: Attempt,
    spec: GenerationSpec,
    *,
    pictures: Sequence[Picture],
    text: str,
    conclusion: Conclusion,
) -> None:
    """Pictures into the gallery, the price of those that came captured, the rest released. Raises LeaseLost."""
    with transaction.atomic():
        # Two versions: clients see 'output' and then 'succeeded'.
        _end(rows, Status.SUCCEEDED, stage="done", text=text, version=F("version") + 2)
        for index, picture in enumerate(pictures):
            image = _add_image(generation, spec, picture, caption=text)
            Output.objects.create(
                generation=generation,
                attempt=attempt,
                image=image,
                index=index,
                thought_signature=picture.thought_signature.encode(),
            )
            blob_id = image.blob_id
            transaction.on_commit(lambda blob_id=blob_id: make_renditions.delay(blob_id))  # type: ignore[misc]
        post = ledger.capture(hold=generation.hold, amount_micros=generation.price.amount_micros * len(pictures))
        Generation.objects.filter(pk=generation.pk).update(charged_micros=post.amount_micros)
        conclude_attempt(attempt, generation, conclusion)
        _announce(generation)


def fail(rows: GenerationQuerySet, generation: Generation, *, code: str, detail: str = "") -> None:
    """Nothing is charged: the hold goes back, and so does the day's quota. Raises LeaseLost."""
    _end_without_pictures(rows, generation, Status.FAILED, error_code=code, error_detail=detail[:500])


def cancel(rows: GenerationQuerySet, generation: Generation) -> None:
    """As `fail`, because the owner asked for it. Raises LeaseLost."""
    _end_without_pictures(rows, generation, Status.CANCELED)


def _end_without_pictures(rows: GenerationQuerySet, generation: Generation, status: Status, **fields: object) -> None:
    with transaction.atomic():
        _end(rows, status, stage="done", version=F("version") + 1, **fields)
        # A call whose end nobody saw, for instance of a worker that died: it may have cost us.
        for attempt in generation.attempts.filter(outcome=Attempt.SENT):
            conclude_attempt(attempt, generation, Conclusion(outcome="unknown", detail="the worker did not finish"))
        quotas.give_back_images(
            user=generation.user,
            count=GenerationSpec.from_canonical(generation.spec).count,
            window_start=generation.quota_window,
        )
        ledger.release(hold=generation.hold, reason=status.value)
        _announce(generation)


def _end(rows: GenerationQuerySet, status: Status, **fields: object) -> None:
    ended = rows.update(status=status, finished_at=timezone.now(), lease_owner="", lease_expires_at=None, **fields)
    if not ended:
        raise LeaseLost


def _add_image(generation: Generation, spec: GenerationSpec, picture: Picture, *, caption: str) -> Image:
    honoured = catalog.honours(picture.facts.width, picture.facts.height, spec.aspect_ratio, spec.image_size)
    return gallery.add_image(
        owner=generation.user,
        facts=picture.facts,
        prompt=generation.prompt,
        model=generation.model,
        caption=caption,
        aspect_ratio=spec.aspect_ratio,
        image_size=spec.image_size,
        honours_aspect_ratio=honoured.aspect_ratio,
        honours_image_size=honoured.image_size,
        source_reference=str(generation.public_id),
    )


def _announce(generation: Generation) -> None:
    transaction.on_commit(lambda: events.publish(generation.pk))
