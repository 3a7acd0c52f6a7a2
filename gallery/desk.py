"""What the review desk shows of a picture: who asks, why it waits, its prompt with the hits marked, earlier decisions.

Of the owner it tells the name and how earlier pictures were decided; never the email address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.errors import NotFound
from accounts.models import User
from gallery.models import Appeal, Image, ImageQuerySet, Reason, Report, Review, ReviewerSettings, ReviewStep
from gallery.review import claims, resemblance
from gallery.review.access import name_of_reviewer
from gallery.review.exposure import Seat
from gallery.review.reports import reports_of
from gallery.review.resemblance import Alike
from gallery.sources import Source, read
from gallery.tiles import file_address, name_of, source_set

IN_LIST = 100
KEYED_REASONS = 8
SIMILAR = 4  # pictures that look alike and were decided
TOGETHER = 20  # those that wait and can be decided with one press: no more than were shown
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """Another picture that looks like the one on the stage; `what` and what follows are empty for one that waits."""

    id: str
    name: str
    thumbnail: str
    version: int
    distance: int  # in bits of the perceptual hash
    what: str = ""
    reason: str = ""
    actor: str = ""
    at: datetime | None = None


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
    sources: list[Source]
    past: list[Past]
    similar: list[Similar]
    waiting: list[Similar]
    more_waiting: int
    reports: list[Report]
    appeal: Appeal | None
    reasons: list[Reason]
    more_reasons: list[Reason]
    settings: ReviewerSettings
    reveals: int
    waits_since: datetime
    due_at: datetime
    is_late: bool
    left_s: int  # of the claim
    is_appealed: bool
    needs_break: bool


def waiting_for(seat: Seat, *, only_appeals: bool = False) -> list[Review]:
    """What this reviewer may decide, in the order of the queue, at most IN_LIST; others may hold some of it."""
    rows = claims.may_decide(seat.reviewer, avoided=seat.settings.avoided)
    if only_appeals:
        rows = rows.filter(source="appeal")
    return list(rows[:IN_LIST])


def claim_of(
    seat: Seat, waiting: Sequence[Review], *, skipped: Sequence[str] = (), only_appeals: bool = False
) -> Review | None:
    """Hold the first of `waiting` that can be had, and of what waits behind it when the list is full."""
    now = timezone.now()
    free = [
        review
        for review in waiting
        if review.holder_id(now) in (None, seat.reviewer.pk) and str(review.image.public_id) not in skipped
    ]
    review = claims.claim_first(free[: claims.TRIES], reviewer=seat.reviewer)
    if review is None and len(waiting) == IN_LIST:
        return next_for(seat, skipped=skipped, only_appeals=only_appeals)
    return review


def next_for(seat: Seat, *, skipped: Sequence[str] = (), only_appeals: bool = False) -> Review | None:
    """Hold the first picture that waits and is free."""
    source = "appeal" if only_appeals else ""
    avoided = seat.settings.avoided
    return claims.claim_next(reviewer=seat.reviewer, skipped=skipped, avoided=avoided, source=source)


def queue_lines(waiting: Sequence[Review], reviewer: User) -> list[QueueLine]:
    """The list beside the stage."""
    now = timezone.now()
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
        for review in waiting
    ]


def examine(held: Review, seat: Seat) -> Exam:
    """The picture of the review that this reviewer holds, in two queries and one for reports. Raises NotFound."""
    steps = _steps_of(held)
    if not steps:
        raise NotFound
    review, before = steps[0].review, steps[0]
    image = review.image
    reasons = _reasons.of(before.policy_since)
    cluster = resemblance.cluster_of(review, seat.reviewer, avoided=seat.settings.avoided, steps=steps)
    is_appealed = image.review_status == Image.ReviewStatus.APPEALED
    now = timezone.now()
    waits_since, due_at = review.queued_at or now, review.due_at or now
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
        approved_before=before.owner_approved,
        refused_before=before.owner_refused,
        prompt=mark_hits(image.prompt, review.rule_hits),
        hits=hits_of(review.rule_hits),
        sources=read(image.sources),
        past=_past(review, steps),
        similar=[similar_of(alike) for alike in cluster.decided[:SIMILAR]],
        waiting=[similar_of(alike) for alike in cluster.waiting[:TOGETHER]],
        more_waiting=max(0, len(cluster.waiting) - TOGETHER),
        reports=reports_of(review) if review.source == "report" else [],
        appeal=getattr(review.decision, "appeal", None) if is_appealed else None,
        reasons=reasons[:KEYED_REASONS],
        more_reasons=reasons[KEYED_REASONS:],
        settings=seat.settings,
        reveals=seat.reveals,
        waits_since=waits_since,
        due_at=due_at,
        is_late=due_at < now,
        left_s=round((review.claimed_until - now).total_seconds()) if review.claimed_until else 0,
        is_appealed=is_appealed,
        needs_break=seat.needs_break,
    )


def similar_of(alike: Alike) -> Similar:
    """How the desk shows a picture that looks like another one."""
    review, image = alike.review, alike.review.image
    decision = review.decision if review.queued_at is None else None
    return Similar(
        id=str(image.public_id),
        name=name_of(image, 60),
        thumbnail=f"{file_address(image)}?variant=320",
        version=review.version,
        distance=alike.distance,
        what=VERBS.get(decision.verb, decision.verb) if decision else "",
        reason=decision.reason.label if decision and decision.reason else "",
        actor=name_of_reviewer(decision.actor) if decision else "",
        at=decision.created_at if decision else None,
    )


class _CurrentReasons:
    """The categories, read again when there is a newer row: rows never change, so the latest one tells all."""

    def __init__(self) -> None:
        self._known: tuple[datetime | None, list[Reason]] = (None, [])

    def of(self, since: datetime | None) -> list[Reason]:
        """Those of the policy whose latest row was made at this moment."""
        known_since, reasons = self._known
        if since is None or since != known_since:
            reasons = list(Reason.objects.current())
            self._known = (since, reasons)
        return reasons


_reasons = _CurrentReasons()


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


def _steps_of(review: Review) -> list[Any]:
    """All steps of a review, each with all that the desk shows of its picture and, as `owner_...`, of its owner.

    Read together in one statement: what is shown belongs to the version that the decision will name.
    """
    steps = ReviewStep.objects.filter(review=review).select_related(
        *("actor", "reason", "review__image__owner", "review__image__blob__poster"),
        *("review__decision__appeal", "review__resemblance"),
    )
    owned = Image.objects.filter(owner_id=review.image.owner_id)
    status = Image.ReviewStatus
    return list(
        steps.annotate(
            owner_approved=_count(owned.filter(review_status=status.APPROVED)),
            owner_refused=_count(owned.filter(review_status=status.REJECTED)),
            policy_since=Subquery(Reason.objects.order_by("-created_at").values("created_at")[:1]),
        ).order_by("version")
    )


def _count(images: ImageQuerySet) -> Coalesce:
    return Coalesce(Subquery(images.order_by().values("owner").annotate(count=Count("pk")).values("count")), 0)


def _past(review: Review, steps: Sequence[ReviewStep]) -> list[Past]:
    """What was done before, but for what a second person must not know: the proposals of this round."""
    if review.needs_two:
        hidden = ("approve", "reject", "quarantine", "undo")
        steps = [step for step in steps if step.version <= review.round_version or step.verb not in hidden]
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
