"""Replies of the upstream: what came, and which outcome it means. No picture is decoded here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from generations.outcomes import outcome_of_signal
from generations.wire.gemini.document import Document, MalformedReply
from generations.wire.gemini.failure import UpstreamError, clean, describe, find_error, read_failure
from generations.wire.gemini.spelling import get

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_TEXT_CHARS = 20_000
MAX_NAME_CHARS = 128

# proto3 leaves a field out or says "unspecified" where it has nothing to say; the reply then speaks for itself.
_UNSAID = (None, "", "STOP", "FINISH_REASON_UNSPECIFIED")
_DECLINED = ("blocked", "refused")
# A database refuses NUL, which is not worth losing a picture.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SIGNATURE = re.compile("[A-Za-z0-9+/_-]+={0,2}")
_COUNTS = (
    *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"),
    *("cachedContentTokenCount", "totalTokenCount"),
)
_DETAILS = ("promptTokensDetails", "candidatesTokensDetails")
_ENVELOPE = ("candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId")


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture as it came: `data` is its base64 text as bytes, a view into the reply's body where it is long."""

    mime_type_claimed: str
    data: bytes | memoryview
    thought: bool = False
    thought_signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReply:
    """A reply's content; `outcome` is None when `chosen` is a picture that has yet to prove itself.

    `images` holds every picture, drafts of the model's thinking too; `usage` has the protocol's camelCase names;
    `retry_after_s` is in seconds.
    """

    outcome: str | None
    images: tuple[InlineImage, ...] = ()
    chosen: InlineImage | None = None
    text: str = ""
    finish_reason: str | None = None
    block_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    response_id: str | None = None
    model_version: str | None = None
    error: UpstreamError | None = None
    retry_after_s: float | None = None


@dataclass(slots=True)
class _Parts:
    """The parts of one candidate, sorted out."""

    images: list[InlineImage] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    now: datetime | None = None,
) -> ParsedReply:
    """Read any answer that an upstream may give; never raises on what the answer holds.

    `now` is the moment from which a Retry-After date counts, the present one by default.
    """
    if not 200 <= status < 300:
        failure = read_failure(status, headers, body, now)
        return ParsedReply(outcome=failure.outcome, error=failure.error, retry_after_s=failure.retry_after_s)
    if len(body) > max_body_bytes:
        return ParsedReply(outcome="too_large", error=UpstreamError(None, None, f"the reply has {len(body)} bytes"))
    try:
        return _parse_success(Document(body), headers, now)
    except MalformedReply as problem:
        return ParsedReply(outcome="malformed", error=UpstreamError(None, None, str(problem)))


def _parse_success(document: Document, headers: Mapping[str, str], now: datetime | None) -> ParsedReply:
    error = find_error(document.value)
    if error is not None and not (isinstance(document.value, dict) and get(document.value, "candidates")):
        failure = describe(error, None, headers, now)
        return ParsedReply(outcome=failure.outcome, error=failure.error, retry_after_s=failure.retry_after_s)
    reply = _object(document.value, "the reply")
    if all(get(reply, name) is None and name not in reply for name in _ENVELOPE):
        raise MalformedReply("the reply has no field of the protocol")
    candidates = get(reply, "candidates") or []
    if not isinstance(candidates, list):
        raise MalformedReply("candidates is not a list")
    # One candidate is all that is ever asked for.
    candidate = _object(candidates[0], "candidates[0]") if candidates else {}
    parts = _read_parts(document, candidate)
    finish_reason = _name(get(candidate, "finishReason"))
    block_reason = _name(get(_object(get(reply, "promptFeedback") or {}, "promptFeedback"), "blockReason"))
    chosen = _choose(parts.images, finish_reason)
    text = _UNSTORABLE.sub("", "".join(parts.texts))[:MAX_TEXT_CHARS]
    return ParsedReply(
        outcome=None if chosen else _outcome_without_picture(finish_reason, block_reason, text),
        images=tuple(parts.images),
        chosen=chosen,
        text=text,
        finish_reason=finish_reason,
        block_reason=block_reason,
        usage=_read_usage(get(reply, "usageMetadata")),
        response_id=_name(get(reply, "responseId")),
        model_version=_name(get(reply, "modelVersion")),
    )


def _read_parts(document: Document, candidate: dict[str, Any]) -> _Parts:
    content = _object(get(candidate, "content") or {}, "candidates[0].content")
    parts = get(content, "parts") or []
    if not isinstance(parts, list):
        raise MalformedReply("candidates[0].content.parts is not a list")
    sorted_out = _Parts()
    for part in parts:
        part = _object(part, "a part")
        thought = get(part, "thought") is True
        inline = get(part, "inlineData")
        if inline is not None:
            sorted_out.images.append(_read_image(document, part, _object(inline, "inlineData"), thought))
        elif not thought and isinstance(text := get(part, "text"), str):
            sorted_out.texts.append(text)
    return sorted_out


def _read_image(document: Document, part: dict[str, Any], inline: dict[str, Any], thought: bool) -> InlineImage:
    signature = get(part, "thoughtSignature")
    return InlineImage(
        mime_type_claimed=_name(get(inline, "mimeType")) or "",
        data=document.data(get(inline, "data")),
        thought=thought,
        # Kept to the byte: the model refuses a later turn whose signature was changed. What is no base64 is none.
        thought_signature=signature if isinstance(signature, str) and _SIGNATURE.fullmatch(signature) else None,
    )


def _choose(images: list[InlineImage], finish_reason: str | None) -> InlineImage | None:
    """The last picture that is no draft; the last draft where all are and the reply ended well; else None."""
    if finish_reason not in _UNSAID and outcome_of_signal(finish_reason or "") in _DECLINED:
        return None
    final = [image for image in images if not image.thought]
    if final:
        return final[-1]
    return images[-1] if images and finish_reason in _UNSAID else None


def _outcome_without_picture(finish_reason: str | None, block_reason: str | None, text: str) -> str:
    if block_reason:
        return "blocked"
    if finish_reason not in _UNSAID:
        # Google adds reasons without notice; one that is new says at least that there is no picture.
        return outcome_of_signal(finish_reason or "") or "no_image"
    return "text_only" if text.strip() else "no_image"


def _read_usage(value: object) -> dict[str, Any]:
    usage = value if isinstance(value, dict) else {}
    counts = {name: get(usage, name) for name in _COUNTS}
    read: dict[str, Any] = {name: count for name, count in counts.items() if _is_count(count)}
    for name in _DETAILS:
        details = get(usage, name)
        rows = [_read_detail(row) for row in details if isinstance(row, dict)] if isinstance(details, list) else []
        if rows:
            read[name] = rows[:16]
    return read


def _read_detail(row: dict[str, Any]) -> dict[str, Any]:
    count = get(row, "tokenCount")
    return {"modality": _name(get(row, "modality")) or "", "tokenCount": count if _is_count(count) else 0}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedReply(f"{what} is not an object")
    return value


def _name(value: object) -> str | None:
    return clean(value, MAX_NAME_CHARS) if isinstance(value, str) else None
