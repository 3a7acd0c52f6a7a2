"""The first steps of somebody new: a confirmed address, a first picture, a first API key."""

from dataclasses import dataclass

from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.models import ApiKey, User
from generations.models import Output

ALL_DONE_KEPT_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Checklist:
    """Which of the first steps are done."""

    has_confirmed: bool
    has_picture: bool
    has_key: bool

    @property
    def done(self) -> int:
        return sum((self.has_confirmed, self.has_picture, self.has_key))


def checklist_of(user: User) -> Checklist | None:
    """What is left to do; None once everything is done or the list was put away. One query at most."""
    finished = f"onboarded:{user.pk}"
    if user.onboarding_dismissed_at is not None or cache.get(finished):
        return None
    steps = Checklist(
        *User.objects.filter(pk=user.pk)
        .values_list(
            Exists(EmailAddress.objects.filter(user=OuterRef("pk"), verified=True)),
            Exists(Output.objects.filter(generation__user=OuterRef("pk"))),
            Exists(ApiKey.objects.filter(user=OuterRef("pk"))),
        )
        .get()
    )
    if steps.done == 3:
        cache.set(finished, True, ALL_DONE_KEPT_S)
        return None
    return steps


def dismiss(user: User) -> None:
    """Put the list away for good; safe to repeat."""
    User.objects.filter(pk=user.pk, onboarding_dismissed_at=None).update(onboarding_dismissed_at=timezone.now())
