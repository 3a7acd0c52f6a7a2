"""What a request carries beside the wish: pictures to look at, and the turns that came before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_INPUT_IMAGES = 14
MAX_INPUT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class InputImage:
    """A picture to send along: `data` is base64 in the standard alphabet, the signature is as the model gave it."""

    mime_type: str
    data: str
    thought_signature: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier turn of a conversation. A model refuses its own turn if a signature of it is missing or changed."""

    role: Literal["user", "model"]
    text: str = ""
    text_signature: str | None = None
    images: tuple[InputImage, ...] = ()


def check_inputs(images: Sequence[InputImage], turns: Sequence[Turn]) -> None:
    """ValueError if the pictures are more, or weigh more, than a request may carry; callers ask before they charge."""
    sent = [*images, *(image for turn in turns for image in turn.images)]
    if len(sent) > MAX_INPUT_IMAGES:
        raise ValueError(f"A request carries up to {MAX_INPUT_IMAGES} pictures, not {len(sent)}.")
    weight = sum(len(image.data) for image in sent)
    if weight > MAX_INPUT_BYTES:
        raise ValueError(f"The pictures of a request weigh up to {MAX_INPUT_BYTES} bytes in base64, not {weight}.")
