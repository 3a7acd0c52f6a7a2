"""Answers that are shown while they come: which upstreams offer them, and how much of one is looked at.

Nothing of this decides about the picture: the body goes to the spool as it came and is read there at the end.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.conf import settings

from generations.providers import shared_state
from generations.wire.gemini import Piece, StreamReader

log = structlog.get_logger(__name__)

# The answers that say that there is no such method. Each comes before anything is painted, so it is free: a 501 too,
# which from a call that is no stream counts as perhaps paid. Everything else is the answer of the attempt.
NOT_OFFERED = frozenset({404, 405, 501})
REMEMBERED_S = 3600.0

# What is looked at is held in memory beside the spool. Thoughts and drafts come before the picture, so that what is
# left out is in nearly every case the picture itself.
SHOWN_BYTES = 6 * 1024 * 1024  # of one answer: two drafts of a large picture
MAX_SHOWN = 16  # answers of this process at once; those beyond come as well, unseen

_places = threading.BoundedSemaphore(MAX_SHOWN)


@dataclass(frozen=True)
class Place:
    """A model at an upstream; `base_url` may be another one tomorrow."""

    upstream: str
    base_url: str
    model: str

    @property
    def _name(self) -> str:
        address = hashlib.sha256(self.base_url.encode()).hexdigest()[:12]
        return f"no-stream:{self.upstream}:{address}:{self.model}"


def is_offered(place: Place) -> bool:
    """Whether a stream may be asked for there: unless the operator or, within the last hour, the upstream said no."""
    return settings.UPSTREAM_STREAMING and not shared_state.get_many([place._name])


def remember_refusal(place: Place, status: int) -> None:
    """Note that there is no stream to be had there, so that not every job asks."""
    shared_state.put(place._name, True, kept_s=REMEMBERED_S)
    log.info("stream_not_offered", upstream=place.upstream, model=place.model, status=status)


@contextmanager
def shown(on_piece: Callable[[Piece], None]) -> Iterator[Callable[[bytes], None]]:
    """Yields what takes the bytes of one answer and hands on its thoughts and drafts; it never raises."""
    if not _places.acquire(blocking=False):
        yield lambda chunk: None
        return
    try:
        yield _Viewer(on_piece).look_at
    finally:
        _places.release()


class _Viewer:
    def __init__(self, on_piece: Callable[[Piece], None]) -> None:
        self._on_piece = on_piece
        self._reader: StreamReader | None = StreamReader(max_body_bytes=SHOWN_BYTES)

    def look_at(self, chunk: bytes) -> None:
        if self._reader is None:
            return
        try:
            pieces = self._reader.feed(chunk)
            for piece in pieces:
                if piece.kind in ("thought", "draft"):
                    self._on_piece(piece)
        except Exception:  # a look that fails must not cost the picture
            log.exception("stream_not_shown")
            self._reader = None
            return
        if self._reader.is_over or any(piece.kind == "picture" for piece in pieces):
            self._reader = None
