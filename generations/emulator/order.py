"""What a request asks for, whichever protocol it came by, and the refusal of one that asks for what cannot be."""

import io
from dataclasses import dataclass

from PIL import Image

from generations.emulator.painter import Colour, Thumbnail

INPUT_TYPES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
UNREADABLE_TYPES = INPUT_TYPES[3:]  # accepted, but there is no decoder here
MAX_INPUT_IMAGES = 14
MAX_INPUT_PIXELS = 50_000_000
THUMBNAIL_SIDE = 512


class Refusal(Exception):
    """A request that the upstream refuses; it carries the HTTP status and the JSON body of the answer."""

    def __init__(self, status: int, body: dict) -> None:
        super().__init__(body["error"]["message"])
        self.status = status
        self.body = body


class UnreadablePictureError(ValueError):
    """A picture that was sent along is none."""


@dataclass(frozen=True)
class SentPicture:
    """A picture that was sent along: its shape, its mean colour, and its tones, small."""

    width: int
    height: int
    colour: Colour
    tones: Thumbnail


@dataclass(frozen=True)
class Order:
    """A request that passed; size is a tier such as 1K, or the pixels where the protocol names those."""

    dialect: str
    model: str
    prompt: str
    ratio: str
    size: str
    width: int
    height: int
    seed: int | None = None
    sample: int = 0  # how often this prompt was asked for before: without a seed a model never paints the same twice
    count: int = 1
    image_format: str = "PNG"  # or JPEG, WEBP
    clip_format: str = ""  # MP4 or GIF; empty for a still picture
    seconds: float = 0.0
    wants_text: bool = False
    wants_image: bool = True
    thinking: str | None = None  # MINIMAL and so on; None when nothing was said
    include_thoughts: bool = False
    grounded: bool = False
    input_images: int = 0
    references: tuple[Colour, ...] = ()
    edited: Thumbnail | None = None
    form: str = ""  # how the answer carries its pictures; empty for the protocol's own way
    as_list: bool = False  # chat: several pictures in one JSON object
    by_address: bool = False  # images: addresses instead of bytes
    streamed: bool = False
    as_array: bool = False  # native: a stream as one JSON list instead of events
    with_usage: bool = False  # chat: a last chunk with the usage
    partial_images: int = 0  # images: drafts in a stream
    settings: tuple[tuple[str, str], ...] = ()  # images: what the answer repeats

    @property
    def kind(self) -> str:
        """image or video."""
        return "video" if self.clip_format else "image"


def look_at(data: bytes) -> SentPicture:
    """Decode a picture that was sent along, small; raises UnreadablePictureError."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            width, height = picture.size
            if width * height > MAX_INPUT_PIXELS:
                raise ValueError
            picture.draft("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            small = picture.convert("RGB")
    except Exception:
        raise UnreadablePictureError from None
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    red, green, blue = small.resize((1, 1), Image.Resampling.BOX).tobytes()
    tones = small.convert("L")
    return SentPicture(width, height, (red, green, blue), (*tones.size, tones.tobytes()))
