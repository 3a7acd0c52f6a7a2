"""What the review desk shows of a picture: who asks, why it waits, its prompt with the hits marked, earlier decisions.

Of the owner it tells the name and how earlier pictures were decided; never the email address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from accounts.models import User
from gallery.models import Appeal, Image, Reason, Report, Review, ReviewerSettings, ReviewStep
from gallery.review import claims, exposure
from gallery.review.access import name_of_reviewer
from gallery.review.reports import reports_of
from gallery.tiles import file_address, name_of, source_set

IN_LIST = 100
KEYED_REASONS = 8
SOURCES = {
    "request": "Publish request",
    "rule": "Marked by a rule",
    "report": "Reported",
    "appeal": "Appeal",
    "second_look": "Second look",
    "post": "Public already",
    "reword": "New words",
}
VERBS = {
    "request": "Publication asked for",
    "withdraw": "Withdrawn by the owner",
    "approve": "Approved",
    "reject": "Refused",
    "escalate": "Sent on for a second look",
    "quarantine": "Quarantined",
    "undo": "Decision taken back",
    "appeal": "Appealed",
    "report": "Reported often enough",
    "return": "Back in the queue",
    "steal": "Taken over",
    "reword": "Words changed by the owner",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLine:
    """One picture of the list beside the stage."""

    id: str
    name: str
    source: str
    waits_since: datetime
    is_late: bool
    thumbnail: str
    is_free: bool


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the prompt; `rule` is what marked it, empty for what nothing did."""

    text: str
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What one rule found, with its score in percent."""

    rule: str
    version: str
    category: str
    percent: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One earlier step; `actor` is how colleagues are called."""

    what: str
    actor: str
    reason: str
    note: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Exam:
    """Everything about the picture on the stage."""

    review: Review
    image: Image
    name: str
    address: str
    source_set: str
    ratio: float
    source: str
    owner: str
    approved_before: int
    refused_before: int
    prompt: list[Part]
    hits: list[Hit]
    past: list[Past]
    reports: list[Report]
    appeal: Appeal | None
    reasons: list[Reason]
    more_reasons: list[Reason]
    settings: ReviewerSettings
    reveals: int
    left_s: int  # of the claim
    is_appealed: bool
    needs_break: bool


def queue_lines(reviewer: User, *, only_appeals: bool = False) -> list[QueueLine]:
    """The pictures that this reviewer may decide, in the order of the queue, at most IN_LIST."""
    now = timezone.now()
    rows = claims.may_decide(reviewer)
    if only_appeals:
        rows = rows.filter(source="appeal")
    return [
        QueueLine(
            id=str(review.image.public_id),
            name=name_of(review.image, 60),
            source=SOURCES.get(review.source, review.source),
            waits_since=review.queued_at or now,
            is_late=bool(review.due_at and review.due_at < now),
            thumbnail=f"{file_address(review.image)}?variant=320",
            is_free=review.holder_id(now) in (None, reviewer.pk),
        )
        for review in rows[:IN_LIST]
    ]


def examine(review: Review, reviewer: User) -> Exam:
    """The picture of `review`, which the reviewer holds."""
    image = Image.objects.select_related("blob", "owner").get(pk=review.image_id)
    reasons = list(Reason.objects.current())
    settings = exposure.settings_of(reviewer)
    reveals = exposure.reveals_of(reviewer)
    before = Image.objects.filter(owner=image.owner).aggregate(
        approved=Count("pk", filter=Q(review_status=Image.ReviewStatus.APPROVED)),
        refused=Count("pk", filter=Q(review_status=Image.ReviewStatus.REJECTED)),
    )
    is_appealed = image.review_status == Image.ReviewStatus.APPEALED
    still = image.blob.still
    return Exam(
        review=review,
        image=image,
        name=name_of(image),
        address=f"{file_address(image)}?variant=640",
        source_set=source_set(image, "640", "1280"),
        ratio=round(still.width / still.height, 4),
        source=SOURCES.get(review.source, review.source),
        owner=image.owner.name or "a maker without a name",
        approved_before=before["approved"],
        refused_before=before["refused"],
        prompt=mark_hits(image.prompt, review.rule_hits),
        hits=hits_of(review.rule_hits),
        past=_past(review),
        reports=reports_of(review) if review.source == "report" else [],
        appeal=Appeal.objects.filter(decision_id=review.decision_id).first() if is_appealed else None,
        reasons=reasons[:KEYED_REASONS],
        more_reasons=reasons[KEYED_REASONS:],
        settings=settings,
        reveals=reveals,
        left_s=round((review.claimed_until - timezone.now()).total_seconds()) if review.claimed_until else 0,
        is_appealed=is_appealed,
        needs_break=reveals >= exposure.REVEALS_PER_HOUR,
    )


def mark_hits(prompt: str, rule_hits: Sequence[dict[str, Any]]) -> list[Part]:
    """The prompt in pieces, those that a rule hit with its name; spans that make no sense are left out."""
    spans = sorted(
        (max(0, hit["start"]), min(len(prompt), hit["end"]), str(hit.get("rule", "")))
        for hit in rule_hits
        if isinstance(hit.get("start"), int) and isinstance(hit.get("end"), int)
        if hit.get("field", "prompt") == "prompt"  # what stands in a style or a title is listed, but has no place here
    )
    parts, done = [], 0
    for start, end, rule in spans:
        start = max(start, done)  # what two rules hit is marked once
        if start >= end:
            continue
        if start > done:
            parts.append(Part(prompt[done:start]))
        parts.append(Part(prompt[start:end], rule or "rule"))
        done = end
    return [*parts, Part(prompt[done:])] if done < len(prompt) else parts


def hits_of(rule_hits: Sequence[dict[str, Any]]) -> list[Hit]:
    """What the rules found, the surest first."""
    hits = [
        Hit(
            rule=str(hit.get("rule", "rule")),
            version=str(hit.get("version", "")),
            category=str(hit.get("class", "")).replace("_", " "),
            percent=max(0, min(100, round(100 * float(hit.get("score", 1))))),
            action=str(hit.get("action", "")),
        )
        for hit in rule_hits
    ]
    return sorted(hits, key=lambda hit: -hit.percent)


def _past(review: Review) -> list[Past]:
    """What was done before, but for what a second person must not know: the proposals of this round."""
    steps = ReviewStep.objects.filter(review=review).select_related("actor", "reason").order_by("version")
    if review.needs_two:
        steps = steps.exclude(version__gt=review.round_version, verb__in=["approve", "reject", "quarantine", "undo"])
    return [
        Past(
            what=VERBS.get(step.verb, step.verb),
            actor="" if step.verb in ("request", "withdraw", "appeal", "reword") else name_of_reviewer(step.actor),
            reason=step.reason.label if step.reason else "",
            note=step.note,
            at=step.created_at,
        )
        for step in steps
    ]
