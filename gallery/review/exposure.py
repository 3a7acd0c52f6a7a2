"""What a reviewer has to see, and how: settings of the desk, and a limit on high-risk pictures (TRUST M9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import User
from gallery.models import Reason, Reveal, ReviewerSettings
from gallery.review.access import reviewers
from gallery.review.steps import get_review

HOUR = timedelta(hours=1)
REVEALS_PER_HOUR = 50  # after that a break is advised; nothing is forbidden


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A reviewer at the desk, how they want it, and how many high-risk pictures they uncovered in the last hour.

    Settings of somebody who has never changed any are not stored.
    """

    reviewer: User
    settings: ReviewerSettings
    reveals: int

    @property
    def needs_break(self) -> bool:
        return self.reveals >= REVEALS_PER_HOUR


def seat_of(user: User | AnonymousUser) -> Seat | None:
    """The seat of somebody who reviews, None for anybody else; one query for all that a page must know of them."""
    if not user.is_authenticated:
        return None
    uncovered = _recent().filter(user=OuterRef("pk")).order_by().values("user").annotate(count=Count("pk"))
    rows = reviewers().filter(pk=user.pk).select_related("reviewer_settings")
    row = rows.annotate(uncovered=Coalesce(Subquery(uncovered.values("count")), 0)).first()
    if row is None:
        return None
    settings = getattr(row, "reviewer_settings", None) or ReviewerSettings(user=user)
    return Seat(reviewer=user, settings=settings, reveals=row.uncovered)


def save_settings(
    *,
    user: User,
    blurs: bool,
    is_grey: bool,
    has_single_keys: bool,
    folds_flagged_prompts: bool,
    avoided: Sequence[str],
) -> ReviewerSettings:
    """Change them all. Raises InvalidInput for a category that there is not."""
    known = {reason.code for reason in Reason.objects.current()}
    if unknown := sorted(set(avoided) - known):
        raise InvalidInput.of("avoided", f"{unknown[0]!r} is no category.")
    row, _ = ReviewerSettings.objects.update_or_create(
        user=user,
        defaults={
            "blurs": blurs,
            "is_grey": is_grey,
            "has_single_keys": has_single_keys,
            "folds_flagged_prompts": folds_flagged_prompts,
            "avoided": sorted(set(avoided)),
        },
    )
    return row


def note_reveal(*, user: User, image_id: UUID | str) -> int:
    """Count that a picture was uncovered, if it is a high-risk one; returns how many were in the last hour."""
    review = get_review(image_id)
    if review.is_high_risk:
        Reveal.objects.create(user=user, review=review)
    return reveals_of(user)


def reveals_of(user: User) -> int:
    """How many high-risk pictures this reviewer has uncovered in the last hour."""
    return _recent().filter(user=user).count()


def _recent() -> QuerySet[Reveal]:
    return Reveal.objects.filter(created_at__gt=timezone.now() - HOUR)
