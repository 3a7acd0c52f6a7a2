"""Published pictures as pages show them to anybody: no prompt that its owner has not disclosed, no owner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.text import Truncator

from gallery.addresses import CLIP, NAMED, public_copies, width_of
from gallery.models import Image

WIDEST = 3.2
TALLEST = 1 / 2.5
NAME_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicPicture:
    """One published picture; `copies` are addresses by the name of their size, `prompt` is empty unless disclosed."""

    id: UUID
    name: str
    alt: str
    prompt: str
    model: str
    kind: str
    width: int
    height: int
    colour: str
    thumbhash: str
    copies: dict[str, str]
    widths: dict[str, int]
    clip: str
    mime_type: str
    duration_ms: int | None
    published_at: datetime | None
    order: int

    @property
    def ratio(self) -> float:
        """Of its tile: what is longer than that is cut."""
        return round(min(WIDEST, max(TALLEST, self.width / self.height)), 4)

    @property
    def is_film(self) -> bool:
        return self.mime_type.startswith("video/")

    @property
    def small_set(self) -> str:
        return self._source_set("320", "640")

    @property
    def large_set(self) -> str:
        return self._source_set("640", "1280", "full")

    def _source_set(self, *names: str) -> str:
        by_width: dict[int, str] = {}
        for name in names:
            by_width.setdefault(self.widths[name], self.copies[name])
        return ", ".join(f"{address} {width}w" for width, address in by_width.items())


def public_pictures(images: Sequence[Image]) -> list[PublicPicture]:
    """As the gallery shows them, in the same order; one query. Reads `image.blob`."""
    copies = public_copies(images)
    return [_picture(image, copies[image.pk], copies[image.pk].pop(CLIP, "")) for image in images]


def shared_picture(image: Image, address: Callable[[str], str]) -> PublicPicture:
    """As a share link shows it, with that link's own addresses: those of the gallery outlive it."""
    return _picture(image, {name: address(f"{name}.webp") for name in NAMED}, address(CLIP))


def _picture(image: Image, copies: dict[str, str], clip: str) -> PublicPicture:
    blob = image.blob
    alt = " ".join(image.alt_text.split())
    return PublicPicture(
        id=image.public_id,
        name=Truncator(image.title or alt.removesuffix(".")).chars(NAME_CHARS),
        alt=alt,
        prompt=image.prompt if image.discloses_prompt else "",
        model=image.model,
        kind=image.kind,
        width=blob.width,
        height=blob.height,
        colour=blob.dominant_colour,
        thumbhash=image.thumbhash,
        copies=copies,
        widths={name: width_of(image, name) for name in NAMED},
        clip=clip if blob.duration_ms is not None else "",
        mime_type=blob.mime_type,
        duration_ms=blob.duration_ms,
        published_at=image.published_at,
        order=image.published_order or 0,
    )
