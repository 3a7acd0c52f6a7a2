"""One verb for several pictures, each with its own result: what is wrong with one stops no other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.errors import InvalidInput, NotFound, ServiceError
from accounts.models import User
from gallery import collections, erasure
from gallery.models import Image, ImageQuerySet

MAX_IMAGES = 200
ACTIONS = ("favourite", "unfavourite", "collect", "uncollect", "trash", "restore", "purge")
IN_COLLECTION = ("collect", "uncollect")


@dataclass(frozen=True)
class Result:
    """What became of one of many; without an error it is as it was asked to be, changed or not."""

    public_id: UUID
    error: ServiceError | None = None


def own_images(*, owner: User, public_ids: Sequence[UUID]) -> dict[UUID, Image]:
    """The owner's pictures among these ids, with their blobs. Raises InvalidInput for none or too many ids."""
    if not 0 < len(set(public_ids)) <= MAX_IMAGES:
        raise InvalidInput.of("ids", f"Choose 1 to {MAX_IMAGES} pictures.")
    images = Image.objects.owned_by(owner).with_blob().filter(public_id__in=set(public_ids))
    return {image.public_id: image for image in images}


def downloadable(*, owner: User, public_ids: Sequence[UUID]) -> dict[UUID, Image]:
    """As `own_images`, but for those whose bytes even their owner may not see."""
    images = own_images(owner=owner, public_ids=public_ids)
    seen = set(Image.objects.visible_to(owner).filter(public_id__in=images).values_list("public_id", flat=True))
    return {public_id: image for public_id, image in images.items() if public_id in seen}


def act(*, owner: User, action: str, public_ids: Sequence[UUID], collection_id: UUID | None = None) -> list[Result]:
    """Do one of ACTIONS to each of the owner's pictures, in the order of the ids; repeating it changes nothing.

    Only what is in the trash is purged, and for that no transaction may be open. Raises InvalidInput, and NotFound for
    a collection that is not the owner's; then nothing is done.
    """
    if action not in ACTIONS:
        raise InvalidInput.of("action", f"It may be {', '.join(ACTIONS)}.")
    if action in IN_COLLECTION and collection_id is None:
        raise InvalidInput.of("collection", "Say which collection.")
    if action not in IN_COLLECTION and collection_id is not None:
        raise InvalidInput.of("collection", f"{action} has no collection.")
    images = own_images(owner=owner, public_ids=public_ids)
    if action == "purge":
        kept = erasure.purge_chosen(owner=owner, public_ids=list(dict.fromkeys(public_ids)))
        return [Result(public_id, kept.get(public_id)) for public_id in dict.fromkeys(public_ids)]
    with transaction.atomic():
        if collection_id is None:
            rows = Image.objects.owned_by(owner).filter(pk__in=[image.pk for image in images.values()])
            # Locked in one order: on PostgreSQL two such changes of the same pictures would wait for each other.
            list(rows.select_for_update().order_by("pk").values_list("pk"))
            _CHANGES[action](rows)
        else:
            collection = collections.find(owner=owner, public_id=collection_id)
            verb = collections.add if action == "collect" else collections.remove
            verb(collection=collection, images=images.values())
    return [Result(public_id, None if public_id in images else NotFound()) for public_id in dict.fromkeys(public_ids)]


# Conditional, so that a picture which is as it should be keeps its version.


def _favourite(images: ImageQuerySet) -> None:
    images.filter(is_favourite=False).update(is_favourite=True, version=F("version") + 1)


def _unfavourite(images: ImageQuerySet) -> None:
    images.filter(is_favourite=True).update(is_favourite=False, version=F("version") + 1)


def _trash(images: ImageQuerySet) -> None:
    images.filter(trashed_at=None).update(trashed_at=timezone.now(), version=F("version") + 1)


def _restore(images: ImageQuerySet) -> None:
    images.filter(trashed_at__isnull=False).update(trashed_at=None, version=F("version") + 1)


_CHANGES: dict[str, Callable[[ImageQuerySet], None]] = {
    "favourite": _favourite,
    "unfavourite": _unfavourite,
    "trash": _trash,
    "restore": _restore,
}
