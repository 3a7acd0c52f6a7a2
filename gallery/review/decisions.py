"""What reviewers do: approve, refuse, ask for a second look, quarantine, many at once, and take back (TRUST M4, M8)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput, NotFound, ServiceError
from accounts.models import User
from gallery.models import MAX_NOTE_CHARS, Image, Reason, Review, ReviewStep
from gallery.review import notices
from gallery.review.claims import CLAIM, refuse_involved, refuse_lost_claim
from gallery.review.statements import state_reasons
from gallery.review.steps import (
    DECISIONS,
    Place,
    Round,
    Status,
    conflict_of,
    enter,
    get_review,
    refuse_stale,
    take_step,
)

UNDO_WITHIN = timedelta(seconds=30)
MAX_BULK = 200
OUTCOMES = {
    "approve": Status.APPROVED.value,
    "reject": Status.REJECTED.value,
    "escalate": Status.ESCALATED.value,
    "quarantine": Status.QUARANTINED.value,
}
SUSPECTED_RISK = 100  # what somebody wants to quarantine is looked at first


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture to decide: its public id, and the version of its review that the reviewer has seen."""

    image_id: UUID | str
    version: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one of many; `error` is None when it was decided."""

    image_id: str
    step: ReviewStep | None
    error: ServiceError | None


def approve(*, reviewer: User, image_id: UUID | str, version: int, note: str = "") -> ReviewStep:
    """Let a picture be seen as its owner asks; with `decide`'s errors."""
    return decide(verb="approve", reviewer=reviewer, image_id=image_id, version=version, note=note)


def reject(*, reviewer: User, image_id: UUID | str, version: int, reason: str = "", note: str = "") -> ReviewStep:
    """Refuse a picture, and tell its owner why; an appealed one for the same reason. With `decide`'s errors."""
    return decide(verb="reject", reviewer=reviewer, image_id=image_id, version=version, reason=reason, note=note)


def escalate(*, reviewer: User, image_id: UUID | str, version: int, note: str = "") -> ReviewStep:
    """Ask for a second look by somebody else; with `decide`'s errors."""
    return decide(verb="escalate", reviewer=reviewer, image_id=image_id, version=version, note=note)


def quarantine(*, reviewer: User, image_id: UUID | str, version: int, reason: str, note: str = "") -> ReviewStep:
    """Shut away what may be illegal, from any state: from the public at once, from its owner when a second agrees."""
    return decide(verb="quarantine", reviewer=reviewer, image_id=image_id, version=version, reason=reason, note=note)


def decide(
    *, verb: str, reviewer: User, image_id: UUID | str, version: int, reason: str = "", note: str = ""
) -> ReviewStep:
    """One decision over one picture. Where two people must agree, the first one is a proposal that only they see.

    1. the picture waits, nobody else holds it, and the reviewer is not involved; 2. proposal or decision; 3. for a
    refusal, the statement of reasons; and the owner's notice of a decision, mailed when it can no longer be taken
    back. Raises NotFound, InvalidInput (reason, note), ReviewConflict, ClaimLost,
    SecondPersonNeeded and Conflict.
    """
    note = _checked_note(note)
    with transaction.atomic():
        review = _review_for(verb, image_id)
        refuse_stale(review, version)
        refuse_involved(review, reviewer)
        refuse_lost_claim(review, reviewer)
        _refuse_undecidable(review, verb)
        given = _reason_for(verb, reason, review)
        if verb == "escalate":
            return _hand_on(review, reviewer, note)
        return _decide(review, verb, reviewer, given, note)


def decide_many(*, verb: str, reviewer: User, items: Sequence[Item], reason: str = "", note: str = "") -> list[Result]:
    """The same decision over up to MAX_BULK pictures, each on its own and logged singly; one conflict stops no other.

    Raises InvalidInput when nothing was tried.
    """
    if not 1 <= len(items) <= MAX_BULK:
        raise InvalidInput.of("items", f"{len(items)} pictures were named; 1 to {MAX_BULK} can be decided at once.")
    if verb not in ("approve", "reject", "escalate"):
        raise InvalidInput.of("verb", "Many at once can be approved, rejected or escalated.")
    if len({str(item.image_id) for item in items}) < len(items):
        raise InvalidInput.of("items", "A picture was named twice.")
    _checked_note(note)
    if verb == "reject":
        get_reason(reason)
    results = []
    for item in items:
        try:
            step = decide(
                verb=verb, reviewer=reviewer, image_id=item.image_id, version=item.version, reason=reason, note=note
            )
        except ServiceError as error:
            results.append(Result(image_id=str(item.image_id), step=None, error=error))
        else:
            results.append(Result(image_id=str(item.image_id), step=step, error=None))
    return results


def undo(*, reviewer: User, image_id: UUID | str, version: int) -> ReviewStep:
    """Take back one's own decision within UNDO_WITHIN by a step that goes back; the reviewer holds the picture again.

    Raises NotFound, ReviewConflict (something has happened since) and Conflict (too late, or not one's own).
    """
    with transaction.atomic():
        review = get_review(image_id)
        refuse_stale(review, version)
        last = ReviewStep.objects.filter(review=review).select_related("decision_before").order_by("-version").first()
        if last is None or last.actor_id != reviewer.pk or last.verb not in DECISIONS:
            raise conflict_of(review)
        if timezone.now() - last.created_at > UNDO_WITHIN:
            raise Conflict(
                f"A decision can be taken back for {UNDO_WITHIN.seconds} seconds.",
                remedy="Ask a colleague, or wait for the owner's appeal.",
            )
        step = take_step(
            review,
            "undo",
            to_status=last.from_status,
            actor=reviewer,
            place=Place(source=last.source_before, risk=last.risk_before, since=last.queued_at_before)
            if last.queued_at_before
            else None,
            round=Round(needs_two=last.needed_two_before, since=last.round_version_before),
            undoes=last,
        )
        if last.queued_at_before:
            # The picture is still on the reviewer's screen.
            until = timezone.now() + CLAIM
            Review.objects.filter(pk=review.pk, version=step.version).update(claimed_by=reviewer, claimed_until=until)
        return step


def get_reason(code: str) -> Reason:
    """The category in its present version. Raises InvalidInput naming those that there are."""
    reasons = {reason.code: reason for reason in Reason.objects.current()}
    if code not in reasons:
        found = f"{code!r} is no reason" if code else "A reason is needed"
        raise InvalidInput.of("reason", f"{found}; there are {', '.join(reasons)}.")
    return reasons[code]


def proposals(review: Review) -> Iterable[ReviewStep]:
    """What was proposed in the present round and not taken back."""
    if not review.needs_two:
        return ()
    return ReviewStep.objects.filter(review=review, version__gt=review.round_version, undone_by=None).exclude(
        proposed=""
    )


def _review_for(verb: str, image_id: UUID | str) -> Review:
    if verb == "quarantine":
        # From any state, also of a picture that never was in the review.
        return enter(Image.objects.get_public(image_id))
    review = get_review(image_id)
    if review.image.review_status == Status.NONE:
        raise NotFound
    return review


def _refuse_undecidable(review: Review, verb: str) -> None:
    status = review.image.review_status
    may_reopen = verb == "quarantine" or (verb == "escalate" and status == Status.QUARANTINED)
    if (review.queued_at is None and not may_reopen) or (verb == "quarantine" and status == Status.QUARANTINED):
        raise conflict_of(review)
    if verb == "escalate" and status in (Status.ESCALATED, Status.APPEALED):
        raise Conflict("Somebody else looks at this picture already.", remedy="Approve or refuse it, or skip it.")


def _reason_for(verb: str, code: str, review: Review) -> Reason | None:
    if verb in ("approve", "escalate"):
        if code:
            raise InvalidInput.of("reason", f"A reason belongs to a refusal; to {verb} needs none.")
        return None
    if not code and review.image.review_status == Status.APPEALED and review.decision:
        return review.decision.reason  # the refusal stands as it was
    return get_reason(code)


def _checked_note(note: str) -> str:
    note = note.replace("\r\n", "\n").strip()
    if len(note) > MAX_NOTE_CHARS or "\0" in note:
        raise InvalidInput.of("note", f"This has {len(note)} characters; {MAX_NOTE_CHARS} is the most.")
    return note


def _hand_on(review: Review, reviewer: User, note: str) -> ReviewStep:
    reopened = review.image.review_status == Status.QUARANTINED
    return take_step(
        review,
        "escalate",
        to_status=Status.ESCALATED,
        actor=reviewer,
        note=note,
        place=Place(source="second_look", risk=review.risk, since=review.queued_at or timezone.now()),
        # What two people shut away, only two let out.
        round=Round(needs_two=reopened, since=review.version),
    )


def _decide(review: Review, verb: str, reviewer: User, reason: Reason | None, note: str) -> ReviewStep:
    outcome = OUTCOMES[verb]
    status = review.image.review_status
    if _needs_two(review, outcome, reason) and not any(step.proposed == outcome for step in proposals(review)):
        risk = SUSPECTED_RISK if verb == "quarantine" else review.risk
        return take_step(
            review,
            verb,
            # Not public from now on, whatever the second person says; an appeal stays one.
            to_status=status if status == Status.APPEALED else Status.ESCALATED,
            actor=reviewer,
            reason=reason,
            note=note,
            proposed=outcome,
            place=Place(
                source=review.source if status == Status.APPEALED else "second_look",
                risk=max(risk, review.risk),
                since=review.queued_at or timezone.now(),
            ),
            round=Round(needs_two=True, since=review.round_version if review.needs_two else review.version),
        )
    step = take_step(
        review,
        verb,
        to_status=outcome,
        actor=reviewer,
        reason=reason,
        note=note,
        proposed=outcome if review.needs_two else "",
        place=None,
        decides=True,
    )
    is_upheld = step.from_status == Status.APPEALED and outcome == Status.REJECTED
    if outcome in (Status.REJECTED, Status.QUARANTINED) and not is_upheld:
        state_reasons(step, review)
    notices.note(step, review)
    return step


def _needs_two(review: Review, outcome: str, reason: Reason | None) -> bool:
    if review.needs_two or outcome == Status.QUARANTINED or (reason is not None and reason.needs_two):
        return True
    overturns = review.image.review_status == Status.APPEALED and outcome == Status.APPROVED
    return overturns and bool(review.decision and review.decision.reason and review.decision.reason.overturn_needs_two)
