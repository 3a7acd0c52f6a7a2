"""Counts of tokens, from OpenAI's names to those of the native protocol, so that every attempt is counted alike."""

from collections.abc import Mapping
from typing import Any

from generations.wire.reply import is_count

_MODALITIES = (("TEXT", "text_tokens"), ("IMAGE", "image_tokens"), ("AUDIO", "audio_tokens"))


def read_usage(value: object) -> dict[str, Any]:
    """The counts of a chat completion or of the images API; what is no count is left out."""
    usage = _message(value)
    asked = _message(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    answered = _message(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    thoughts = _first_count(answered, "reasoning_tokens")
    output = _first_count(usage, "completion_tokens", "output_tokens")
    if output is not None and thoughts is not None:
        output = max(0, output - thoughts)  # OpenAI counts thoughts among the answer, Google beside it
    counts = {
        "promptTokenCount": _first_count(usage, "prompt_tokens", "input_tokens"),
        "candidatesTokenCount": output,
        "thoughtsTokenCount": thoughts,
        "cachedContentTokenCount": _first_count(asked, "cached_tokens"),
        "totalTokenCount": _first_count(usage, "total_tokens"),
    }
    details = {"promptTokensDetails": _rows(asked), "candidatesTokensDetails": _rows(answered)}
    read: dict[str, Any] = {name: count for name, count in counts.items() if count is not None}
    return read | {name: rows for name, rows in details.items() if rows}


def _message(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first_count(message: Mapping[str, Any], *names: str) -> int | None:
    return next((message[name] for name in names if is_count(message.get(name))), None)


def _rows(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    counts = [(modality, details.get(name)) for modality, name in _MODALITIES]
    return [{"modality": modality, "tokenCount": count} for modality, count in counts if is_count(count)]
