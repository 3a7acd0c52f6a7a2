"""Published pictures with their bytes, for the tests of what others see."""

from pathlib import Path

from accounts.models import User
from gallery import publishing
from gallery.models import Image
from tests.gallery.pictures import encode_picture, keep_image, with_c2pa

PROMPT = "A prompt that nobody else reads"


def publish_picture(owner: User, directory: Path, *, visibility: str = "public", size=(400, 200), **fields) -> Image:
    """A picture that others may see; needs REVIEW_MODE post."""
    data = with_c2pa(encode_picture("png", size=size, colour=fields.pop("colour", "#336699")))
    image = keep_image(owner, directory, data, caption="A yellow disc.", prompt=PROMPT, **fields)
    return publishing.choose_visibility(owner=owner, public_id=image.public_id, visibility=visibility)
