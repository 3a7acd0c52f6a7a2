"""The public addresses of a picture's copies: /p/<publication key>/<digest>.<ext>, good only while it is public.

Served are copies of our own making: nothing of the original's metadata, and the mark of AI origin. That of a clip has
the same frames in a container of our own (clip_copies.py).
"""

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.urls import reverse

from accounts.errors import NotFound
from gallery import clip_copies, renditions
from gallery.delivery import StoredFile, find_file
from gallery.imaging import RECIPE_VERSION
from gallery.models import Image, Rendition
from gallery.renditions import LONG_SIDES, ORIGINAL

PUBLIC_FORMAT: Final = "webp"
NAMED = (*LONG_SIDES, "full")  # the last one has every pixel
CLIP: Final = "clip"


def public_copies(images: Sequence[Image]) -> dict[int, dict[str, str]]:
    """By the image's primary key, the addresses of its copies by the name of their size; one query.

    Those of a clip are of its poster, and the clip itself is called CLIP. A copy that was never made has an address
    that makes it.
    """
    blob_ids = {image.pk: (image.blob.pk, image.blob.poster_id or image.blob.pk) for image in images}
    rows = Rendition.objects.filter(
        blob__in={blob_id for both in blob_ids.values() for blob_id in both},
        format__in=(PUBLIC_FORMAT, *clip_copies.FORMATS),
        recipe=RECIPE_VERSION,
    )
    digests = {(row.blob_id, row.variant, row.format): row.sha256 for row in rows}
    addresses = {}
    for image in images:
        blob_id, still_id = blob_ids[image.pk]
        addresses[image.pk] = {
            name: _public_address(image, name, digests.get((still_id, _variant(name), PUBLIC_FORMAT)), PUBLIC_FORMAT)
            for name in NAMED
        }
        if image.blob.duration_ms is not None:
            clip_format = clip_copies.format_of(image.blob)
            digest = digests.get((blob_id, ORIGINAL, clip_format))
            addresses[image.pk][CLIP] = _public_address(image, CLIP, digest, clip_format)
    return addresses


def find_public(publication_key: str, file_name: str) -> StoredFile:
    """The copy that this public address names by its digest. Raises NotFound."""
    image = _public_image(publication_key)
    digest, _, extension = file_name.rpartition(".")
    if extension in clip_copies.FORMATS:
        blob_id = image.blob.pk
    elif extension == PUBLIC_FORMAT:
        blob_id = image.blob.poster_id or image.blob.pk
    else:
        raise NotFound
    rows = Rendition.objects.select_related("blob").filter(blob=blob_id, format=extension, recipe=RECIPE_VERSION)
    row = rows.filter(sha256=digest).first()
    if row is None:
        raise NotFound
    return _stored(image, row)


def find_copy(image: Image, name: str) -> StoredFile:
    """The copy of a picture by the name of its size, made now if need be, or with `clip` that of the clip itself.

    Raises NotFound, RenditionUnavailable and PictureUnavailable.
    """
    if name == CLIP and image.blob.duration_ms is not None:
        return _stored(image, clip_copies.get_clip_copy(image.blob))
    size, _, extension = name.partition(".")
    if size not in NAMED or extension != PUBLIC_FORMAT:
        raise NotFound
    return find_file(image, variant=_variant(size), format=PUBLIC_FORMAT)


def _stored(image: Image, row: Rendition) -> StoredFile:
    return StoredFile(
        name=row.storage_name,
        digest=row.sha256,
        mime_type=row.mime_type,
        modified_at=row.created_at,
        download_name=f"plantain-{image.public_id.hex[:8]}-{row.variant}.{row.format}",
    )


def make_public(publication_key: str, name: str) -> str:
    """The address of a copy by the name of its size, made now if need be.

    Raises NotFound, RenditionUnavailable and PictureUnavailable.
    """
    image = _public_image(publication_key)
    if name != CLIP:
        row = renditions.get_rendition(image.blob, renditions.Wish(_variant(name), PUBLIC_FORMAT))
    elif image.blob.duration_ms is not None:
        row = clip_copies.get_clip_copy(image.blob)
    else:
        raise NotFound
    return _public_address(image, name, row.sha256, row.format)


def _public_image(publication_key: str) -> Image:
    image = Image.objects.public().select_related("blob__poster").filter(publication_key=publication_key).first()
    if image is None:
        raise NotFound
    return image


def _public_address(image: Image, name: str, digest: str | None, extension: str) -> str:
    if digest:
        file_name = f"{digest}.{extension}"
        return settings.CDN_URL + reverse("gallery:public_file", args=[image.publication_key, file_name])
    return reverse("gallery:public_copy", args=[image.publication_key, name])


def _variant(name: str) -> str:
    return ORIGINAL if name == "full" else name


def width_of(image: Image, name: str) -> int:
    """Pixels across of a copy, which is never larger than the original."""
    width, height = image.blob.width, image.blob.height
    scale = min(1.0, LONG_SIDES[name] / max(width, height)) if name in LONG_SIDES else 1.0
    return max(1, round(width * scale))
