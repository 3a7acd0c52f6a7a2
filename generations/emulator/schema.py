"""The request message as data, and its strict reading: unknown names and wrong types are refused in Google's words.

proto3 JSON accepts a field's camelCase and snake_case name at every level; what comes out has snake_case names only.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta"
STRING, INT32, FLOAT, BOOL, BYTES = "TYPE_STRING", "TYPE_INT32", "TYPE_FLOAT", "TYPE_BOOL", "TYPE_BYTES"
ANYTHING = "TYPE_ANY"


@dataclass(frozen=True)
class Many:
    """A repeated field; single_allowed where a bare value instead of a list is tolerated."""

    of: Any
    single_allowed: bool = False


@dataclass(frozen=True)
class Choice:
    """An enum; any_case where the upstream does not mind the case."""

    type: str
    values: frozenset[str]
    any_case: bool = False


def _choice(type_name: str, values: str, *, any_case: bool = False) -> Choice:
    return Choice(f"{PACKAGE}.{type_name}", frozenset(values.split()), any_case)


MODALITY = _choice("GenerationConfig.Modality", "MODALITY_UNSPECIFIED TEXT IMAGE AUDIO VIDEO", any_case=True)
THINKING_LEVEL = _choice(
    "ThinkingConfig.ThinkingLevel", "THINKING_LEVEL_UNSPECIFIED MINIMAL LOW MEDIUM HIGH XHIGH", any_case=True
)
HARM_CATEGORY = _choice(
    "HarmCategory",
    "HARM_CATEGORY_UNSPECIFIED HARM_CATEGORY_HARASSMENT HARM_CATEGORY_HATE_SPEECH HARM_CATEGORY_SEXUALLY_EXPLICIT "
    "HARM_CATEGORY_DANGEROUS_CONTENT HARM_CATEGORY_CIVIC_INTEGRITY HARM_CATEGORY_JAILBREAK",
)
HARM_THRESHOLD = _choice(
    "SafetySetting.HarmBlockThreshold",
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED BLOCK_LOW_AND_ABOVE BLOCK_MEDIUM_AND_ABOVE BLOCK_ONLY_HIGH BLOCK_NONE OFF",
)
PART = {
    "text": STRING,
    "inline_data": {"mime_type": STRING, "data": BYTES, "display_name": STRING},
    "file_data": {"mime_type": STRING, "file_uri": STRING, "display_name": STRING},
    "thought": BOOL,
    "thought_signature": BYTES,
    "media_resolution": ANYTHING,
    "function_call": ANYTHING,
    "function_response": ANYTHING,
    "executable_code": ANYTHING,
    "code_execution_result": ANYTHING,
    "video_metadata": ANYTHING,
}
CONTENT = {"role": STRING, "parts": Many(PART, single_allowed=True)}
GOOGLE_SEARCH = {
    "search_types": {"web_search": {}, "image_search": {}},
    "time_range_filter": {"start_time": STRING, "end_time": STRING},
}
REQUEST = {
    "model": STRING,
    "contents": Many(CONTENT, single_allowed=True),
    "system_instruction": CONTENT,
    "generation_config": {
        "response_modalities": Many(MODALITY),
        "image_config": {"aspect_ratio": STRING, "image_size": STRING},
        "thinking_config": {"include_thoughts": BOOL, "thinking_level": THINKING_LEVEL, "thinking_budget": INT32},
        "candidate_count": INT32,
        "seed": INT32,
        "temperature": FLOAT,
        "top_p": FLOAT,
        "top_k": FLOAT,
        "max_output_tokens": INT32,
        "stop_sequences": Many(STRING),
        "presence_penalty": FLOAT,
        "frequency_penalty": FLOAT,
        "response_mime_type": STRING,
        "response_schema": ANYTHING,
        "response_json_schema": ANYTHING,
        "media_resolution": STRING,
        "speech_config": ANYTHING,
        "response_logprobs": BOOL,
        "logprobs": INT32,
    },
    "safety_settings": Many({"category": HARM_CATEGORY, "threshold": HARM_THRESHOLD}),
    "tools": Many(
        {
            "google_search": GOOGLE_SEARCH,
            "function_declarations": ANYTHING,
            "code_execution": ANYTHING,
            "url_context": ANYTHING,
            "google_search_retrieval": ANYTHING,
            "google_maps": ANYTHING,
            "file_search": ANYTHING,
            "computer_use": ANYTHING,
            "mcp_servers": ANYTHING,
        },
        single_allowed=True,
    ),
    "tool_config": ANYTHING,
    "cached_content": STRING,
    "labels": ANYTHING,
    "service_tier": STRING,
    "store": BOOL,
    "continuation_token": STRING,
}


@dataclass
class Reader:
    """Reads one JSON value against a schema and collects what is wrong with it as (field, description)."""

    violations: list[tuple[str, str]] = field(default_factory=list)

    def read(self, value: Any, kind: Any, path: str = "") -> Any:
        """The value with snake_case names; None where it is absent, null or wrong."""
        match kind:
            case dict():
                return self._message(value, kind, path)
            case Many():
                return self._list(value, kind, path)
            case Choice():
                return self._choice(value, kind, path)
            case _:
                return value if kind == ANYTHING else self._scalar(value, kind, path)

    def _message(self, value: Any, kind: dict, path: str) -> dict | None:
        if not isinstance(value, Mapping):
            self._wrong(path, "TYPE_MESSAGE", value)
            return None
        result = {}
        for sent, item in value.items():
            name = _snake(sent)
            if name not in kind:
                where = f" at '{path}'" if path else ""
                self._add(path, f'Invalid JSON payload received. Unknown name "{sent}"{where}: Cannot find field.')
            elif item is not None:
                result[name] = self.read(item, kind[name], f"{path}.{name}" if path else name)
        return result

    def _list(self, value: Any, kind: Many, path: str) -> list | None:
        if not isinstance(value, list):
            if not kind.single_allowed:
                self._wrong(path, "TYPE_REPEATED", value)
                return None
            value = [value]
        return [self.read(item, kind.of, f"{path}[{index}]") for index, item in enumerate(value)]

    def _choice(self, value: Any, kind: Choice, path: str) -> str | None:
        name = value.upper() if kind.any_case and isinstance(value, str) else value
        if isinstance(name, str) and name in kind.values:
            return name
        self._wrong(path, kind.type, value)
        return None

    def _scalar(self, value: Any, kind: str, path: str) -> Any:
        try:
            return _SCALARS[kind](value)
        except binascii.Error:
            self._add(path, f"Invalid value at '{path}' ({kind}), Base64 decoding failed for \"{value[:40]}\"")
        except (TypeError, ValueError):
            self._wrong(path, kind, value)
        return None

    def _wrong(self, path: str, kind: str, value: Any) -> None:
        shown = f'"{value[:80]}"' if isinstance(value, str) else str(value)[:80]
        self._add(path, f"Invalid value at '{path}' ({kind}), {shown}")

    def _add(self, path: str, description: str) -> None:
        self.violations.append((path, description))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() if "_" not in name else name


def _read_string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _read_int32(value: Any) -> int:
    number = _read_float(value)
    if not number.is_integer() or not -(2**31) <= number < 2**31:
        raise ValueError
    return int(number)


def _read_bytes(value: Any) -> bytes:
    """Base64 in the standard or the URL-safe alphabet, padded or not."""
    text = _read_string(value).translate(str.maketrans("-_", "+/")).rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


_SCALARS = {STRING: _read_string, BOOL: _read_bool, FLOAT: _read_float, INT32: _read_int32, BYTES: _read_bytes}
