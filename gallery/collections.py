"""Collections: pictures that their owner has put together. Who names one checks both: it and each picture are his."""

from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.errors import InvalidInput, NotFound
from accounts.models import User
from gallery.models import MAX_COLLECTION_NAME_CHARS, Collection, CollectionItem, Image

MAX_COLLECTIONS = 500  # of one person: they are offered in one list


def find(*, owner: User, public_id: UUID | str) -> Collection:
    """The owner's collection with this id. Raises NotFound, for other people's too."""
    collection = Collection.objects.filter(owner=owner, public_id=public_id).first()
    if collection is None:
        raise NotFound
    return collection


def create(*, owner: User, name: str) -> Collection:
    """An empty collection. Raises InvalidInput."""
    name = _name(name)
    with transaction.atomic():
        # The owner's row is locked, so that two at once do not both take the last place.
        User.objects.select_for_update().get(pk=owner.pk)
        if Collection.objects.filter(owner=owner).count() >= MAX_COLLECTIONS:
            raise InvalidInput.of("name", f"You have {MAX_COLLECTIONS} collections; that is the most.")
        try:
            with transaction.atomic():
                return Collection.objects.create(owner=owner, name=name)
        except IntegrityError:
            raise _name_is_taken(name) from None


def rename(*, owner: User, public_id: UUID | str, name: str) -> Collection:
    """Another name for a collection. Raises NotFound and InvalidInput."""
    collection = find(owner=owner, public_id=public_id)
    collection.name = _name(name)
    try:
        with transaction.atomic():
            collection.save(update_fields=["name"])
    except IntegrityError:
        raise _name_is_taken(collection.name) from None
    return collection


def delete(*, owner: User, public_id: UUID | str) -> None:
    """Take a collection away; its pictures stay where they are. Raises NotFound."""
    find(owner=owner, public_id=public_id).delete()


def add(*, collection: Collection, images: Iterable[Image]) -> None:
    """Put pictures of the same owner into a collection; those that are there stay."""
    CollectionItem.objects.bulk_create(
        [CollectionItem(collection=collection, image=image) for image in _of_owner(collection, images)],
        ignore_conflicts=True,
    )


def remove(*, collection: Collection, images: Iterable[Image]) -> None:
    """Take pictures out of a collection; those that are not there are no mistake."""
    CollectionItem.objects.filter(collection=collection, image__in=_of_owner(collection, images)).delete()


def assign(*, owner: User, image: Image, public_ids: Iterable[UUID | str]) -> bool:
    """Put a picture into these collections and into no others; whether that changed anything.

    Precondition: an open transaction. Raises InvalidInput.
    """
    wanted = {str(public_id) for public_id in public_ids}
    found = {str(row.public_id): row for row in Collection.objects.filter(owner=owner, public_id__in=wanted)}
    if missing := sorted(wanted - found.keys()):
        raise InvalidInput.of("collections", f"You have no collection {missing[0]}.")
    present = set(CollectionItem.objects.filter(image=image).values_list("collection_id", flat=True))
    target = {row.pk for row in found.values()}
    CollectionItem.objects.filter(image=image, collection_id__in=present - target).delete()
    CollectionItem.objects.bulk_create(
        [CollectionItem(collection_id=pk, image=image) for pk in target - present], ignore_conflicts=True
    )
    return present != target


def _of_owner(collection: Collection, images: Iterable[Image]) -> list[Image]:
    images = list(images)
    if any(image.owner_id != collection.owner_id for image in images):
        raise NotFound
    return images


def _name(text: str) -> str:
    name = " ".join(text.replace("\0", " ").split())
    if not name:
        raise InvalidInput.of("name", "A collection needs a name.")
    if len(name) > MAX_COLLECTION_NAME_CHARS:
        raise InvalidInput.of("name", f"A name has up to {MAX_COLLECTION_NAME_CHARS} characters.")
    return name


def _name_is_taken(name: str) -> InvalidInput:
    return InvalidInput.of("name", f"You have a collection called “{name}” already.")
