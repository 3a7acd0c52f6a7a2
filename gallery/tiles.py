"""Pictures as pages show them: addresses and true widths of the copies, names, and the shape of a tile."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.text import Truncator

from gallery.models import Image
from gallery.publication import state_of
from gallery.renditions import LONG_SIDES

# What is longer is cut to these in the grid, and a plate names its true shape.
WIDEST = 3.2
TALLEST = 1 / 2.5
NAME_CHARS = 100
ALT_CHARS = 140
ROW_PX, PHONE_ROW_PX = 270, 140  # a row's usual height: the stylesheet's --row-h, and what rows grow to fill a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What plays: the address of the clip's bytes and of its poster. One that is no film is an animated picture."""

    address: str
    poster: str
    mime_type: str
    duration_ms: int

    @property
    def is_film(self) -> bool:
        return self.mime_type.startswith("video/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One picture in a grid; `shape` is its plate, empty unless the tile is cut."""

    id: UUID
    name: str
    alt: str
    ratio: float
    shape: str
    width: int
    height: int
    colour: str
    thumbhash: str
    source: str
    source_set: str
    sizes: str
    day: date
    clip: Clip | None = None
    is_favourite: bool = False
    state: str = ""  # its plate in the review: "In review", "Not published", "Public"


@dataclass(frozen=True, slots=True)
class Day:
    """The tiles of one day in UTC; `continues` a day whose heading stands before, `is_over` when no more will come."""

    day: date
    tiles: list[Tile]
    continues: bool
    is_over: bool

    @property
    def name(self) -> str:
        """Today, Yesterday, or nothing: then the date says it."""
        return {0: "Today", 1: "Yesterday"}.get((timezone.now().date() - self.day).days, "")


def file_address(image: Image) -> str:
    """The stable address of its bytes, which checks who asks."""
    return reverse("image-file", args=[str(image.public_id)])


def source_set(image: Image, *variants: str) -> str:
    """The copies with their true widths: one is named by its longer side and is never larger than the original."""
    blob, address = image.blob, file_address(image)
    copies: dict[int, str] = {}
    for variant in variants:
        scale = min(1.0, LONG_SIDES[variant] / max(blob.width, blob.height))
        copies.setdefault(max(1, round(blob.width * scale)), f"{address}?variant={variant}")
    return ", ".join(f"{copy} {width}w" for width, copy in copies.items())


def clip_of(image: Image) -> Clip | None:
    """What plays, or None for a picture that stands still."""
    blob = image.blob
    if blob.duration_ms is None:
        return None
    address = file_address(image)
    poster = f"{address}?variant=1280"
    return Clip(address=address, poster=poster, mime_type=blob.mime_type, duration_ms=blob.duration_ms)


def library_address(image: Image) -> str:
    """The page of the library, or of the uploads, around this picture."""
    return f"{reverse('gallery:library')}?{'kind=upload&' if image.is_upload else ''}at={image.public_id}"


def name_of(image: Image, length: int = NAME_CHARS) -> str:
    """A few words for a label: its title, how its prompt begins, or when it was uploaded."""
    nameless = f"Upload of {image.created_at:%-d %B %Y, %H:%M}" if image.is_upload else "Untitled picture"
    return Truncator(image.title or " ".join(image.prompt.split()) or nameless).chars(length)


def alt_of(image: Image, length: int = ALT_CHARS) -> str:
    """What stands for the picture where it cannot be seen."""
    return Truncator(" ".join((image.alt_text or image.title or image.prompt).split()) or "A picture").chars(length)


def shape_of(image: Image) -> str:
    """The shape that the picture has: the one that was asked for when it came so, else such as 1.37:1."""
    if image.aspect_ratio and image.honours_aspect_ratio:
        return image.aspect_ratio
    ratio = image.blob.width / image.blob.height
    return f"{ratio:.3g}:1" if ratio >= 1 else f"1:{1 / ratio:.3g}"


def tile_of(image: Image) -> Tile:
    """The tile of an image whose blob is loaded."""
    blob = image.blob
    true_ratio = blob.width / blob.height
    ratio = min(WIDEST, max(TALLEST, true_ratio))
    is_cut = ratio != true_ratio
    # A cut tile shows the middle of a picture that is laid out larger than the tile.
    laid_out = max(ratio, true_ratio)
    sizes = f"(max-width:759px) {round(laid_out * PHONE_ROW_PX)}px, {round(laid_out * ROW_PX)}px"
    return Tile(
        id=image.public_id,
        name=name_of(image),
        alt=alt_of(image),
        ratio=round(ratio, 4),
        shape=shape_of(image) if is_cut else "",
        width=blob.width,
        height=blob.height,
        colour=blob.dominant_colour,
        thumbhash=image.thumbhash,
        source=f"{file_address(image)}?variant=320",
        source_set=source_set(image, "320", "640", "1280") if is_cut else source_set(image, "320", "640"),
        sizes=sizes if is_cut else f"auto, {sizes}",
        day=image.created_at.date(),
        clip=clip_of(image),
        is_favourite=image.is_favourite,
        state=state_of(image),
    )


def group_by_day(tiles: Iterable[Tile], *, day_before: date | None, day_after: date | None) -> list[Day]:
    """Days in the order of the tiles; the neighbours' days say whether the first goes on and the last is over."""
    days: list[Day] = []
    for tile in tiles:
        if not days or days[-1].day != tile.day:
            days.append(Day(tile.day, [], continues=not days and tile.day == day_before, is_over=True))
        days[-1].tiles.append(tile)
    if days and days[-1].day == day_after:
        last = days[-1]
        days[-1] = Day(last.day, last.tiles, last.continues, is_over=False)
    return days
