"""A chat completion put together from its chunks, and which outcome it means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from generations.outcomes import outcome_of_signal
from generations.wire.document import Document, MalformedReply
from generations.wire.failure import DECLINED, Failure, describe, find_error
from generations.wire.openai.content import Content, read_content
from generations.wire.openai.pictures import LINKS_ONLY, Pictures, find_pictures, text_in
from generations.wire.openai.usage import read_usage
from generations.wire.reply import (
    MAX_TEXT_CHARS,
    ParsedReply,
    UpstreamError,
    name_of,
    reply_of,
    reply_without,
    storable,
)

# Beside OpenAI's words relays hand through those of the model that is behind them.
_UNSAID = (None, "", "stop", "STOP", "eos", "end_turn")
_SIGNALS = {"length": "MAX_TOKENS", "max_tokens": "MAX_TOKENS"}
_ENVELOPE = ("choices", "usage", "id", "object")


@dataclass(slots=True)
class Completion:
    """What the chunks of a completion have brought so far; a unary one is a single chunk."""

    headers: Mapping[str, str]
    now: datetime | None
    attached: Pictures = field(default_factory=Pictures)
    in_parts: Pictures = field(default_factory=Pictures)
    contents: list[bytes | memoryview] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusal: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    response_id: str | None = None
    model_version: str | None = None
    failure: Failure | None = None

    def add(self, document: Document) -> None:
        """Take in one chunk; MalformedReply for what is none."""
        error = find_error(document.value)
        if error is not None and not (isinstance(document.value, dict) and document.value.get("choices")):
            self.failure = describe(error, None, self.headers, self.now)
            return
        chunk = _object(document.value, "the reply")
        if all(chunk.get(name) is None for name in _ENVELOPE):
            raise MalformedReply("the reply has no field of the protocol")
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            raise MalformedReply("choices is not a list")
        if choices:
            # One choice is all that is ever asked for.
            self._add_choice(document, _object(choices[0], "choices[0]"))
        self.usage |= read_usage(chunk.get("usage"))
        self.response_id = name_of(chunk.get("id")) or self.response_id
        self.model_version = name_of(chunk.get("model")) or self.model_version

    def reply(self, *, count: int, has_ended: bool) -> ParsedReply:
        """The reply; `has_ended` is false for a stream that broke off."""
        content = read_content(b"".join(self.contents))
        found = next(filter(None, (self.attached, self.in_parts, content.pictures)), Pictures())
        declined = outcome_of_signal(self._signal) in DECLINED
        pictures = () if declined else tuple(found.inline[-max(1, count) :])
        if not pictures and self.failure is not None:
            return reply_of(self.failure)
        if not pictures and not has_ended:
            return reply_without("unknown", "the stream broke off before its end")
        links = () if pictures or declined else tuple(found.links)
        outcome = None if pictures else self._outcome_without_picture(content)
        error = self.failure.error if self.failure else None
        if links and outcome in ("text_only", "no_image"):
            outcome, error = "text_only", UpstreamError(None, None, LINKS_ONLY)
        return ParsedReply(
            outcome=outcome,
            pictures=pictures,
            images=tuple(found.inline),
            links=links,
            text=content.text or storable(self.refusal),
            thoughts=storable("".join(self.thoughts)),
            finish_reason=self.finish_reason,
            usage=self.usage,
            response_id=self.response_id,
            model_version=self.model_version,
            error=error,
        )

    def _add_choice(self, document: Document, choice: dict[str, Any]) -> None:
        if isinstance(choice.get("error"), dict):
            self.failure = describe(choice["error"], None, self.headers, self.now)
        self.finish_reason = name_of(choice.get("finish_reason")) or self.finish_reason
        message = _object(choice.get("message") or choice.get("delta") or {}, "choices[0].message")
        if isinstance(message.get("refusal"), str):
            self.refusal = (self.refusal + message["refusal"])[:MAX_TEXT_CHARS]
        for name in ("reasoning", "reasoning_content"):
            if isinstance(thought := message.get(name), str) and len(self.thoughts) < MAX_TEXT_CHARS:
                self.thoughts.append(thought[:MAX_TEXT_CHARS])
                break
        find_pictures(document, message.get("images") or [], self.attached)
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            self._add_part(document, part)

    def _add_part(self, document: Document, part: object) -> None:
        text = text_in(document, part.get("text") if isinstance(part, dict) else part)
        if len(text):
            self.contents.append(text)
        else:
            find_pictures(document, part, self.in_parts)

    @property
    def _signal(self) -> str:
        """The finish reason as outcomes know it."""
        reason = self.finish_reason or ""
        reason = _SIGNALS.get(reason.lower(), reason)
        return reason if outcome_of_signal(reason) else reason.upper()

    def _outcome_without_picture(self, content: Content) -> str:
        said = outcome_of_signal(self._signal)
        if said in DECLINED:
            return str(said)
        if self.refusal.strip():
            return "refused"
        if self.finish_reason not in _UNSAID:
            return said or "no_image"
        if content.is_cut:
            return "truncated"
        return "text_only" if content.text else "no_image"


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedReply(f"{what} is not an object")
    return value
