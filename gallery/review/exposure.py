"""What a reviewer has to see, and how: settings of the desk, and a limit on high-risk pictures (TRUST M9)."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from accounts.errors import InvalidInput
from accounts.models import User
from gallery.models import Reason, Reveal, ReviewerSettings
from gallery.review.steps import get_review

HOUR = timedelta(hours=1)
REVEALS_PER_HOUR = 50  # after that a break is advised; nothing is forbidden


def settings_of(user: User) -> ReviewerSettings:
    """How this reviewer wants the desk; not stored until they change something."""
    return ReviewerSettings.objects.filter(user=user).first() or ReviewerSettings(user=user)


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
    return Reveal.objects.filter(user=user, created_at__gt=timezone.now() - HOUR).count()
