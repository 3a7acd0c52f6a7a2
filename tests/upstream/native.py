"""Answers of the Gemini-native protocol."""

import json
from collections.abc import Sequence
from typing import Any

from tests.upstream.pictures import b64, png
from tests.upstream.server import Answer, Step

RPC = "type.googleapis.com/google.rpc."
BLOCKING = ("SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT")
REFUSING = ("RECITATION", "IMAGE_RECITATION", "LANGUAGE", "ESCALATION", "PUP_LIMITED_DISABLED")
WITHOUT_IMAGE = ("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE")
CUT_SHORT = ("MAX_TOKENS", "CONTINUATION")
SIGNATURE = "c2lnbmF0dXJlIG9mIGEgdGhvdWdodA=="


def text(words: str, **fields: Any) -> dict:
    """A text part; `thought=True` for a thought."""
    return {"text": words, **fields}


def picture(data: bytes | str | None = None, mime_type: str = "image/png", **fields: Any) -> dict:
    """A picture part; data as text is sent as it is. `thoughtSignature=SIGNATURE`, `thought=True`."""
    return {"inlineData": {"mimeType": mime_type, "data": b64(png() if data is None else data)}, **fields}


def message(*parts: dict, finish: str | None = "STOP", usage: dict | None = None, **candidate: Any) -> dict:
    """A GenerateContentResponse with one candidate."""
    first: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        first["finishReason"] = finish
    return {
        "candidates": [first | candidate],
        "usageMetadata": usage or usage_of(),
        "modelVersion": "gemini-3.1-flash-image-preview",
        "responseId": "Zx3mafK8",
    }


def usage_of(prompt: int = 12, pictures: int = 1120, thoughts: int = 0, tools: int = 0) -> dict:
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": pictures,
        "totalTokenCount": prompt + pictures + thoughts + tools,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": pictures}],
    }
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if tools:
        usage["toolUsePromptTokenCount"] = tools
    return usage


def grounding(entry: str = "<div>search</div>", *, query: str = "a tower") -> dict:
    """groundingMetadata, for `answer(..., groundingMetadata=grounding())`."""
    return {
        "webSearchQueries": [query],
        "searchEntryPoint": {"renderedContent": entry},
        "groundingChunks": [{"web": {"uri": "https://example.org/a", "title": "A", "domain": "example.org"}}],
        "groundingSupports": [],
    }


def answer(*parts: dict, finish: str | None = "STOP", **candidate: Any) -> Answer:
    """200 with these parts; with none, one picture."""
    return of(message(*(parts or (picture(),)), finish=finish, **candidate))


def of(value: Any, status: int = 200) -> Answer:
    """Any JSON."""
    return Answer(status, json.dumps(value).encode(), content_type="application/json; charset=UTF-8")


def ends(finish: str, *, note: str = "", content: dict | None = None) -> Answer:
    """200 without a picture: no content at all, or the one given (`{"role": "model"}`)."""
    candidate: dict[str, Any] = {"finishReason": finish, "index": 0}
    if content is not None:
        candidate["content"] = content
    if note:
        candidate["finishMessage"] = note
    usage = {"promptTokenCount": 12, "thoughtsTokenCount": 240, "totalTokenCount": 252}
    return of({"candidates": [candidate], "usageMetadata": usage, "responseId": "Zx3mafK9"})


def blocked(reason: str = "SAFETY", *, candidates: list | None = None) -> Answer:
    """200 with promptFeedback; `candidates=[]` sends the empty list as well."""
    value: dict[str, Any] = {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": {"promptTokenCount": 12, "totalTokenCount": 12},
    }
    if candidates is not None:
        value["candidates"] = candidates
    return of(value)


def error(code: int, status: str, words: str = "No.", *details: dict) -> Answer:
    """An error in Google's shape."""
    body: dict[str, Any] = {"code": code, "message": words, "status": status}
    if details:
        body["details"] = list(details)
    return of({"error": body}, code)


def detail(kind: str, **fields: Any) -> dict:
    """`detail("RetryInfo", retryDelay="3s")`."""
    return {"@type": RPC + kind, **fields}


def rate_limited(retry_delay: str | None = None) -> Answer:
    """429 with RetryInfo and no header, or with neither."""
    quota = detail("QuotaFailure", violations=[{"quotaId": "RequestsPerMinute"}])
    retry = [detail("RetryInfo", retryDelay=retry_delay)] if retry_delay else []
    return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", quota, *retry)


def unauthenticated() -> Answer:
    """401 as the relay says it."""
    reason = detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com")
    return error(401, "UNAUTHENTICATED", "API key not valid. Please pass a valid API key.", reason)


def stream(*messages: dict | Step, newline: bytes = b"\r\n") -> Answer:
    """An event stream of messages; steps of the server (Pause, Cut, an Event) may stand between them."""
    steps: list[Step] = []
    for entry in messages:
        if isinstance(entry, dict):
            entry = b"data: " + json.dumps(entry).encode() + newline * 2
        steps.append(entry)
    return Answer(200, tuple(steps), content_type="text/event-stream")


def pieces(*parts: dict, finish: str = "STOP") -> Sequence[dict]:
    """A message as a stream brings it: a piece for each part, the finish reason on the last."""
    *rest, last = parts
    return [*(message(part, finish=None) for part in rest), message(last, finish=finish)]
