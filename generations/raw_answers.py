"""An upstream's answer as operators may read it later: its structure without pictures, keys and addresses, 20 KB."""

import hashlib
import re
from typing import Any

import orjson
import structlog

from accounts.redaction import REDACTED, SECRET_NAME, redact
from generations.providers.answer import Answer
from generations.wire.document import Document, MalformedReply

log = structlog.get_logger(__name__)

MAX_BYTES = 20_000
MAX_STRING_CHARS = 2_000
MAX_ITEMS = 50
MAX_NODES = 2_000
HEAD_BYTES, TAIL_BYTES = 16_000, 2_000  # of a body that is no JSON
ENCODED_KEYS = frozenset({"data", "thoughtSignature", "thought_signature", "b64_json", "bytesBase64Encoded"})
# A run of base64, also with the slashes escaped as JSON may; `base64,` begins one of any length in a data: address.
BASE64_RUN = re.compile(r"(?<=base64,)[\w+/\\-]+={0,2}|(?<![\w+/\\-])[\w+/\\-]{121,}={0,2}", re.ASCII)


def summarise(answer: Answer) -> str:
    """Status, headers and body; empty when it cannot be told, as a summary is never worth a picture.

    Precondition: the body may be held in memory once more (pipeline.parsing).
    """
    try:
        head = [f"HTTP {answer.status}", *(f"{name}: {redact(value)}" for name, value in answer.headers.items())]
        return _cut("\n".join([*head, "", _body(answer.read_body())]))
    except Exception:
        log.exception("answer_not_summarised")
        return ""


def _body(body: bytes) -> str:
    try:
        document = Document(body)
    except MalformedReply:
        return _as_text(body)
    budget = [MAX_NODES]
    return orjson.dumps(_clean(document.value, "", document, budget), option=orjson.OPT_INDENT_2).decode()


def _as_text(body: bytes) -> str:
    """The beginning and the end of what is no JSON. A NUL could not be stored."""
    skipped = len(body) - HEAD_BYTES - TAIL_BYTES
    if skipped > 0:
        text = "\n".join([_readable(body[:HEAD_BYTES]), f"[{skipped} bytes]", _readable(body[-TAIL_BYTES:])])
    else:
        text = _readable(body)
    return text or "[empty]"


def _readable(part: bytes) -> str:
    return _clean_text(part.decode("utf-8", "replace").replace("\0", "\ufffd"))


def _clean(value: Any, key: str, document: Document, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        return "[more]"
    if key in ENCODED_KEYS and isinstance(value, str | int):
        try:
            return _described(document.data(value))
        except MalformedReply:
            return value  # a number that stands for nothing
    if SECRET_NAME.fullmatch(key):
        return REDACTED
    match value:
        case str():
            text = _clean_text(value[:MAX_STRING_CHARS])
            return text if len(value) <= MAX_STRING_CHARS else f"{text} [{len(value)} characters]"
        case dict():
            cleaned = {
                _clean_text(name)[:200]: _clean(item, name, document, budget)
                for name, item in list(value.items())[:MAX_ITEMS]
            }
            return cleaned if len(value) <= MAX_ITEMS else {**cleaned, "[more]": len(value) - MAX_ITEMS}
        case list():
            items = [_clean(item, key, document, budget) for item in value[:MAX_ITEMS]]
            return items if len(value) <= MAX_ITEMS else [*items, f"[{len(value) - MAX_ITEMS} more]"]
    return value


def _clean_text(text: str) -> str:
    return redact(BASE64_RUN.sub(lambda run: _described(run[0].encode()), text))


def _described(encoded: bytes | memoryview) -> str:
    return f"[base64, {len(encoded)} characters, sha256 {hashlib.sha256(encoded).hexdigest()[:16]}]"


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MAX_BYTES:
        return text
    note = f"\n[cut: {len(encoded)} bytes in all]"
    return encoded[: MAX_BYTES - len(note)].decode("utf-8", "ignore") + note
