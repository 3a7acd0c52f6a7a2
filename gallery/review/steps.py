"""The one function that moves a picture through the review, and the table of what may follow what (TRUST M1, M2).

A step changes the review, its picture and the log in one transaction. `Review.version` decides races: the conditional
UPDATE is won by one, and the slower one learns who was faster.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db.models import F, Max

from accounts.errors import Conflict, NotFound
from accounts.models import User
from gallery.errors import ReviewConflict
from gallery.models import Image, Reason, Review, ReviewStep, new_publication_key, new_published_order
from gallery.models.review import HIGH_RISK
from gallery.review import resemblance
from gallery.review.access import name_of_reviewer

Status = Image.ReviewStatus

SLA = timedelta(hours=24)
HIGH_RISK_SLA = timedelta(hours=1)
# What may follow what. A step back is not here: it undoes one of these, and goes exactly where that one came from.
EDGES: dict[str, frozenset[str]] = {
    Status.NONE: frozenset({Status.PENDING, Status.APPROVED, Status.ESCALATED}),
    Status.PENDING: frozenset({Status.PENDING, Status.NONE, Status.APPROVED, Status.REJECTED, Status.ESCALATED}),
    Status.ESCALATED: frozenset({Status.ESCALATED, Status.APPROVED, Status.REJECTED, Status.QUARANTINED}),
    # Decided once more only while it waits for that (REVIEW_MODE post); back to the start when its words change.
    Status.APPROVED: frozenset(
        {Status.APPROVED, Status.REPORTED, Status.REJECTED, Status.ESCALATED, Status.PENDING, Status.NONE}
    ),
    Status.REPORTED: frozenset({Status.PENDING}),
    Status.REJECTED: frozenset({Status.REJECTED, Status.APPEALED, Status.ESCALATED}),
    Status.APPEALED: frozenset({Status.APPEALED, Status.APPROVED, Status.REJECTED, Status.QUARANTINED}),
    Status.QUARANTINED: frozenset({Status.QUARANTINED, Status.ESCALATED}),
}
DECISIONS = ("approve", "reject", "escalate", "quarantine")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in the queue; `risk` is 0 to 100."""

    source: str
    risk: int
    since: datetime

    @property
    def due_at(self) -> datetime:
        return self.since + (HIGH_RISK_SLA if self.risk >= HIGH_RISK else SLA)


@dataclass(frozen=True, kw_only=True)
class Round:
    """Whether two people must agree, and the version since which their proposals count."""

    needs_two: bool = False
    since: int = 0


def get_review(image_id: UUID | str) -> Review:
    """The review of a picture, with the picture. Raises NotFound; one that never entered the review has none."""
    review = (
        Review.objects.select_related("image", "decision__reason")
        .filter(image__public_id=image_id, image__purged_at=None)
        .first()
    )
    if review is None:
        raise NotFound
    return review


def enter(image: Image) -> Review:
    """The review of this picture, made at its first step; two at once find the same row."""
    review, is_new = Review.objects.get_or_create(image=image)
    if is_new:
        resemblance.note(review, image)
    # Read together in one statement: the status belongs to the version.
    return Review.objects.select_related("image", "decision__reason").get(pk=review.pk)


def policy_version() -> int:
    """The number of the policy in force: that of its latest reason."""
    return Reason.objects.aggregate(latest=Max("version"))["latest"] or 0


def place_of(review: Review) -> Place | None:
    """Where it stands in the queue now."""
    return Place(source=review.source, risk=review.risk, since=review.queued_at) if review.queued_at else None


def round_of(review: Review) -> Round:
    return Round(needs_two=review.needs_two, since=review.round_version)


def refuse_stale(review: Review, version: int | None, *, asked_by_owner: bool = False) -> None:
    """Raises ReviewConflict when `version` is not the review's; None does not ask."""
    if version is not None and version != review.version:
        raise conflict_of(review, asked_by_owner=asked_by_owner)


def conflict_of(review: Review, *, asked_by_owner: bool = False) -> Conflict:
    """Who was faster; a decision that awaits a second person is not told, for that one shall decide unswayed."""
    last = ReviewStep.objects.filter(review=review).select_related("actor").order_by("-version").first()
    image = Image.objects.only("review_status", "owner_id").get(pk=review.image_id)
    version = last.version if last else review.version
    facts: dict[str, Any] = {"version": version, "review_status": image.review_status}
    if last is None or asked_by_owner:
        return ReviewConflict("This picture has been decided meanwhile.", **facts)
    who = "The owner" if last.actor_id == image.owner_id else name_of_reviewer(last.actor).capitalize()
    did = "made a first decision on" if last.proposed else _DID.get(last.verb, "changed")
    facts |= {"decided_by": who, "decided_at": last.created_at.isoformat().replace("+00:00", "Z")}
    return ReviewConflict(f"{who} {did} this picture at {last.created_at:%H:%M} UTC.", **facts)


_DID = {
    "approve": "approved",
    "reject": "refused",
    "escalate": "sent on for a second look",
    "quarantine": "quarantined",
    "undo": "took back a decision on",
    "withdraw": "withdrew",
    "steal": "took over",
    "reword": "changed the words of",
    "appeal": "appealed for",
    "erase": "deleted",
}


def take_step(
    review: Review,
    verb: str,
    *,
    to_status: str,
    actor: User | None,
    place: Place | None,
    visibility: str | None = None,
    reason: Reason | None = None,
    note: str = "",
    proposed: str = "",
    round: Round | None = None,
    decides: bool = False,
    undoes: ReviewStep | None = None,
    is_automated: bool = False,
    asked_by_owner: bool = False,
) -> ReviewStep:
    """Move `review`, as it was read, to `to_status`: its row, its picture's and one line of the log, and end its claim.

    `place` is where it waits afterwards, None for nowhere; `decides` makes this step the review's decision.
    Precondition: an open transaction, in which the review was read with its image. Raises Conflict: a step that must
    not follow, or somebody was faster.
    """
    image = review.image
    from_status = image.review_status
    if to_status != undoes.from_status if undoes else to_status not in EDGES[from_status]:
        raise Conflict(f"A picture that is {from_status} cannot become {to_status}.", review_status=from_status)
    visibility = visibility or image.visibility
    round = round or Round()
    # The race of two reviewers, and of a reviewer with the owner: of all who have read this version, one raises it.
    won = Review.objects.filter(pk=review.pk, version=review.version).update(
        version=F("version") + 1,
        source=place.source if place else review.source,
        risk=place.risk if place else review.risk,
        queued_at=place.since if place else None,
        due_at=place.due_at if place else None,
        claimed_by=None,
        claimed_until=None,
        needs_two=round.needs_two,
        round_version=round.since,
        rule_hits=review.rule_hits,
        categories=review.categories,
    )
    if not won:
        raise conflict_of(review, asked_by_owner=asked_by_owner)
    step = ReviewStep.objects.create(
        review=review,
        version=review.version + 1,
        verb=verb,
        from_status=from_status,
        to_status=to_status,
        proposed=proposed,
        actor=actor,
        reason=reason,
        note=note,
        visibility=visibility,
        rule_hits=review.rule_hits,
        policy_version=policy_version(),
        is_automated=is_automated,
        undoes=undoes,
        queued_at_before=review.queued_at,
        risk_before=review.risk,
        source_before=review.source,
        needed_two_before=review.needs_two,
        round_version_before=review.round_version,
        decision_before=review.decision,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", ""))[:64],
    )
    decision = step if decides else undoes.decision_before if undoes else review.decision
    if decision != review.decision:
        Review.objects.filter(pk=review.pk).update(decision=decision)
    _move_image(image, to_status, visibility)
    review.refresh_from_db()
    return step


def _move_image(image: Image, to_status: str, visibility: str) -> None:
    def is_shown(status: str, asked: str) -> bool:
        return status == Status.APPROVED and asked != Image.Visibility.PRIVATE

    changes: dict[str, Any] = {"review_status": to_status, "visibility": visibility, "version": F("version") + 1}
    was_shown, is_now = is_shown(image.review_status, image.visibility), is_shown(to_status, visibility)
    if was_shown != is_now:
        # An address that has ended never answers again: the next time the picture is public it has another one.
        changes["publication_key"] = new_publication_key() if is_now else None
        changes["published_order"] = new_published_order() if is_now else None
    Image.objects.filter(pk=image.pk).update(**changes)
    image.refresh_from_db(fields=[*changes])
