"""The verbs of the gallery: bytes are kept first, and then the picture that shows them, in the caller's transaction."""

from pathlib import Path

from accounts.models import User
from gallery import storage
from gallery.imaging import ImageFacts
from gallery.models import Blob, Image


def keep_picture(*, path: Path, facts: ImageFacts) -> str:
    """Keep a verified file byte for byte and return its storage name; `path` is gone afterwards.

    Precondition: no open transaction, because this waits for the disk. Safe to repeat; raises OSError. What is never
    followed by `add_image` is an orphan that verifyblobs lists.
    """
    return storage.put_original(path, facts)


def add_image(
    *,
    owner: User,
    facts: ImageFacts,
    prompt: str,
    model: str,
    caption: str,
    aspect_ratio: str,
    image_size: str,
    honours_aspect_ratio: bool,
    honours_image_size: bool,
    source_reference: str,
    kind: str = "image",
) -> Image:
    """Give `owner` a picture whose bytes `keep_picture` has kept; images of identical bytes share one blob.

    Precondition: an open transaction, the one that charges for the picture, and its caller starts
    `tasks.make_renditions` when it is committed.
    """
    caption = _storable(caption)
    return Image.objects.create(
        owner=owner,
        blob=_blob(facts),
        kind=kind,
        alt_text=caption,
        prompt=prompt,
        caption=caption,
        model=model,
        aspect_ratio=aspect_ratio,
        image_size=image_size,
        honours_aspect_ratio=honours_aspect_ratio,
        honours_image_size=honours_image_size,
        source_reference=source_reference,
    )


def _blob(facts: ImageFacts) -> Blob:
    # Two jobs may bring identical bytes at once: the unique digest lets the second INSERT wait, fail and read the row.
    blob, _ = Blob.objects.get_or_create(
        sha256=facts.sha256,
        defaults={
            "byte_size": facts.byte_size,
            "mime_type": facts.mime_type,
            "width": facts.width,
            "height": facts.height,
            "has_c2pa": facts.has_c2pa,
            "dominant_colour": facts.dominant_colour,
        },
    )
    return blob


def _storable(text: str) -> str:
    """An upstream's text without what a database refuses (NUL, lone surrogates): a caption must not lose a picture."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
