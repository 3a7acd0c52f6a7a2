"""A native reply put together from its chunks: what came, and which outcome it means. No picture is decoded here."""

import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from generations.outcomes import outcome_of_signal
from generations.wire.document import Document, MalformedReply
from generations.wire.failure import DECLINED, Failure, describe, find_error
from generations.wire.gemini.evidence import read_grounding, read_safety_ratings, read_usage
from generations.wire.reply import (
    MAX_TEXT_CHARS,
    Grounding,
    InlineImage,
    ParsedReply,
    SafetyRating,
    name_of,
    reply_of,
    storable,
)
from generations.wire.spelling import get

MAX_IMAGES = 64
MAX_TEXTS = 10_000

# proto3 leaves a field out or says "unspecified" where it has nothing to say; the reply then speaks for itself.
_UNSAID = (None, "", "STOP", "FINISH_REASON_UNSPECIFIED")
_UNFINISHED = (None, "", "FINISH_REASON_UNSPECIFIED")
_SIGNATURE = re.compile("[A-Za-z0-9+/_-]+={0,2}")
_ENVELOPE = ("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId")


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a reply, in the order of its coming: a thought or a text in words, a draft or a picture in pixels."""

    kind: Literal["thought", "text", "draft", "picture"]
    text: str = ""
    image: InlineImage | None = None


@dataclass(slots=True)
class Assembly:
    """A reply put together from its chunks; a unary reply is a single one."""

    headers: Mapping[str, str]
    now: datetime | None
    images: list[InlineImage] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    text_signature: str | None = None
    finish_reason: str | None = None
    block_reason: str | None = None
    safety_ratings: tuple[SafetyRating, ...] = ()
    grounding: Grounding | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    response_id: str | None = None
    model_version: str | None = None
    failure: Failure | None = None

    def add(self, document: Document) -> list[Piece]:
        """Take in one chunk and return its parts; MalformedReply for what is none."""
        error = find_error(document.value)
        if error is not None and not (isinstance(document.value, dict) and get(document.value, "candidates")):
            self.failure = describe(error, None, self.headers, self.now)
            return []
        chunk = _object(document.value, "the reply")
        if all(get(chunk, name) is None and name not in chunk for name in _ENVELOPE):
            raise MalformedReply("the reply has no field of the protocol")
        candidates = get(chunk, "candidates") or []
        if not isinstance(candidates, list):
            raise MalformedReply("candidates is not a list")
        # One candidate is all that is ever asked for.
        candidate = _object(candidates[0], "candidates[0]") if candidates else {}
        feedback = _object(get(chunk, "promptFeedback") or {}, "promptFeedback")
        pieces = self._read_parts(document, candidate)
        self.finish_reason = name_of(get(candidate, "finishReason")) or self.finish_reason
        self.block_reason = name_of(get(feedback, "blockReason")) or self.block_reason
        ratings = get(candidate, "safetyRatings") or get(feedback, "safetyRatings")
        self.safety_ratings = read_safety_ratings(ratings) or self.safety_ratings
        self.grounding = read_grounding(get(candidate, "groundingMetadata")) or self.grounding
        self.usage |= read_usage(get(chunk, "usageMetadata"))
        self.response_id = name_of(get(chunk, "responseId")) or self.response_id
        self.model_version = name_of(get(chunk, "modelVersion")) or self.model_version
        return pieces

    @property
    def is_finished(self) -> bool:
        """Whether the upstream has said that this reply is over."""
        return self.finish_reason not in _UNFINISHED or self.block_reason is not None or self.failure is not None

    def reply(self) -> ParsedReply:
        """The reply so far; a picture that came whole outweighs a complaint that came after it."""
        chosen = self._choose()
        if self.failure is not None and (chosen is None or chosen.thought):
            return reply_of(self.failure)
        text = storable("".join(self.texts))
        return ParsedReply(
            outcome=None if chosen else self._outcome_without_picture(text),
            pictures=(chosen,) if chosen else (),
            images=tuple(self.images),
            text=text,
            text_signature=self.text_signature,
            thoughts=storable("".join(self.thoughts)),
            finish_reason=self.finish_reason,
            block_reason=self.block_reason,
            safety_ratings=self.safety_ratings,
            grounding=self.grounding,
            usage=self.usage,
            response_id=self.response_id,
            model_version=self.model_version,
            error=self.failure.error if self.failure else None,
        )

    def _read_parts(self, document: Document, candidate: dict[str, Any]) -> list[Piece]:
        content = _object(get(candidate, "content") or {}, "candidates[0].content")
        parts = get(content, "parts") or []
        if not isinstance(parts, list):
            raise MalformedReply("candidates[0].content.parts is not a list")
        pieces = []
        for part in parts:
            part = _object(part, "a part")
            thought = get(part, "thought") is True
            inline = get(part, "inlineData")
            if inline is not None:
                image = _read_image(document, part, _object(inline, "inlineData"), thought)
                self._check_room(self.images, MAX_IMAGES)
                self.images.append(image)
                pieces.append(Piece("draft" if thought else "picture", image=image))
            elif isinstance(text := get(part, "text"), str):
                texts = self.thoughts if thought else self.texts
                self._check_room(texts, MAX_TEXTS)
                texts.append(text[:MAX_TEXT_CHARS])
                pieces.append(Piece("thought" if thought else "text", text=storable(text)))
                if not thought:
                    self.text_signature = self.text_signature or _read_signature(part)
        return pieces

    def _check_room(self, parts: Sized, limit: int) -> None:
        if len(parts) >= limit:
            raise MalformedReply("the reply has too many parts")

    def _choose(self) -> InlineImage | None:
        """The last picture that is no draft; the last draft where all are and the reply ended well; else None."""
        if self.finish_reason not in _UNSAID and outcome_of_signal(self.finish_reason or "") in DECLINED:
            return None
        final = [image for image in self.images if not image.thought]
        if final:
            return final[-1]
        return self.images[-1] if self.images and self.finish_reason in _UNSAID else None

    def _outcome_without_picture(self, text: str) -> str:
        if self.block_reason:
            return "blocked"
        if self.finish_reason not in _UNSAID:
            # Google adds reasons without notice; one that is new says at least that there is no picture.
            return outcome_of_signal(self.finish_reason or "") or "no_image"
        return "text_only" if text.strip() else "no_image"


def _read_image(document: Document, part: dict[str, Any], inline: dict[str, Any], thought: bool) -> InlineImage:
    return InlineImage(
        mime_type_claimed=name_of(get(inline, "mimeType")) or "",
        data=document.data(get(inline, "data")),
        thought=thought,
        thought_signature=_read_signature(part),
    )


def _read_signature(part: dict[str, Any]) -> str | None:
    """Kept to the byte: the model refuses a later turn whose signature was changed. What is no base64 is none."""
    signature = get(part, "thoughtSignature")
    return signature if isinstance(signature, str) and _SIGNATURE.fullmatch(signature) else None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedReply(f"{what} is not an object")
    return value
