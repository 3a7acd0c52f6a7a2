"""What an owner is told about a restriction: the statement of reasons of Article 17 DSA (TRUST M11).

It is stored as it was at the decision; `as_dsa` gives it the field names of the Commission's Transparency Database.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import User
from gallery.models import Reason, Review, ReviewStep, Statement
from gallery.review.owners import APPEAL_WITHIN, why_not_appealable
from gallery.review.steps import Status

DETECTED_BY_RULE = ("flag", "block")
NOTICE = "SOURCE_TYPE_OTHER_NOTIFICATION"
OWN_INITIATIVE = "SOURCE_VOLUNTARY"
MONEY = "The decision does not change what the picture cost: it was charged for being made."
MONEY_IF_OVERTURNED = f"{MONEY} If an appeal is upheld, the operator can refund it; ask with the picture's address."


def state_reasons(step: ReviewStep, review: Review) -> Statement:
    """Store what the owner is told about this refusal or quarantine. Precondition: the transaction of the step."""
    reason = step.reason
    assert reason is not None
    is_detected = any(hit.get("action") in DETECTED_BY_RULE for hit in step.rule_hits)
    is_reported = ReviewStep.objects.filter(review=review, verb="return").exists()
    return Statement.objects.create(
        step=step,
        owner_id=review.image.owner_id,
        facts=_facts(step, is_detected=is_detected, is_reported=is_reported),
        money=MONEY_IF_OVERTURNED if reason.refund_policy == Reason.RefundPolicy.ON_OVERTURN else MONEY,
        is_detected_automatically=is_detected,
        source_type=NOTICE if is_reported else OWN_INITIATIVE,
    )


def _facts(step: ReviewStep, *, is_detected: bool, is_reported: bool) -> str:
    occasion = (
        "Viewers reported the picture."
        if is_reported
        else "A rule of this site marked the prompt."
        if is_detected
        else "You asked for the picture to be published."
    )
    people = "Two people looked at it, one after the other." if step.proposed else "A person looked at it."
    wrote = f' The reviewer wrote: "{step.note}"' if step.note else ""
    return f"{occasion} {people}{wrote}"


def statements_of(owner: User) -> QuerySet[Statement]:
    """What an owner was told, the latest first; what was taken back within the half minute was never told."""
    told = Statement.objects.filter(owner=owner, step__undone_by=None).order_by("-pk")
    return told.select_related(
        "step__reason", "step__review__image", "step__review__decision__reason", "step__review__decision__appeal"
    )


def is_in_force(statement: Statement) -> bool:
    """Whether the restriction holds still: it is the present decision, or an appeal against it is open or was lost."""
    review = statement.step.review
    status = review.image.review_status
    if status not in (Status.REJECTED, Status.QUARANTINED, Status.APPEALED) or review.decision is None:
        return False
    return statement.step_id in (review.decision_id, review.decision.decision_before_id)


def appealable_until(statement: Statement) -> datetime | None:
    """Until when its owner may appeal; None when they cannot."""
    step = statement.step
    review = step.review
    if review.decision_id != step.pk or why_not_appealable(review):
        return None
    return step.created_at + APPEAL_WITHIN


def as_dsa(statement: Statement) -> dict[str, Any]:
    """The statement with the field names and values of the DSA Transparency Database (API of July 2025)."""
    step = statement.step
    reason, image = step.reason, step.review.image
    assert reason is not None
    is_illegal = reason.ground == Reason.Ground.ILLEGAL
    grounds = (
        {"illegal_content_legal_ground": reason.reference, "illegal_content_explanation": reason.user_text}
        if is_illegal
        else {
            "incompatible_content_ground": reason.reference,
            "incompatible_content_explanation": reason.user_text,
            "incompatible_content_illegal": "No",
        }
    )
    return {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT" if is_illegal else "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "decision_ground_reference_url": f"{settings.SITE_URL}/docs/moderation",
        **grounds,
        "category": reason.dsa_category,
        "content_type": ["CONTENT_TYPE_SYNTHETIC_MEDIA"],
        "content_date": f"{image.created_at:%Y-%m-%d}",
        "application_date": f"{statement.created_at:%Y-%m-%d}",
        "decision_facts": statement.facts,
        "source_type": statement.source_type,
        "automated_detection": "Yes" if statement.is_detected_automatically else "No",
        "automated_decision": "AUTOMATED_DECISION_FULLY" if step.is_automated else "AUTOMATED_DECISION_NOT_AUTOMATED",
        "puid": f"{image.public_id}-{step.version}",
    }
