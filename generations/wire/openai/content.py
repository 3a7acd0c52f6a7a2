"""The text that a chat model answers with, and the pictures in it: JSON as asked for, JSON with words around it,
Markdown with data URIs, or addresses."""

import re
from dataclasses import dataclass, field

from generations.wire.document import Document, MalformedReply, end_of_text
from generations.wire.openai.pictures import DATA_URI, LONG_TEXT_KEYS, MAX_PICTURES, Pictures, find_pictures
from generations.wire.reply import MAX_TEXT_CHARS, link_of, storable

MAX_ATTEMPTS = 16
MAX_TOKENS = 100_000
_MAX_WORDS_BYTES = 4 * MAX_TEXT_CHARS

_TOKEN = re.compile(rb'["{}]')
_FENCE = re.compile(rb"```(?:json[c5]?|text)?[ \t]*\r?\n?", re.IGNORECASE)
_PAYLOAD_KEY = re.compile(rb'"(?:b64|b64_json|base64|image_base64|data|url)"\s*:\s*"')
_CLOSERS = {b"(": b")", b'"': b'"', b"'": b"'", b"<": b">"}
_END_OF_URI = re.compile(rb"[^A-Za-z0-9+/=_-]")
_MARKDOWN_HEAD = re.compile(rb"!?\[[^\[\]\r\n]{0,300}\]\($")
_MARKDOWN_LINK = re.compile(rb"!\[[^\[\]\r\n]{0,300}\]\(\s*<?(https?://[^\s<>()]{1,1000})", re.IGNORECASE)
_BARE_LINK = re.compile(
    rb"https?://[^\s<>()\"'\[\]]{1,500}\.(?:png|jpe?g|webp|gif|mp4)(?:\?[^\s<>()\"'\[\]]{0,500})?", re.IGNORECASE
)
_LINKS_SEARCHED_BYTES = 32_768
_MAX_URI_HEAD = 256


@dataclass(slots=True)
class Content:
    """A text taken apart: its pictures, what is left in words, and whether it breaks off inside a picture."""

    pictures: Pictures = field(default_factory=Pictures)
    text: str = ""
    is_cut: bool = False


def read_content(content: bytes) -> Content:
    """Find the pictures of an answer's text; never raises on what it holds."""
    stripped = content.strip()
    read = Content()
    if stripped[:1] in (b"{", b"[") and _read_json(stripped, read.pictures):
        return read
    words = _read_objects(stripped, read)
    if not read.pictures:
        around = _read_data_uris(stripped, read)
        words = around if read.pictures else words
    if not read.pictures:
        _read_links(stripped[:_LINKS_SEARCHED_BYTES], read.pictures)
    read.text = _as_text(words)
    return read


def _read_json(text: bytes, into: Pictures) -> bool:
    """Whether the text is JSON and holds a picture."""
    try:
        document = Document(text, keys=LONG_TEXT_KEYS)
    except MalformedReply:
        return False
    before = len(into.inline) + len(into.links)
    find_pictures(document, document.value, into)
    return len(into.inline) + len(into.links) > before


def _read_objects(text: bytes, read: Content) -> list[bytes]:
    """Take every balanced object that is a picture; what is left. First `{` to last `}` would fail on a stray brace."""
    left: list[tuple[int, int]] = []
    kept = position = 0
    opened: int | None = None
    tokens, attempts = MAX_TOKENS, MAX_ATTEMPTS
    while attempts and (start := text.find(b"{", position)) >= 0:
        end, tokens = _end_of_object(text, start, tokens)
        limit = end if end >= 0 else len(text)
        if _PAYLOAD_KEY.search(text, start, limit) is None:
            position = limit
        elif end >= 0 and _read_json(text[start:end], read.pictures):
            left.append((kept, start))
            kept = position = end
        else:
            # Perhaps this brace was a stray one, or the object breaks off and what is inside is whole.
            opened = start if opened is None and end < 0 else opened
            attempts -= 1
            position = start + 1
    end_of_words = len(text)
    if opened is not None and _PAYLOAD_KEY.search(text, max(opened, kept)):
        read.is_cut = True
        end_of_words = opened
    left.append((kept, len(text)))
    words = (text[start : min(end, end_of_words, start + _MAX_WORDS_BYTES)] for start, end in left)
    return [_FENCE.sub(b"", piece) for piece in words]


def _end_of_object(text: bytes, start: int, tokens: int) -> tuple[int, int]:
    """Where the object that opens at `start` has closed, -1 if it does not; and how many tokens may be read yet.

    Braces in strings do not count. A string is jumped over in one go, for most of a reply is one string of base64.
    """
    depth, position = 0, start
    while tokens > 0 and (found := _TOKEN.search(text, position)) is not None:
        tokens -= 1
        position = found.end()
        if found[0] == b"{":
            depth += 1
        elif found[0] == b"}":
            depth -= 1
            if depth == 0:
                return position, tokens
        else:
            end, tokens = end_of_text(text, position, tokens)
            if end < 0:
                break
            position = end + 1
    return -1, tokens


def _read_data_uris(text: bytes, read: Content) -> list[bytes]:
    """Take every data URI, with the Markdown around it; what is left."""
    words: list[bytes] = []
    kept = 0
    view = memoryview(text)
    for _ in range(MAX_PICTURES):
        head = _next_data_uri(text, kept)
        if head is None:
            break
        end = _end_of_uri(text, head)
        read.pictures.add_base64((head[1] or b"").decode(), view[head.end() : end])
        before = text[kept : head.start()]
        markdown = _MARKDOWN_HEAD.search(before[-400:])
        if markdown is not None:
            before = before[: len(before) - (markdown.end() - markdown.start())]
            closing = text.find(b")", end, end + 300)
            end = closing + 1 if closing >= 0 else end
        words.append(before)
        kept = end
    words.append(text[kept:])
    return words


def _next_data_uri(text: bytes, position: int) -> re.Match[bytes] | None:
    """The head of the next data URI, found from its end, which is a rarer word than its beginning."""
    for _ in range(MAX_PICTURES):
        found = text.find(b";base64,", position)
        if found < 0:
            break
        start = text.rfind(b"data:", max(position, found - _MAX_URI_HEAD), found)
        if start >= 0 and (head := DATA_URI.match(text, start)):
            return head
        position = found + 1
    return None


def _end_of_uri(text: bytes, head: re.Match[bytes]) -> int:
    closer = _CLOSERS.get(text[head.start() - 1 : head.start()] if head.start() else b"")
    end = text.find(closer, head.end()) if closer else -1
    if end < 0:
        found = _END_OF_URI.search(text, head.end())
        return found.start() if found else len(text)
    for stop in (b" ", b"\n", b'"'):  # a title behind the address, or a bracket that belongs to something else
        earlier = text.find(stop, head.end(), end)
        end = earlier if earlier >= 0 else end
    return end


def _read_links(text: bytes, into: Pictures) -> None:
    links = [found[1] for found in _MARKDOWN_LINK.finditer(text)] or [found[0] for found in _BARE_LINK.finditer(text)]
    if not links and b"\n" not in text and b" " not in text:
        links = [text]
    for link in links:
        into.add_link(link_of(link.decode("utf-8", "replace")))


def _as_text(words: list[bytes]) -> str:
    pieces = (word[:_MAX_WORDS_BYTES].decode("utf-8", "replace").strip() for word in words)
    return storable("\n".join(piece for piece in pieces if piece))
