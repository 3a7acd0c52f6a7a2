"""Pictures of the review that look like another one: found by their bytes, or by a perceptual hash that is near.

An index on each quarter of the hash finds candidates, of which none that is near enough is missed
(perceptual.near_bands); how far they are is reckoned here, the same on both engines.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from accounts.errors import NotFound
from accounts.models import User
from gallery.models import Blob, Image, Resemblance, Review, ReviewerSettings, ReviewStep
from gallery.models.resemblance import BANDS
from gallery.perceptual import MAX_DISTANCE, bands_of

Status = Image.ReviewStatus
CANDIDATES = 200  # of those that were decided and of those that wait: the latest, and those that wait longest
DECIDED = (Status.APPROVED, Status.REJECTED, Status.QUARANTINED)
# Of what waits, what can be decided with others: neither an appeal nor what a second person must look at by itself.
TOGETHER = (Status.PENDING, Status.APPROVED)


@dataclass(frozen=True)
class Alike:
    """A review whose picture is `distance` bits away; 0 for the same bytes too."""

    review: Review
    distance: int


@dataclass(frozen=True)
class Cluster:
    """What looks like one picture: `decided` the nearest first, `waiting` the longest first."""

    decided: list[Alike]
    waiting: list[Alike]


NOTHING = Cluster([], [])


def note(review: Review, image: Image) -> Resemblance | None:
    """Write down what is found again of a review's picture; None when it was purged. Safe to repeat."""
    blob: Blob | None = image.blob
    if blob is None:
        return None
    hash = blob.still.perceptual_hash or ""
    bands = dict(zip(BANDS, bands_of(hash) if hash else [None] * len(BANDS), strict=True))
    values = {"sha256": blob.sha256, "perceptual_hash": hash, **bands}
    row, _ = Resemblance.objects.update_or_create(review=review, defaults=values)
    return row


def renew(blob: Blob) -> None:
    """Write down anew what is found again of the reviews that show this blob, or a clip with it as its poster."""
    shown = Q(image__blob=blob) | Q(image__blob__poster=blob)
    for review in Review.objects.filter(shown).select_related("image__blob__poster"):
        note(review, review.image)


def cluster_of(review: Review, reviewer: User, *, avoided: Iterable[str] = (), steps: Iterable[ReviewStep]) -> Cluster:
    """What looks like the picture of a review, loaded with its resemblance, as this reviewer may see it: one query.

    Nothing that is not in the review now, nothing of a category that they avoid. Where two people must agree, nothing
    that one who has proposed something in this round has decided: the second shall decide unswayed (TRUST M4).
    """
    row: Resemblance | None = getattr(review, "resemblance", None)
    if row is None:
        return NOTHING
    found = [
        Alike(each.review, far)
        for each in _candidates(row)
        if (far := each.distance_to(row.sha256, hash=row.perceptual_hash)) is not None and far <= MAX_DISTANCE
    ]
    avoided, proposers = set(avoided), _proposers(review, steps)
    decided = [each for each in found if each.review.queued_at is None and not _is_hidden(each, avoided, proposers)]
    is_alone = review.needs_two or review.image.review_status not in TOGETHER
    waiting = [each for each in found if each.review.queued_at is not None and _may_join(each, reviewer, avoided)]
    return Cluster(
        decided=sorted(decided, key=lambda each: (each.distance, -each.review.pk)),
        waiting=[] if is_alone else sorted(waiting, key=lambda each: (each.review.queued_at, each.review.pk)),
    )


def cluster_for(reviewer: User, image_id: UUID | str) -> Cluster:
    """The same for a picture by its id. Raises NotFound for what is not in the review."""
    images = Image.objects.select_related("review__resemblance").exclude(review_status=Status.NONE)
    image = images.filter(public_id=image_id, purged_at=None).first()
    if image is None:
        raise NotFound
    if not hasattr(image, "review"):
        return NOTHING
    settings = ReviewerSettings.objects.filter(user=reviewer).only("avoided").first()
    steps = ReviewStep.objects.filter(review=image.review, version__gt=image.review.round_version)
    return cluster_of(image.review, reviewer, avoided=settings.avoided if settings else (), steps=steps)


def _candidates(row: Resemblance) -> QuerySet[Resemblance]:
    kept = Q(review__image__purged_at=None, review__image__trashed_at=None)
    decided = Q(review__queued_at=None, review__decision__isnull=False, review__image__review_status__in=DECIDED)
    # Approved and withdrawn: nobody but its owner looks at it any more.
    decided &= ~Q(review__image__review_status=Status.APPROVED, review__image__visibility=Image.Visibility.PRIVATE)
    waits = Q(review__queued_at__isnull=False, review__needs_two=False, review__image__review_status__in=TOGETHER)
    place = Window(
        RowNumber(), partition_by=F("waits"), order_by=[F("review__decision").desc(nulls_last=True), F("review").asc()]
    )
    others = Resemblance.objects.near(row.sha256, hash=row.perceptual_hash).exclude(pk=row.pk)
    is_waiting = When(review__queued_at__isnull=False, then=Value(1))
    return (
        others.filter(kept, decided | waits)
        .annotate(waits=Case(is_waiting, default=Value(0), output_field=IntegerField()))
        .annotate(place=place)
        .filter(place__lte=CANDIDATES)
        .select_related("review__image__blob", "review__decision__reason", "review__decision__actor")
    )


def _proposers(review: Review, steps: Iterable[ReviewStep]) -> set[int | None]:
    if not review.needs_two:
        return set()
    return {step.actor_id for step in steps if step.version > review.round_version and step.proposed}


def _is_hidden(alike: Alike, avoided: set[str], proposers: set[int | None]) -> bool:
    decision = alike.review.decision
    assert decision is not None, "asked of what is decided"
    reason = decision.reason.code if decision.reason else ""
    return decision.actor_id in proposers or reason in avoided or _is_avoided(alike.review, avoided)


def _may_join(alike: Alike, reviewer: User, avoided: set[str]) -> bool:
    review = alike.review
    is_own = review.image.owner_id == reviewer.pk
    is_free = review.holder_id(timezone.now()) in (None, reviewer.pk)
    return is_free and not is_own and not _is_avoided(review, avoided)


def _is_avoided(review: Review, avoided: set[str]) -> bool:
    return any(f"|{code}|" in review.categories for code in avoided)
