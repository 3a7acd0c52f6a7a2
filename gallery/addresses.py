"""The public addresses of a picture's copies: /p/<publication key>/<digest>.<ext>, good only while it is public.

Served are copies of our own making: nothing of the original's metadata, and the mark of AI origin. A clip, which
nothing here can encode anew, is served as it came.
"""

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.urls import reverse

from accounts.errors import NotFound
from gallery import renditions
from gallery.delivery import StoredFile, find_file
from gallery.imaging import RECIPE_VERSION
from gallery.models import Image, Rendition
from gallery.names import EXTENSIONS
from gallery.renditions import LONG_SIDES, ORIGINAL

PUBLIC_FORMAT: Final = "webp"
NAMED = (*LONG_SIDES, "full")  # the last one has every pixel


def public_copies(images: Sequence[Image]) -> dict[int, dict[str, str]]:
    """By the image's primary key, the addresses of its copies by the name of their size; one query.

    A copy that was never made has an address that makes it.
    """
    stills = {image.pk: image.blob.poster_id or image.blob.pk for image in images}
    rows = Rendition.objects.filter(blob__in=stills.values(), format=PUBLIC_FORMAT, recipe=RECIPE_VERSION)
    digests = {(row.blob_id, row.variant): row.sha256 for row in rows}
    return {
        image.pk: {
            name: _public_address(image, name, digests.get((stills[image.pk], _variant(name)))) for name in NAMED
        }
        for image in images
    }


def clip_address(image: Image) -> str:
    """Where a public clip itself is fetched."""
    return _address(image, f"{image.blob.sha256}.{EXTENSIONS[image.blob.mime_type]}")


def find_public(publication_key: str, file_name: str) -> StoredFile:
    """The copy, or the clip, that this public address names by its digest. Raises NotFound."""
    image = _public_image(publication_key)
    digest, _, extension = file_name.rpartition(".")
    blob = image.blob
    if blob.duration_ms is not None and file_name == f"{blob.sha256}.{EXTENSIONS[blob.mime_type]}":
        return find_file(image)
    row = (
        Rendition.objects.select_related("blob")
        .filter(blob=blob.poster_id or blob.pk, sha256=digest, format=extension, recipe=RECIPE_VERSION)
        .first()
    )
    if row is None or extension != PUBLIC_FORMAT:
        raise NotFound
    return StoredFile(
        name=row.storage_name,
        digest=row.sha256,
        mime_type=row.mime_type,
        modified_at=row.created_at,
        download_name=f"plantain-{image.public_id.hex[:8]}-{row.variant}.{extension}",
    )


def find_copy(image: Image, name: str) -> StoredFile:
    """The copy of a picture by the name of its size, made now if need be, or with `clip` the clip itself.

    Raises NotFound, RenditionUnavailable and PictureUnavailable.
    """
    if name == "clip" and image.blob.duration_ms is not None:
        return find_file(image)
    size, _, extension = name.partition(".")
    if size not in NAMED or extension != PUBLIC_FORMAT:
        raise NotFound
    return find_file(image, variant=_variant(size), format=PUBLIC_FORMAT)


def make_public(publication_key: str, name: str) -> str:
    """The address of a copy by the name of its size, made now if need be.

    Raises NotFound, RenditionUnavailable and PictureUnavailable.
    """
    image = _public_image(publication_key)
    row = renditions.get_rendition(image.blob, renditions.Wish(_variant(name), PUBLIC_FORMAT))
    return _public_address(image, name, row.sha256)


def _public_image(publication_key: str) -> Image:
    image = Image.objects.public().select_related("blob__poster").filter(publication_key=publication_key).first()
    if image is None:
        raise NotFound
    return image


def _public_address(image: Image, name: str, digest: str | None) -> str:
    if digest:
        return _address(image, f"{digest}.{PUBLIC_FORMAT}")
    return reverse("gallery:public_copy", args=[image.publication_key, name])


def _address(image: Image, file_name: str) -> str:
    return settings.CDN_URL + reverse("gallery:public_file", args=[image.publication_key, file_name])


def _variant(name: str) -> str:
    return ORIGINAL if name == "full" else name


def width_of(image: Image, name: str) -> int:
    """Pixels across of a copy, which is never larger than the original."""
    width, height = image.blob.width, image.blob.height
    scale = min(1.0, LONG_SIDES[name] / max(width, height)) if name in LONG_SIDES else 1.0
    return max(1, round(width * scale))
