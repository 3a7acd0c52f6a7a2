"""Pictures of which nothing shall be left but ids: their words and bytes go, and they leave the review."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import counters
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
    Review,
    ReviewStep,
    ShareLink,
    Statement,
)
from gallery.review.reports import token_of
from gallery.review.steps import Status, take_step

BATCH = 200
SETTLED = timedelta(minutes=1)  # bytes that came later may be those of somebody's picture whose row is on its way


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
                blob_ids |= purge_pictures(batch, owner=owner)
        except ReviewConflict:  # a reviewer has decided one of them at this moment: read it again
            continue
        pictures += len(batch)
    search.forget_deleted()
    return Purged(pictures, frozenset(blob_ids))


def purge_pictures(image_ids: list[int], *, owner: User) -> set[int]:
    """Leave nothing of these pictures but their ids and what was decided; returns the blobs that they showed.

    Precondition: an open transaction. Raises ReviewConflict: somebody decided one of them meanwhile.
    """
    kept = Image.objects.owned_by(owner).filter(pk__in=image_ids)
    for review in Review.objects.filter(image__in=kept).select_related("image", "decision__reason"):
        _leave_review(review)
    # Locked after the reviews, as every step of a review does. Of two who purge at once the second waits here and then
    # finds none, so that the room is given back once.
    images = list(kept.select_related("blob__poster").select_for_update(of=("self",), no_key=True))
    ids = [image.pk for image in images]
    _erase_words_of_review(ids)
    now = timezone.now()
    Image.objects.filter(pk__in=ids).update(
        blob=None,
        title="",
        alt_text="",
        prompt="",
        caption="",
        rule_hits=[],
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
    search.index(Image.objects.filter(pk__in=ids))
    return {blob.pk for image in images for blob in (image.blob, image.blob.poster) if blob}


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


def _leave_review(review: Review) -> None:
    status = review.image.review_status
    if review.queued_at is None and review.image.visibility == Image.Visibility.PRIVATE:
        return
    take_step(
        review,
        "erase",
        to_status=Status.NONE if status == Status.PENDING else status,
        actor=None,
        visibility=Image.Visibility.PRIVATE,
        place=None,
        is_automated=True,
    )


def _erase_words_of_review(image_ids: list[int]) -> None:
    """What was decided, when, by whom and for which reason stays; what anybody wrote about the pictures goes."""
    Review.objects.filter(image__in=image_ids).update(rule_hits=[])
    steps = ReviewStep.objects.filter(review__image__in=image_ids)
    # The append-only tables admit just this: the triggers compare every other column (gallery/apps.py).
    steps.exclude(Q(note="") & Q(rule_hits=[])).update(note="", rule_hits=[])
    Statement.objects.filter(step__in=steps).exclude(facts="").update(facts="")
    Appeal.objects.filter(decision__in=steps).exclude(text="").update(text="")
    Report.objects.filter(approval__in=steps).exclude(note="").update(note="")


def _byte_size(blob: Blob) -> int:
    return blob.byte_size + (blob.poster.byte_size if blob.poster else 0)
