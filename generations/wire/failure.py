"""What an error answer says: in Google's shape, in OpenAI's, or in a proxy's HTML.

One reader for every protocol, because relays answer in either shape on either path.
"""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from generations.outcomes import outcome_of_signal, outcome_of_status
from generations.wire.document import Document, MalformedReply
from generations.wire.spelling import get

DECLINED = ("blocked", "refused")
MAX_MESSAGE_CHARS = 500
MAX_DELAY_S = 86_400.0
_READ_BYTES = 65_536
_PAGE_BYTES = 4096

_HTTP_STATUS_OF_RPC = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# What OpenAI and the relays write as code or type, where it says more than the status or has to stand in for it.
_HTTP_STATUS_OF_CODE = {
    "invalid_request_error": 400,
    "image_generation_user_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "overloaded_error": 503,
    "engine_overloaded": 503,
    "service_unavailable": 503,
    "timeout": 504,
}
# The operator's account is out of money, said with 400, 403 or 429. Waiting would not help, another key may.
_OUT_OF_MONEY = frozenset(
    {"insufficient_quota", "insufficient_user_quota", "billing_hard_limit_reached", "billing_not_active"}
)
_SECRETS = re.compile(
    r"(?P<name>\bbearer\s+|\bapi[-_ ]?key\b[\"']?\s*[:=]\s*[\"']?|\bkey="
    r"|\bauthorization\b[\"']?\s*[:=]\s*[\"']?(?:bearer\s+)?)"
    r"[^\s\"'&,;)]{6,}"
    r"|\bAIza[\w-]{20,}|\bsk-[\w-]{12,}|[A-Za-z0-9+/_-]{120,}={0,2}",
    re.IGNORECASE | re.ASCII,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_SECONDS = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)s?", re.ASCII)


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """An upstream's complaint: its own code and status, and its words, cleared of secrets and cut short."""

    code: int | str | None
    status: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A complaint with the outcome that it means and the seconds after which the upstream wants to be asked again."""

    outcome: str
    error: UpstreamError
    retry_after_s: float | None


def read_failure(status: int, headers: Mapping[str, str], body: bytes, now: datetime | None) -> Failure:
    """What an answer with an error status means."""
    try:
        error = find_error(Document(body[:_READ_BYTES]).value)
    except MalformedReply:
        error = None
    if error is None:
        error = {"message": _words_of_page(body)}
    return describe(error, status, headers, now)


def find_error(value: object) -> dict[str, Any] | None:
    """The error object of a JSON answer, also when a list is wrapped around it, or when it is a bare text."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else None


def describe(error: Mapping[str, Any], status: int | None, headers: Mapping[str, str], now: datetime | None) -> Failure:
    """Classify an error object; `status` is the HTTP status, None when the error came with a 200."""
    code = error.get("code")
    code = code if isinstance(code, int | str) and not isinstance(code, bool) else None
    rpc_status = error.get("status")
    rpc_status = clean(rpc_status, 64) if isinstance(rpc_status, str) else None
    message = error.get("message")
    found = UpstreamError(
        code=clean(code, 64) if isinstance(code, str) else code,
        status=rpc_status,
        message=redact(message) if isinstance(message, str) else "",
    )
    return Failure(_outcome(found, error, status), found, _retry_after(error, headers, now))


def _outcome(found: UpstreamError, error: Mapping[str, Any], status: int | None) -> str:
    codes = _codes(error)
    if status is None:
        status = _status_of(found, codes)
        if status is None:
            return "malformed"
    # A filter's verdict comes as 400, from some as 403, 422 or 451.
    if status in (400, 403, 422, 451) and (verdict := _verdict(codes)):
        return verdict
    if 400 <= status < 500 and not _OUT_OF_MONEY.isdisjoint(codes):
        return "auth"
    if status == 400:
        # Google answers a bad key with 400; the words are all that older answers have.
        reasons = [detail.get("reason") for detail in _details(error)]
        if "API_KEY_INVALID" in reasons or found.message.startswith("API key not valid"):
            return "auth"
    return outcome_of_status(status)


def _codes(error: Mapping[str, Any]) -> list[str]:
    """The words that classify an error in OpenAI's shape, the most exact one first."""
    inner = error.get("innererror")
    words = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    return [word for word in words if isinstance(word, str)]


def _verdict(codes: list[str]) -> str | None:
    outcomes = (outcome_of_signal(code) for code in codes)
    return next((outcome for outcome in outcomes if outcome in DECLINED), None)


def _status_of(found: UpstreamError, codes: list[str]) -> int | None:
    """The HTTP status that an error would have had, had it not come with a 200."""
    if isinstance(found.code, int):
        return found.code if 400 <= found.code < 600 else None
    if found.status in _HTTP_STATUS_OF_RPC:
        return _HTTP_STATUS_OF_RPC[found.status]
    for code in codes:
        if outcome_of_signal(code) in DECLINED or code in _OUT_OF_MONEY:
            return 400
        if code in _HTTP_STATUS_OF_CODE:
            return _HTTP_STATUS_OF_CODE[code]
        if re.fullmatch("[45][0-9]{2}", code):
            return int(code)
    return None


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_after(error: Mapping[str, Any], headers: Mapping[str, str], now: datetime | None) -> float | None:
    milliseconds = _seconds(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    if header := _header(headers, "retry-after"):
        delay = _seconds(header)
        if delay is None:
            delay = _seconds_until(header, now or datetime.now(UTC))
        if delay is not None:
            return delay
    delays = (_seconds(get(detail, "retryDelay")) for detail in _details(error))
    return next((delay for delay in delays if delay is not None), None)


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "").strip()


def _seconds(text: object) -> float | None:
    matched = _SECONDS.fullmatch(text.strip()) if isinstance(text, str) else None
    return min(float(matched[1]), MAX_DELAY_S) if matched else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # "-0000": a time in UTC of unknown zone
            moment = moment.replace(tzinfo=UTC)
        delay = (moment - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(delay, 0.0), MAX_DELAY_S) if math.isfinite(delay) else None


def _words_of_page(body: bytes) -> str:
    # Little is read: on a hostile page the searches below take time that grows with the square of its length.
    text = body[:_PAGE_BYTES].decode("utf-8", "replace")
    if "<" not in text:
        return text
    title = _TITLE.search(text)
    return html.unescape(title[1] if title else _TAGS.sub(" ", text))


def redact(text: str) -> str:
    """The text on one line without keys and long runs of base64, at most MAX_MESSAGE_CHARS long."""
    head = clean(text[: 8 * MAX_MESSAGE_CHARS], 8 * MAX_MESSAGE_CHARS)
    masked = _SECRETS.sub(lambda found: (found["name"] or "") + "[redacted]", head)
    return masked if len(masked) <= MAX_MESSAGE_CHARS else masked[: MAX_MESSAGE_CHARS - 1] + "…"


def clean(text: str, limit: int) -> str:
    """The text on one line: no control characters, white space folded, cut at `limit` characters."""
    return " ".join(_CONTROLS.sub(" ", text).split())[:limit]
