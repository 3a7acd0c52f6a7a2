"""Reading a reply's JSON without copying its pictures, and without letting a hostile one exhaust the process."""

import json
import re
from copy import copy
from functools import cache
from typing import Any

import orjson

from generations.wire.spelling import is_deeper_than

# What a reply may weigh beside its pictures, and how many lists and objects it may open: a byte of JSON can become
# dozens of bytes of Python objects.
MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_CONTAINERS = 200_000
MAX_TEXT_KEYS = 1000
MAX_ESCAPED_QUOTES = 65_536
LIFTED_FROM_BYTES = 4096

_BOM = b"\xef\xbb\xbf"


class MalformedReply(ValueError):
    """The bytes are not a reply of the protocol; the message says where, for the log."""


class Document:
    """A reply's JSON whose long texts under some keys were lifted out before the JSON was parsed.

    Parsing them would copy and check megabytes of base64 that the decoder checks anyway (at 4K 35 ms against 1.5 ms).
    In the parsed value the index of the lifted text stands in their place.
    """

    def __init__(self, body: bytes, *, keys: tuple[str, ...] = ("data",)) -> None:
        self._lifted: list[bytes | memoryview] = []
        frame = self._lift(body.removeprefix(_BOM), _key_pattern(keys))
        if len(frame) > MAX_FRAME_BYTES:
            raise MalformedReply(f"the reply has {len(frame)} bytes beside its pictures")
        if frame.count(b"[") + frame.count(b"{") > MAX_CONTAINERS:
            raise MalformedReply("the reply has too many lists and objects")
        try:
            self.value: Any = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise MalformedReply(f"not JSON: {error.msg}") from error
        if is_deeper_than(self.value):
            raise MalformedReply("the reply is nested too deeply")

    def part(self, value: Any) -> "Document":
        """One value inside this document as a document of its own, with the texts that were lifted out of it."""
        part = copy(self)
        part.value = value
        return part

    def data(self, value: object, what: str = "inlineData.data") -> bytes | memoryview:
        """The text of a field as bytes, lifted or not."""
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, int) and self.is_lifted(value):
            return self._lifted[value]
        raise MalformedReply(f"{what} is not a text")

    def is_lifted(self, value: int) -> bool:
        """Whether this number stands in place of a text."""
        return not isinstance(value, bool) and 0 <= value < len(self._lifted)

    def _lift(self, body: bytes, key: re.Pattern[bytes]) -> bytes:
        """The body with an index in place of each long text; only true string values of the keys are touched."""
        frame: list[bytes] = []
        copied = position = 0
        quotes_left = MAX_ESCAPED_QUOTES
        for _ in range(MAX_TEXT_KEYS):
            found = key.search(body, position)
            if found is None:
                break
            position = start = found.end()
            end, quotes_left = end_of_text(body, start, quotes_left)
            if end - start < LIFTED_FROM_BYTES:
                continue
            text = _read_text(body, start, end)
            if text is None:
                continue
            frame += body[copied : start - 1], b" %d " % len(self._lifted)
            self._lifted.append(text)
            copied = position = end + 1
        return b"".join([*frame, body[copied:]]) if frame else body


@cache
def _key_pattern(keys: tuple[str, ...]) -> re.Pattern[bytes]:
    """Finds the opening quote of a text under one of the keys; no text of JSON can hold a quote that is not escaped."""
    return re.compile(rb'"(?:%s)"[ \t\r\n]*:[ \t\r\n]*"' % b"|".join(key.encode() for key in keys))


def end_of_text(body: bytes, start: int, quotes_left: int) -> tuple[int, int]:
    """Where the quote is that closes the text, -1 if that takes too long to tell; and how many may be passed by yet."""
    position = start
    while quotes_left:
        end = body.find(b'"', position)
        if end < 0:
            break
        before = body[max(start, end - 64) : end]
        backslashes = len(before) - len(before.rstrip(b"\\"))
        if backslashes % 2 == 0:
            return end, quotes_left
        quotes_left -= 1
        position = end + 1
    return -1, quotes_left


def _read_text(body: bytes, start: int, end: int) -> bytes | memoryview | None:
    """The text between two quotes, or None if it is not one."""
    if body.find(b"\\", start, end) < 0:
        return memoryview(body)[start:end]
    # Some encoders write every slash as "\/".
    text = body[start:end].replace(b"\\/", b"/")
    if b"\\" not in text:
        return text
    try:
        # The standard parser: orjson takes hold of fifteen times the memory of a text before it looks at it.
        return str(json.loads(body[start - 1 : end + 1])).encode("utf-8", "replace")
    except ValueError:
        return None
