"""How a generation ends: its row, its money, its quota and its pictures in one transaction.

`rows` is always a queryset of the one generation that holds only while the caller may write it (a lease's rows, or a
row that nobody holds): the first UPDATE locks the row and decides; 0 rows mean that somebody else has ended it.
Locks are taken in the order generation, usage, wallet everywhere, so that PostgreSQL finds no deadlock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts import ledger, quotas
from accounts.models import Transfer
from gallery import services as gallery
from gallery.imaging import ImageFacts
from gallery.models import Image
from gallery.tasks import make_renditions
from gallery.video import VideoFacts
from generations import catalog, events
from generations.background import evidence_of
from generations.leases import LeaseLost
from generations.models import Attempt, Evidence, Generation, GenerationQuerySet, Output, Status
from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec
from generations.wire.reply import Grounding, SafetyRating


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
    """A verified picture, or a clip with its poster, whose bytes are already in the gallery's storage."""

    facts: ImageFacts | VideoFacts
    poster: ImageFacts | None = None
    thought_signature: str = ""
    is_draft: bool = False

    def as_json(self) -> dict[str, object]:
        """How it waits in its attempt's row."""
        return {
            "facts": asdict(self.facts),
            "poster": asdict(self.poster) if self.poster else None,
            "thought_signature": self.thought_signature,
            "is_draft": self.is_draft,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Picture":
        poster = document.get("poster")
        facts = VideoFacts(**document["facts"]) if poster else ImageFacts(**document["facts"])
        return cls(**document | {"facts": facts, "poster": ImageFacts(**poster) if poster else None})


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a call brought beside its conclusion; drafts are among the pictures."""

    pictures: tuple[Picture, ...] = ()
    text: str = ""
    text_signature: str = ""
    thoughts: str = ""
    safety_ratings: tuple[SafetyRating, ...] = ()
    grounding: Grounding | None = None

    @property
    def finals(self) -> tuple[Picture, ...]:
        return tuple(picture for picture in self.pictures if not picture.is_draft)


NOTHING = Delivery()


def waiting_digests() -> set[str]:
    """The SHA-256 of all bytes that wait in an attempt's row for the end of its job."""
    waiting = Attempt.objects.filter(generation__in=Generation.objects.unfinished()).exclude(pictures=[])
    pictures = [document for documents in waiting.values_list("pictures", flat=True) for document in documents]
    return {facts["sha256"] for picture in pictures for facts in (picture["facts"], picture.get("poster")) if facts}


def conclude_attempt(
    attempt: Attempt,
    generation: Generation,
    conclusion: Conclusion,
    *,
    delivery: Delivery = NOTHING,
    asked: int = 1,
) -> None:
    """Write an attempt's outcome and what it cost us. Precondition: an open transaction that locks the generation.

    A call for `asked` pictures costs what the price row says for each that came; any other paid outcome may have cost
    all of them, so it is booked to suspense until somebody compares it with the upstream's bill.
    """
    is_paid = OUTCOMES[conclusion.outcome].paid
    cost = generation.price.cost_micros * (len(delivery.finals) or asked) if is_paid else 0
    is_certain = conclusion.outcome in ("ok", "partial")
    spec = GenerationSpec.from_canonical(generation.spec)
    honoured = [_judge(each, spec) for each in delivery.finals]
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
        pictures=[picture.as_json() for picture in delivery.pictures],
        text=delivery.text,
        text_signature=delivery.text_signature.encode(),
        thoughts=delivery.thoughts,
        safety_ratings=[asdict(rating) for rating in delivery.safety_ratings],
        is_paid=is_paid,
        cost_micros=cost,
        cost_verdict="open" if cost and not is_certain else "",
        picture_count=len(delivery.finals),
        shape_count=sum(each.aspect_ratio for each in honoured),
        size_count=sum(each.image_size for each in honoured),
        finished_at=timezone.now(),
    )
    if concluded and spec.include_thoughts:
        attempt.previews.all().delete()  # those of a call that succeeds are among its pictures
    if concluded and delivery.grounding:
        _keep_evidence(attempt, delivery.grounding)
    if concluded and cost:
        ledger.record_cost(
            amount_micros=cost,
            reference=str(generation.public_id),
            key=f"cost:{attempt.public_id}",
            price=generation.price,
            is_certain=is_certain,
        )


def _keep_evidence(attempt: Attempt, grounding: Grounding) -> None:
    Evidence.objects.create(
        attempt=attempt,
        queries=[*grounding.web_queries, *grounding.image_queries],
        sources=[asdict(source) for source in grounding.sources],
        rendered_content=grounding.rendered_content,
    )


def succeed(rows: GenerationQuerySet, generation: Generation, spec: GenerationSpec) -> None:
    """The pictures that wait in this run's attempts go into the gallery, and exactly their price is captured.

    The rest of the hold and of the day's quota goes back. Raises LeaseLost.
    """
    waiting = [
        (attempt, Picture.from_json(document))
        for attempt in _grounded(generation.attempts.filter(run=generation.run).order_by("slot", "number"))
        for document in attempt.pictures
    ]
    delivered = [(attempt, picture) for attempt, picture in waiting if not picture.is_draft][: spec.count]
    drafts = [(attempt, picture) for attempt, picture in waiting if picture.is_draft]
    text = next((attempt.text for attempt, _ in delivered if attempt.text), "")
    with transaction.atomic():
        # Two versions: clients see 'output' and then 'succeeded'.
        _end(rows, Status.SUCCEEDED, stage="done", text=text, version=F("version") + 2)
        for row in (delivered, drafts):
            for index, (attempt, picture) in enumerate(row):
                _add_output(generation, spec, attempt, picture, index)
        _give_back(generation, spec.count - len(delivered))
        post = ledger.capture(hold=_hold_of(generation), amount_micros=generation.price.amount_micros * len(delivered))
        Generation.objects.filter(pk=generation.pk).update(charged_micros=post.amount_micros)
        # The gallery has them now; a second copy of their facts could only disagree.
        generation.attempts.filter(run=generation.run).update(pictures=[])
        _end_reusers(generation, Status.SUCCEEDED, text=text, version=F("version") + 2)
        _announce(generation)


def _grounded(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """With what a search brought for each, without the search engine's own HTML."""
    return attempts.select_related("evidence").defer("evidence__rendered_content", "evidence__queries")


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
        if generation.hold is not None:  # one that waits for another's pictures has taken nothing
            _give_back(generation, GenerationSpec.from_canonical(generation.spec).count)
            ledger.release(hold=generation.hold, reason=status.value)
        _end_reusers(generation, status, version=F("version") + 1, **fields)
        _announce(generation)


def _end_reusers(generation: Generation, status: Status, **fields: object) -> None:
    """Those that were answered with this one while it ran end as it does; they cost nothing either way."""
    waiting = Generation.objects.unfinished().filter(reused_from=generation)
    ids = list(waiting.values_list("pk", flat=True))
    if ids:
        waiting.update(status=status, stage="done", finished_at=timezone.now(), **fields)
    for pk in ids:
        transaction.on_commit(partial(events.publish, pk))


def _hold_of(generation: Generation) -> Transfer:
    assert generation.hold is not None, "a reused generation is never worked on"
    return generation.hold


def _add_output(generation: Generation, spec: GenerationSpec, attempt: Attempt, picture: Picture, index: int) -> None:
    evidence = None if picture.is_draft else evidence_of(attempt)
    image = _add_image(
        generation,
        spec,
        picture,
        caption="" if picture.is_draft else attempt.text,
        sources=evidence.sources if evidence else (),
    )
    Output.objects.create(
        generation=generation,
        attempt=attempt,
        image=image,
        index=index,
        is_draft=picture.is_draft,
        thought_signature=picture.thought_signature.encode(),
    )
    blob_id = image.blob_id
    transaction.on_commit(lambda: make_renditions.delay(blob_id))


def _give_back(generation: Generation, count: int) -> None:
    if count:
        quotas.give_back_images(
            user=generation.user, api_key_id=generation.api_key_id, count=count, day=generation.quota_window
        )


def _end(rows: GenerationQuerySet, status: Status, **fields: object) -> None:
    ended = rows.update(status=status, finished_at=timezone.now(), lease_owner="", lease_expires_at=None, **fields)
    if not ended:
        raise LeaseLost


def _judge(picture: Picture, spec: GenerationSpec) -> catalog.Honoured:
    facts = picture.facts
    return catalog.honours(facts.width, facts.height, spec.aspect_ratio, spec.image_size, model_id=spec.model)


def _add_image(
    generation: Generation, spec: GenerationSpec, picture: Picture, *, caption: str, sources: Sequence[dict[str, Any]]
) -> Image:
    honoured = _judge(picture, spec)
    return gallery.add_image(
        owner=generation.user,
        facts=picture.facts,
        poster=picture.poster,
        prompt=generation.prompt,
        rule_hits=generation.rule_hits,
        sources=sources,
        model=generation.model,
        caption=caption,
        aspect_ratio=spec.aspect_ratio,
        image_size=spec.image_size,
        honours_aspect_ratio=honoured.aspect_ratio,
        honours_image_size=honoured.image_size,
        source_reference=str(generation.public_id),
        kind="draft" if picture.is_draft else spec.kind,
    )


def _announce(generation: Generation) -> None:
    transaction.on_commit(lambda: events.publish(generation.pk))
