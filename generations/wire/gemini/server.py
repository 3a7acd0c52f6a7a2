"""Answers of our own native door, in the protocol's shape."""

from collections.abc import Iterable, Mapping
from typing import Any

from generations.spec import GenerationSpec


def build_response(
    spec: GenerationSpec,
    images: Iterable[tuple[str, str, str | None]],
    text: str,
    finish_reason: str,
    usage: Mapping[str, Any],
    response_id: str,
) -> dict[str, Any]:
    """The body of a success; `images` are (MIME type, base64 in the standard alphabet, thought signature)."""
    parts: list[dict[str, Any]] = [{"text": text}] if text else []
    for mime_type, data, signature in images:
        part: dict[str, Any] = {"inlineData": {"mimeType": mime_type, "data": data}}
        parts.append(part | ({"thoughtSignature": signature} if signature else {}))
    # A model's turn with an empty list of parts makes a chat client drop the user's turn as well.
    content = {"role": "model"} | ({"parts": parts} if parts else {})
    return {
        "candidates": [{"index": 0, "finishReason": finish_reason, "content": content}],
        "usageMetadata": dict(usage),
        "modelVersion": spec.model,
        "responseId": response_id,
    }


def build_error(
    status_code: int, message: str, status: str, details: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The body of a failure; `status` is Google's name of it ("INVALID_ARGUMENT")."""
    error: dict[str, Any] = {"code": status_code, "message": message, "status": status}
    found = [dict(detail) for detail in details]
    return {"error": error | ({"details": found} if found else {})}
