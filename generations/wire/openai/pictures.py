"""Where a picture hides in a value of JSON: base64 under one of several names, a data URI, or only an address."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generations.wire.document import Document
from generations.wire.reply import InlineImage, link_of, name_of

MAX_PICTURES = 64
MAX_LINKS = 16
LINKS_ONLY = "the reply names an address instead of a picture, which is not fetched"

_BASE64_KEYS = ("b64", "b64_json", "base64", "image_base64", "data")
_ADDRESS_KEYS = ("url", "image_url", "video_url", "image", "src")
_TYPE_KEYS = ("mime_type", "mimeType", "media_type", "content_type", "mime", "type")
# Texts that may be long: what a Document lifts out of a reply.
LONG_TEXT_KEYS = (*_BASE64_KEYS, *_ADDRESS_KEYS, "content", "text")

DATA_URI = re.compile(rb"data:([a-z]+/[a-z0-9.+-]+)?(?:;[a-z0-9.=+-]+){0,4};base64,", re.IGNORECASE)
_MAX_URI_HEAD = 256
_MAX_LINK_BYTES = 4096
_WHITE_SPACE = b" \t\r\n"


@dataclass(slots=True)
class Pictures:
    """What was found, in the order of its coming, each payload once."""

    inline: list[InlineImage] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.inline or self.links)

    def add_base64(self, mime_type: str, data: bytes | memoryview) -> None:
        """Keep base64 text; a data URI in its place is taken apart, line breaks in it are taken out."""
        if isinstance(data, bytes):
            data = data.translate(None, _WHITE_SPACE)
        head = DATA_URI.match(bytes(data[:_MAX_URI_HEAD]))
        if head is not None:
            mime_type = (head[1] or b"").decode() or mime_type
            data = memoryview(data)[head.end() :]
        if len(data) and len(self.inline) < MAX_PICTURES:
            self.inline.append(InlineImage(mime_type_claimed=mime_type, data=data))

    def add_link(self, link: str) -> None:
        """Keep an address once."""
        if link and link not in self.links and len(self.links) < MAX_LINKS:
            self.links.append(link)


def find_pictures(document: Document, value: object, into: Pictures, *, mime_type: str = "") -> None:
    """Search a value of a document; `mime_type` is what holds where nothing nearer says another.

    It walks with a list of its own and never recursively; the document has limited nesting and number.
    """
    waiting = [(value, mime_type)]
    while waiting and len(into.inline) < MAX_PICTURES:
        node, nearest = waiting.pop()
        if isinstance(node, list):
            waiting += [(item, nearest) for item in reversed(node)]
        elif isinstance(node, dict):
            nearest = _type_of(node) or nearest
            if not _read_node(document, node, nearest, into):
                waiting += [(item, nearest) for item in reversed(node.values()) if isinstance(item, list | dict)]
        elif isinstance(node, str) and DATA_URI.match(node[:_MAX_URI_HEAD].encode("utf-8", "replace")):
            into.add_base64(nearest, node.encode("utf-8", "replace"))


def _read_node(document: Document, node: Mapping[str, Any], mime_type: str, into: Pictures) -> bool:
    """Whether this object itself was a picture."""
    for key in _BASE64_KEYS:
        if text := text_in(document, node.get(key)):
            into.add_base64(mime_type, text)
            return True
    for key in _ADDRESS_KEYS:
        text = text_in(document, node.get(key))
        if DATA_URI.match(bytes(text[:_MAX_URI_HEAD])):
            into.add_base64(mime_type, text)
            return True
        if link := link_of(bytes(text[:_MAX_LINK_BYTES]).decode("utf-8", "replace")):
            into.add_link(link)
            return True
    return False


def text_in(document: Document, value: object) -> bytes | memoryview:
    """The text of a field, lifted or not; empty where it is no text."""
    if isinstance(value, str) or (isinstance(value, int) and document.is_lifted(value)):
        return document.data(value)
    return b""


def _type_of(node: Mapping[str, Any]) -> str:
    names = (name_of(node.get(key)) for key in _TYPE_KEYS)
    return next((name for name in names if name and "/" in name), "")
