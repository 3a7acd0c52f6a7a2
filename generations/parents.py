"""What a wish was begun from: an earlier generation of the same person, and which of its pictures.

The generations that go back to one another are a family; it is named by the one that all of them began with.
"""

from dataclasses import dataclass
from uuid import UUID

from accounts.errors import InvalidInput
from accounts.models import User
from generations.models import Generation, Output
from generations.spec import GenerationSpec


@dataclass(frozen=True)
class Parent:
    """Primary keys: the earlier generation, the one that its family began with, and the picture if one was meant."""

    generation_id: int
    family_id: int
    image_id: int | None = None


def columns_of(parent: Parent | None) -> dict[str, int | None]:
    """The columns of a generation that was begun from it; none for one that was begun from nothing."""
    if parent is None:
        return {}
    return {"parent_id": parent.generation_id, "parent_image_id": parent.image_id, "family_id": parent.family_id}


def find_parent(user: User, spec: GenerationSpec, *, named: UUID | None = None) -> Parent | None:
    """The parent of a wish: what was `named`, a generation or a picture of the user's, else the picture it works on.

    A picture that was purged may still be named: what it cost belongs to the family. Raises InvalidInput for what is
    not the user's own, or no generation has made.
    """
    if named is None:
        return _of_picture(user, UUID(spec.edit_of)) if spec.edit_of else None
    parent = _of_picture(user, named) or _of_generation(user, named)
    if parent is None:
        raise InvalidInput.of("parent", f"There is no generation {named} of yours, and none has made such a picture.")
    return parent


def _of_picture(user: User, public_id: UUID) -> Parent | None:
    rows = Output.objects.filter(image__public_id=public_id, generation__user=user)
    found = rows.values_list("generation", "generation__family", "image").first()
    return Parent(found[0], found[1] or found[0], found[2]) if found else None


def _of_generation(user: User, public_id: UUID) -> Parent | None:
    found = Generation.objects.filter(public_id=public_id, user=user).values_list("pk", "family").first()
    return Parent(found[0], found[1] or found[0]) if found else None
