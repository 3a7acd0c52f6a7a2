"""streamGenerateContent, read as it comes: thoughts and drafts at once, the whole reply at the end."""

from collections.abc import Mapping
from datetime import datetime

from generations.wire.document import Document, MalformedReply
from generations.wire.gemini.assembly import Assembly, Piece
from generations.wire.reply import MAX_BODY_BYTES, ParsedReply, reply_without
from generations.wire.sse import LEADING, EventSplitter

MAX_PIECES = 1000


class StreamReader:
    """Reads the body of a 200; never raises on what it holds.

    Without `alt=sse` the upstream sends one JSON list, and some relays one plain reply: these are read at the end.
    Pieces are for showing; after MAX_PIECES of them only the final reply counts.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        now: datetime | None = None,
    ) -> None:
        self._assembly = Assembly(headers or {}, now)
        self._splitter = EventSplitter()
        self._left = max_body_bytes
        self._plain: bytearray | None = None
        self._began = self._is_whole = False
        self._pieces_left = MAX_PIECES
        self._problem: tuple[str, str] | None = None
        self._events = 0

    @property
    def is_over(self) -> bool:
        """Whether more bytes would change nothing, so that the connection may be closed."""
        return self._problem is not None or self._splitter.is_done

    def feed(self, chunk: bytes) -> list[Piece]:
        """Take in bytes, cut anywhere, and return the parts that they complete."""
        if self.is_over or not chunk:
            return []
        self._left -= len(chunk)
        if self._left < 0:
            self._problem = "too_large", "the reply is longer than it may be"
            return []
        if not self._began:
            chunk = chunk.lstrip(LEADING)
            self._began = bool(chunk)
            if chunk[:1] in (b"{", b"["):
                self._plain = bytearray()
        if self._plain is not None:
            self._plain += chunk
            return []
        return self._read_events(self._splitter.feed(chunk))

    def finish(self, *, broken: bool = False) -> ParsedReply:
        """The reply; `broken` says that the connection ended before the upstream had ended the body."""
        if self._plain is not None and not broken:
            self._read_plain(bytes(self._plain))
        elif not self.is_over and not broken:
            self._read_events(self._splitter.finish())
        if self._problem is not None and not self._has_picture:
            return reply_without(*self._problem)
        if self._events == 0 and not broken:
            return reply_without("malformed", "the stream holds no event")
        if not (self._assembly.is_finished or self._is_whole or self._has_picture):
            # Perhaps it was painted, perhaps paid for: a stream without an end tells nothing.
            return reply_without("unknown", "the stream broke off before its end")
        return self._assembly.reply()

    @property
    def _has_picture(self) -> bool:
        return any(not image.thought for image in self._assembly.images)

    def _read_plain(self, body: bytes) -> None:
        try:
            document = Document(body)
            chunks = document.value if isinstance(document.value, list) else [document.value]
            for chunk in chunks:
                self._events += 1
                self._assembly.add(document.part(chunk))
        except MalformedReply as problem:
            self._problem = "malformed", str(problem)
        self._is_whole = True

    def _read_events(self, events: list[bytes]) -> list[Piece]:
        pieces: list[Piece] = []
        for data in events:
            self._events += 1
            try:
                pieces += self._assembly.add(Document(data))
            except MalformedReply as problem:
                self._problem = "malformed", str(problem)
                break
        shown = pieces[: self._pieces_left]
        self._pieces_left -= len(shown)
        return shown


def parse_stream(
    headers: Mapping[str, str],
    body: bytes,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    now: datetime | None = None,
    broken: bool = False,
) -> ParsedReply:
    """The reply of a stream as it was spooled, up to its end or until it broke; never raises on what it holds."""
    reader = StreamReader(headers, max_body_bytes=max_body_bytes, now=now)
    reader.feed(body)
    return reader.finish(broken=broken)
