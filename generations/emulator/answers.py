"""What an answer will contain, whatever the protocol that writes it down, and how pictures get into its JSON."""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from generations.emulator.order import Order
from generations.emulator.painter import Wish, describe
from generations.emulator.studio import StoredPicture

JSON_TYPE = "application/json; charset=UTF-8"
HTML_TYPE = "text/html; charset=UTF-8"
EVENT_TYPE = "text/event-stream"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer; the body is bytes and pictures, the latter sent as base64 without ever being whole in memory."""

    status: int
    body: tuple[bytes | StoredPicture, ...]
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> int:
        """Bytes on the wire."""
        return sum(len(part) if isinstance(part, bytes) else -(-part.size // 3) * 4 for part in self.body)

    def blocks(self) -> Iterator[bytes]:
        """The body in pieces."""
        for part in self.body:
            yield from pieces(part)


def pieces(part: bytes | StoredPicture) -> Iterator[bytes]:
    """A part of a body: bytes as they are, a picture as base64 in several pieces."""
    if isinstance(part, bytes):
        yield part
    else:
        yield from (base64.b64encode(block) for block in part.blocks())


def json_reply(status: int, value: Any, **headers: str) -> Reply:
    """A JSON answer without pictures."""
    return Reply(status, (orjson.dumps(value),), headers=tuple((n.replace("_", "-"), v) for n, v in headers.items()))


@dataclass(frozen=True)
class Drawing:
    """A picture or clip of an answer; spoil changes its bytes, spell replaces the standard base64."""

    wish: Wish
    mime_type: str
    thought: bool = False
    spoil: Callable[[bytes], bytes] | None = None
    spell: Callable[[bytes], str] | None = None

    def bytes_of(self, picture: StoredPicture) -> bytes:
        """What is sent, before it is written as base64."""
        return self.spoil(picture.read()) if self.spoil else picture.read()

    def encode(self, picture: StoredPicture) -> bytes:
        """The base64 for the answer, all at once."""
        data = self.bytes_of(picture)
        return (self.spell(data) if self.spell else base64.b64encode(data).decode()).encode()


@dataclass(frozen=True)
class Drawn:
    """A drawing that is ready: what stands for it in an answer. The signature and the address are texts of JSON."""

    content: bytes | StoredPicture
    signature: str
    address: str


@dataclass
class Plan:
    """What an answer will contain; faults change it. The finish reason is Google's, other protocols translate it."""

    order: Order
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    finish_reason: str | None = "STOP"
    finish_message: str | None = None
    block_reason: str | None = None
    content: str = "parts"  # or "empty" (an empty list), "bare" (a role only), "absent"
    rewrite: Callable[[Any, str], Any] | None = None  # of each JSON value, and the name of the list of results
    search_entry_extra: str = ""  # HTML behind the search entry
    noise: bool = False  # what a lenient client skips, around the JSON
    breaks_off: bool = False  # the answer turns into an error

    def stop(self, finish_reason: str, *, content: str, message: str | None = None) -> None:
        """End without a picture."""
        self.finish_reason, self.finish_message, self.content = finish_reason, message, content
        self.drawings.clear()

    @property
    def finals(self) -> list[int]:
        """The places of the drawings that are not thoughts."""
        return [index for index, drawing in enumerate(self.drawings) if not drawing.thought]


SAMPLE_STEP = 64  # more than one answer has pictures


def plan_answer(order: Order) -> Plan:
    """The plan of an undisturbed answer."""
    plan = Plan(order)
    wish = wish_for(order)
    if not order.wants_image:
        plan.texts.append(f"A picture of this could be: {describe(wish)} Ask for the IMAGE modality to receive it.")
        return plan
    if order.wants_text:
        plan.texts.append(describe(wish))
    if order.include_thoughts:
        plan.thoughts = ["**Composing the picture**\n\nLight first, then shapes.\n"]
        plan.drawings.append(draft_of(wish))
        if order.thinking == "HIGH":
            plan.thoughts.append("**Looking again**\n\nThe shapes are right, the light may be softer.\n")
            plan.drawings.append(draft_of(wish.variant()))
    for number in range(order.count):
        final = replace(wish, seed=wish.seed + number)
        plan.drawings.append(Drawing(final, final.mime_type))
    return plan


def wish_for(order: Order) -> Wish:
    """The picture that a request asks for; without a seed the prompt decides, and how often it was asked for."""
    seed = order.seed
    if seed is None:
        seed = (int.from_bytes(hashlib.sha256(order.prompt.encode()).digest()[:4]) >> 1) + SAMPLE_STEP * order.sample
    return Wish(
        order.prompt,
        seed,
        order.width,
        order.height,
        order.clip_format or order.image_format,
        order.references,
        order.edited,
        order.seconds,
    )


def draft_of(wish: Wish) -> Drawing:
    """An interim picture, as a model thinks aloud: another composition, half as large, JPEG."""
    draft = replace(wish.variant(), width=wish.width // 2, height=wish.height // 2, format="JPEG", seconds=0.0)
    return Drawing(draft, draft.mime_type, thought=True)


class Marks:
    """Stand-ins for what is not painted yet: the base64 of a drawing, its signature, its address."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(8)
        self._pattern = re.compile(rf"(data|signature|address)-(\d+)-{self._nonce}".encode())

    def data(self, index: int) -> str:
        return f"data-{index}-{self._nonce}"

    def signature(self, index: int) -> str:
        return f"signature-{index}-{self._nonce}"

    def address(self, index: int) -> str:
        return f"address-{index}-{self._nonce}"

    def drawings_in(self, text: bytes) -> set[int]:
        """Which drawings a text waits for."""
        return {int(found[2]) for found in self._pattern.finditer(text)}

    def fill(self, text: bytes, drawn: Mapping[int, Drawn]) -> tuple[bytes | StoredPicture, ...]:
        """The text with everything in its place."""
        body: list[bytes | StoredPicture] = []
        end = 0
        for found in self._pattern.finditer(text):
            ready = drawn[int(found[2])]
            body.append(text[end : found.start()])
            match found[1]:
                case b"data":
                    body.append(ready.content)
                case b"signature":
                    body.append(ready.signature.encode())
                case _:
                    body.append(ready.address.encode())
            end = found.end()
        return (*body, text[end:])
