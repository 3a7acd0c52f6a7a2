"""Claims: a lease on a picture that waits, so that two reviewers do not look at the same one (TRUST M3).

Nothing ends a lease but time, its holder or a decision; when a reviewer dies, the picture is free after CLAIM.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.errors import Conflict, Forbidden
from accounts.models import User
from gallery.errors import ClaimLost, SecondPersonNeeded
from gallery.models import Review, ReviewerSettings, ReviewStep
from gallery.models.review import ReviewQuerySet
from gallery.review.access import name_of_reviewer
from gallery.review.steps import get_review, place_of, round_of, take_step

CLAIM = timedelta(minutes=10)
TRIES = 20  # of those that others take at the same moment


def claim(*, reviewer: User, image_id: UUID | str, takes_over: bool = False) -> Review:
    """Hold a waiting picture for CLAIM, or hold it longer; `takes_over` takes it from a colleague and is logged.

    Raises NotFound, Conflict (it does not wait), ClaimLost (somebody else holds it), SecondPersonNeeded, and Forbidden:
    only a superuser takes over.
    """
    with transaction.atomic():
        review = get_review(image_id)
        refuse_involved(review, reviewer)
        if review.queued_at is None:
            raise Conflict("This picture does not wait for a decision.", review_status=review.image.review_status)
        if takes_over and review.holder_id(timezone.now()) not in (None, reviewer.pk):
            _take_over(review, reviewer)
    if not _hold(review, reviewer):
        raise _held(User.objects.filter(claimed_reviews=review).first())
    return review


def claim_next(
    *,
    reviewer: User,
    skipped: Collection[UUID | str] = (),
    avoided: Collection[str] | None = None,
    source: str = "",
) -> Review | None:
    """Hold the first picture of the queue that this reviewer may decide and nobody holds; None when there is none.

    `avoided` are the categories that they do not want to see, for who knows them already; with `source` only what
    waits for that reason.
    """
    waiting = queue_of(reviewer, avoided=avoided).exclude(image__public_id__in=skipped)
    return claim_first((waiting.filter(source=source) if source else waiting)[:TRIES], reviewer=reviewer)


def claim_first(reviews: Iterable[Review], *, reviewer: User) -> Review | None:
    """Hold the first of these that can still be had, as it was read; all are such as `queue_of` lets them take."""
    return next((review for review in reviews if _hold(review, reviewer)), None)


def release(*, reviewer: User, image_id: UUID | str) -> None:
    """Let go of a picture before its time; what somebody else holds stays theirs. Raises NotFound."""
    review = get_review(image_id)
    Review.objects.filter(pk=review.pk, claimed_by=reviewer).update(claimed_by=None, claimed_until=None)


def queue_of(reviewer: User, *, avoided: Collection[str] | None = None) -> ReviewQuerySet:
    """What this reviewer may take now: waiting, free or theirs, not their own, and of no category they avoid."""
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_by=reviewer)
    return may_decide(reviewer, avoided=avoided).filter(free)


def may_decide(reviewer: User, *, avoided: Collection[str] | None = None) -> ReviewQuerySet:
    """What waits for somebody like this reviewer, whoever holds it."""
    waiting = Review.objects.waiting().filter(image__trashed_at=None).exclude(image__owner=reviewer)
    mine = ReviewStep.objects.filter(review=OuterRef("pk"), actor=reviewer, undone_by=None)
    # Where two must agree, or for an appeal, somebody who has decided before is out; so is who asked for a second look.
    proposed = mine.filter(version__gt=OuterRef("round_version")).exclude(proposed="")
    refused = mine.filter(verb__in=["reject", "quarantine"])
    handed_on = mine.filter(verb="escalate", version=OuterRef("version"))
    waiting = waiting.exclude(Q(needs_two=True) & Exists(proposed)).exclude(
        Q(image__review_status="appealed") & Exists(refused)
    )
    waiting = waiting.exclude(Exists(handed_on)).select_related("image__blob")
    for code in avoided_by(reviewer) if avoided is None else avoided:
        waiting = waiting.exclude(categories__contains=f"|{code}|")
    return waiting


def avoided_by(reviewer: User) -> list[str]:
    """Codes of the categories that this reviewer does not want to see."""
    row = ReviewerSettings.objects.filter(user=reviewer).only("avoided").first()
    return list(row.avoided) if row else []


def refuse_involved(review: Review, reviewer: User) -> None:
    """Raises SecondPersonNeeded: the picture is their own, or they have decided and now another person must."""
    if review.image.owner_id == reviewer.pk:
        raise SecondPersonNeeded("This is your own picture.")
    mine = ReviewStep.objects.filter(review=review, actor=reviewer, undone_by=None)
    if review.needs_two and mine.filter(version__gt=review.round_version).exclude(proposed="").exists():
        raise SecondPersonNeeded("You have decided this; a second person must decide it too.")
    if review.image.review_status == "appealed" and mine.filter(verb__in=["reject", "quarantine"]).exists():
        raise SecondPersonNeeded("The appeal is against your decision.")


def refuse_lost_claim(review: Review, reviewer: User) -> None:
    """Raises ClaimLost: somebody else holds it, or the reviewer's own lease ran out. One nobody took needs no claim."""
    now = timezone.now()
    holder = review.holder_id(now)
    if holder not in (None, reviewer.pk):
        raise _held(User.objects.get(pk=holder))
    if holder is None and review.claimed_by_id == reviewer.pk:
        raise ClaimLost


def _held(holder: User | None) -> ClaimLost:
    if holder is None:  # let go at this very moment
        return ClaimLost("This picture has changed meanwhile.")
    name = name_of_reviewer(holder)
    return ClaimLost(f"{name.capitalize()} is looking at this picture.", claimed_by=name)


def _hold(review: Review, reviewer: User) -> bool:
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_by=reviewer)
    # The race of reviewers who open the same picture: the row is one's, the others see no row. It is of the version
    # that was read, so nothing else of it has changed.
    rows = Review.objects.filter(free, pk=review.pk, version=review.version, queued_at__isnull=False)
    if not rows.update(claimed_by=reviewer, claimed_until=now + CLAIM):
        return False
    review.claimed_by, review.claimed_until = reviewer, now + CLAIM
    return True


def _take_over(review: Review, reviewer: User) -> None:
    if not reviewer.is_superuser:
        raise Forbidden("Only a superuser takes a picture from a colleague.")
    status = review.image.review_status
    take_step(
        review,
        "steal",
        to_status=status,
        actor=reviewer,
        place=place_of(review),
        round=round_of(review),
        note=f"Held by {review.claimed_by.public_id}" if review.claimed_by else "",
    )
