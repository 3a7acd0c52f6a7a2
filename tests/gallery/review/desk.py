"""Pictures in the review, for its tests: small, and without bytes unless they are asked for."""

from functools import lru_cache
from pathlib import Path

from accounts.models import User
from gallery.imaging import ImageFacts
from gallery.models import Image, Review
from gallery.review import decisions, owners
from tests.gallery.pictures import add_image, encode_picture, write_file
from tests.people import make_person


@lru_cache(maxsize=1)
def facts() -> ImageFacts:
    """Of one picture that all of these share; its bytes are nowhere."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        return write_file(Path(directory), encode_picture())[1]


def make_picture(owner: User, **fields: object) -> Image:
    return add_image(owner, facts(), **{"caption": "A blue circle.", **fields})


def make_pending(owner: User, *, visibility: str = "public", **request: object) -> Image:
    """A picture whose publication its owner has asked for."""
    image = make_picture(owner)
    return owners.request_publication(owner=owner, public_id=image.public_id, visibility=visibility, **request)


def make_reviewer(nick: str) -> User:
    return make_person(nick, is_staff=True, name=nick.capitalize())


def review_of(image: Image) -> Review:
    return Review.objects.select_related("image", "decision__reason").get(image=image)


def decide(verb: str, reviewer: User, image: Image, **fields: object):
    """The verb as the reviewer gives it who has just looked at the picture."""
    return getattr(decisions, verb)(
        reviewer=reviewer, image_id=image.public_id, version=review_of(image).version, **fields
    )


def state_of(image: Image) -> tuple[str, str, bool]:
    """The status, the visibility asked for, and whether it has a public address."""
    image.refresh_from_db()
    return image.review_status, image.visibility, image.publication_key is not None
