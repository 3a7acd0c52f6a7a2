"""What every protocol's reply is read into: which outcome it means, and what it holds. No picture is decoded here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generations.wire.failure import Failure, UpstreamError, clean

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_TEXT_CHARS = 20_000
MAX_NAME_CHARS = 128
MAX_LINK_CHARS = 2048

# A database refuses NUL, which is not worth losing a picture.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_LINK = re.compile(r"https?://[^\s\"'<>\\^`{|}]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture or clip as it came: `data` is base64 text as bytes, a view into the reply's body where it is long."""

    mime_type_claimed: str
    data: bytes | memoryview
    thought: bool = False
    thought_signature: str | None = None


@dataclass(frozen=True, slots=True)
class SafetyRating:
    """What a safety filter thought of one category; `blocked` says that it stopped the reply for it."""

    category: str
    probability: str
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A page, or a picture on a page, that a grounded reply rests on; `uri` is http or https."""

    uri: str
    title: str = ""
    domain: str = ""
    image_uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """The evidence of a search. `rendered_content` is third-party HTML, unmodified: show it in a sandbox only."""

    web_queries: tuple[str, ...] = ()
    image_queries: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    rendered_content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReply:
    """A reply's content; `outcome` is None when `pictures` holds what has yet to prove itself.

    `pictures` answers the wish, in order; `images` holds every picture, drafts of the model's thinking too. `links`
    are addresses of pictures that the upstream keeps, not fetched and not trusted. `text_signature` belongs to `text`
    and goes back with it, to the byte, when the turn is continued. `usage` has the names of the native protocol,
    whatever the protocol; `retry_after_s` is in seconds.
    """

    outcome: str | None
    pictures: tuple[InlineImage, ...] = ()
    images: tuple[InlineImage, ...] = ()
    links: tuple[str, ...] = ()
    text: str = ""
    text_signature: str | None = None
    thoughts: str = ""
    revised_prompt: str = ""
    finish_reason: str | None = None
    block_reason: str | None = None
    safety_ratings: tuple[SafetyRating, ...] = ()
    grounding: Grounding | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    response_id: str | None = None
    model_version: str | None = None
    error: UpstreamError | None = None
    retry_after_s: float | None = None

    @property
    def chosen(self) -> InlineImage | None:
        """The one picture of a wish for one: the last of `pictures`."""
        return self.pictures[-1] if self.pictures else None


def reply_of(failure: Failure) -> ParsedReply:
    """A reply that is nothing but a complaint."""
    return ParsedReply(outcome=failure.outcome, error=failure.error, retry_after_s=failure.retry_after_s)


def reply_without(outcome: str, problem: str) -> ParsedReply:
    """A reply that could not be read; `problem` is for the log."""
    return ParsedReply(outcome=outcome, error=UpstreamError(None, None, problem))


def name_of(value: object) -> str | None:
    """A short word of the protocol on one line, None for what is no text."""
    return clean(value, MAX_NAME_CHARS) if isinstance(value, str) else None


def storable(text: str) -> str:
    """The text without the characters that a database refuses, at most MAX_TEXT_CHARS long."""
    return _UNSTORABLE.sub("", text)[:MAX_TEXT_CHARS]


def link_of(value: object) -> str:
    """An address of http or https, or an empty text for anything else."""
    is_link = isinstance(value, str) and len(value) <= MAX_LINK_CHARS and _LINK.fullmatch(value)
    return value if isinstance(value, str) and is_link else ""


def is_count(value: object) -> bool:
    """Whether this is a count of tokens that a database takes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
