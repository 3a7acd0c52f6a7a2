"""Pictures of which nothing shall be left but ids: their words and bytes go, and they leave the review."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import counters
from accounts.errors import Conflict, NotFound, ServiceError
from accounts.models import User
from gallery import garbage, search
from gallery.errors import ReviewConflict
from gallery.models import (
    Appeal,
    Blob,
    Collection,
    CollectionItem,
    Image,
    Report,
    Resemblance,
    Review,
    ReviewStep,
    ShareLink,
    Statement,
)
from gallery.review.reports import token_of
from gallery.review.steps import Status, take_step

BATCH = 200
SETTLED = timedelta(minutes=1)  # bytes that came later may be those of somebody's picture whose row is on its way

NOT_IN_TRASH = "There is no such picture in your trash."
SHUT_AWAY = "This picture is shut away by the reviewers, and kept as long as they need it."
SHUT_AWAY_REMEDY = "If you disagree with that, appeal on its page."


@dataclass(frozen=True)
class Purged:
    """How many pictures went, and the blobs that they showed."""

    pictures: int
    blob_ids: frozenset[int]


def purge_pictures_of(owner: User) -> Purged:
    """Purge every picture of `owner`, in the trash too; nobody can reach them from then on.

    Their bytes are left to collectgarbage, or to `remove_bytes` now. Precondition: no open transaction. Safe to
    repeat: what was cut off goes on where it was.
    """
    pictures, blob_ids = 0, set[int]()
    while batch := list(Image.objects.owned_by(owner).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        try:
            with transaction.atomic():
                purged = purge_pictures(batch, owner=owner)
        except ReviewConflict:  # a reviewer has decided one of them at this moment: read it again
            continue
        pictures += purged.pictures
        blob_ids |= purged.blob_ids
    search.forget_deleted()
    return Purged(pictures, frozenset(blob_ids))


def purge_trashed(*, owner: User, public_id: UUID | str) -> None:
    """Purge one picture of `owner` that is in the trash. Precondition: no open transaction.

    Raises NotFound, for those of others and those that are not in the trash, and Conflict for one that is shut away.
    """
    image = Image.objects.owned_by(owner).trashed().get_public(public_id)
    for problem in purge_chosen(owner=owner, public_ids=[image.public_id]).values():
        raise problem


def purge_chosen(*, owner: User, public_ids: Sequence[UUID]) -> dict[UUID, ServiceError]:
    """Purge those of `owner`'s pictures that are in the trash; by id, why each of the others was left as it is.

    NotFound is for those of others and those that are not in the trash, Conflict for what is shut away. Precondition:
    no open transaction. Safe to repeat: what was cut off goes on where it was.
    """
    left: dict[UUID, ServiceError] = {}
    remaining = list(public_ids)
    while remaining:  # until those that were read are those that were purged; in a moment one is there again, or gone
        rows = Image.objects.owned_by(owner).trashed().filter(public_id__in=remaining[:BATCH])
        found = {image.public_id: image for image in rows}
        left |= {public_id: NotFound(NOT_IN_TRASH) for public_id in remaining[:BATCH] if public_id not in found}
        shut_away = [image for image in found.values() if image.review_status == Status.QUARANTINED]
        left |= {image.public_id: Conflict(SHUT_AWAY, remedy=SHUT_AWAY_REMEDY) for image in shut_away}
        ids = [image.pk for image in found.values() if image not in shut_away]
        if not ids or _purge_batch(ids, owner=owner, trashed_by=timezone.now()) == len(ids):
            remaining = remaining[BATCH:]
        else:
            gone = set(Image.objects.filter(pk__in=ids).exclude(purged_at=None).values_list("public_id", flat=True))
            remaining = [public_id for public_id in remaining if public_id not in gone and public_id not in left]
    return left


def empty_trash(*, owner: User) -> int:
    """Purge what `owner` has in the trash now, but for what is shut away; returns how many pictures went.

    Precondition: no open transaction. Safe to repeat: what was cut off goes on where it was.
    """
    count, now = 0, timezone.now()
    in_trash = Image.objects.owned_by(owner).purgeable().filter(trashed_at__lte=now)
    while batch := list(in_trash.values_list("pk", flat=True)[:BATCH]):
        count += _purge_batch(batch, owner=owner, trashed_by=now)
    return count


def purge_overdue(now: datetime) -> int:
    """Purge those that have been in the trash for TRASH_DAYS, the longest first and BATCH at most; returns how many.

    Precondition: no open transaction.
    """
    if not settings.TRASH_DAYS:
        return 0
    limit = now - timedelta(days=settings.TRASH_DAYS)
    overdue = Image.objects.purgeable().filter(trashed_at__lte=limit)
    by_owner: dict[User, list[int]] = {}
    for image in overdue.order_by("trashed_at", "pk").select_related("owner").only("owner")[:BATCH]:
        by_owner.setdefault(image.owner, []).append(image.pk)
    return sum(_purge_batch(ids, owner=owner, trashed_by=limit) for owner, ids in by_owner.items())


def _purge_batch(image_ids: list[int], *, owner: User, trashed_by: datetime) -> int:
    """How many of these went; those that were restored, purged or decided meanwhile are left to the next look."""
    try:
        with transaction.atomic():
            return purge_pictures(image_ids, owner=owner, trashed_by=trashed_by).pictures
    except ReviewConflict:
        return 0


def purge_pictures(image_ids: list[int], *, owner: User, trashed_by: datetime | None = None) -> Purged:
    """Leave nothing of these pictures but their ids and what was decided.

    With `trashed_by` only of those that are purgeable and in the trash since that moment or earlier.

    Precondition: an open transaction. Raises ReviewConflict: somebody decided or restored one of them meanwhile.
    """
    kept = Image.objects.owned_by(owner).filter(pk__in=image_ids)
    if trashed_by is not None:
        # Asked again when they are locked: the race with the owner who restores one, and a reviewer who shuts it away.
        kept = kept.purgeable().filter(trashed_at__lte=trashed_by)
    left = set()
    for review in Review.objects.filter(image__in=kept).select_related("image", "decision__reason"):
        if _leave_review(review):
            left.add(review.image_id)
    # Locked after the reviews, as every step of a review does. Of two who purge at once the second waits here and then
    # finds none, so that the room is given back once.
    images = list(kept.select_related("blob__poster").select_for_update(of=("self",), no_key=True))
    ids = [image.pk for image in images]
    if not left <= set(ids):  # restored after its review was read: it stays in the review
        raise ReviewConflict
    _erase_words_of_review(ids)
    now = timezone.now()
    Image.objects.filter(pk__in=ids).update(
        blob=None,
        title="",
        alt_text="",
        prompt="",
        caption="",
        rule_hits=[],
        sources=[],
        is_favourite=False,
        discloses_prompt=False,
        visibility=Image.Visibility.PRIVATE,
        publication_key=None,
        published_order=None,
        trashed_at=now,
        purged_at=now,
    )
    counters.free_storage(owner, sum(_byte_size(image.blob) for image in images))
    ShareLink.objects.filter(image__in=ids).delete()
    CollectionItem.objects.filter(image__in=ids).delete()
    search.forget(ids)
    blobs = {blob.pk for image in images for blob in (image.blob, image.blob.poster) if blob}
    return Purged(len(images), frozenset(blobs))


def delete_collections_of(owner: User) -> None:
    """Their names are their owner's words."""
    Collection.objects.filter(owner=owner).delete()


def erase_reports_by(user: User) -> None:
    """The words of the reports that somebody wrote; that there were reports stays."""
    Report.objects.filter(reporter=token_of(user, "")).exclude(note="").update(note="")


def remove_bytes(blob_ids: frozenset[int], *, waiting_digests: Callable[[], set[str]]) -> int:
    """Remove the files of these blobs and of their copies now, unless somebody shows them; returns how many blobs went.

    A file that came within SETTLED is left to collectgarbage. Precondition: no open transaction. Raises OSError.
    """
    removed, remaining = 0, set(blob_ids)
    # A clip's poster is in use for as long as the clip's own blob is there, so it goes in the second round.
    while remaining:
        names = {blob.pk: blob.storage_name for blob in garbage.unused_blobs().filter(pk__in=remaining)}
        if not names:
            break
        removed += garbage.remove_now(names.values(), settled=SETTLED, waiting_digests=waiting_digests)
        remaining -= names.keys()
    return removed


def _leave_review(review: Review) -> bool:
    """Whether there was anything to leave."""
    status = review.image.review_status
    if review.queued_at is None and review.image.visibility == Image.Visibility.PRIVATE:
        return False
    take_step(
        review,
        "erase",
        to_status=Status.NONE if status == Status.PENDING else status,
        actor=None,
        visibility=Image.Visibility.PRIVATE,
        place=None,
        is_automated=True,
    )
    return True


def _erase_words_of_review(image_ids: list[int]) -> None:
    """What was decided, when, by whom and for which reason stays; what anybody wrote about the pictures goes."""
    Review.objects.filter(image__in=image_ids).update(rule_hits=[])
    # What was refused or shut away is known again when somebody brings it: a digest is not the picture.
    decided = (Status.REJECTED, Status.APPEALED, Status.QUARANTINED)
    known = Resemblance.objects.filter(review__image__in=image_ids)
    known.exclude(review__image__review_status__in=decided).delete()
    steps = ReviewStep.objects.filter(review__image__in=image_ids)
    # The append-only tables admit just this: the triggers compare every other column (gallery/apps.py).
    steps.exclude(Q(note="") & Q(rule_hits=[])).update(note="", rule_hits=[])
    Statement.objects.filter(step__in=steps).exclude(facts="").update(facts="")
    Appeal.objects.filter(decision__in=steps).exclude(text="").update(text="")
    Report.objects.filter(approval__in=steps).exclude(note="").update(note="")


def _byte_size(blob: Blob) -> int:
    return blob.byte_size + (blob.poster.byte_size if blob.poster else 0)
