"""What must never be written down: keys, tokens, passwords, cookies, addresses of people, the bytes of pictures.

Applied once, to everything that is logged (config/logging.py). Each pattern runs in linear time on any input: a
repetition starts only where no longer one could have started before it, and never gives back what it took.
"""

import re
from collections.abc import Callable

REDACTED = "[redacted]"
MIN_SECRET_CHARS = 8  # anything shorter would also be found in words that are no secrets
MAX_BASE64_CHARS = 200

# Names whose value is hidden wherever it stands: in a header, a form, JSON, a repr or a mapping.
HEADERS = r"(?:proxy-)?authorization|x-goog-api-key|x-api-key|(?:set-)?cookie|x-csrftoken"
FIELDS = (
    r"password\d?|passwd|passphrase|secret|api[_-]?key|(?:access|refresh|id|csrf|csrfmiddleware)_?token|"
    r"csrftoken|sessionid|signature"
)
SECRET_NAME = re.compile(rf"(?:\w*[_-])?(?:{HEADERS}|{FIELDS})", re.IGNORECASE)

# A name is followed by its value, in quotes (closed or cut off) or bare; `\\"` is JSON inside JSON.
_FOLLOWED = r"""\\{0,9}["']?\s?(?:[:=]|(?<=["'])\s?,)\s?+(?:b(?=["']))?+"""
_IN_QUOTES = r"""\\{1,9}"[^"\\\r\n]*+(?:\\{1,9}")?|"(?:[^"\\\r\n]|\\.)*+"?|'(?:[^'\\\r\n]|\\.)*+'?"""
_VALUE = rf"(?!b?{re.escape(REDACTED)})(?:{_IN_QUOTES}|[^%s]++)"
_REST_OF_HEADER = _VALUE % r"""\r\n"'}\])"""
_WORD = _VALUE % r"""\s"'&,;}\])"""

_API_KEY = r"\bnbk_(?:live|test)_\w++"
_UPSTREAM_KEY = r"\b(?:sk-[\w-]{16,}+|AIza[\w-]{30,}+)"
_CREDENTIALS = r"\b(?:Bearer|Basic)\s[\w.~+/=-]{8,}+"
_IN_URL = r"(?<=://)[^\s/:@]*+:[^\s/@]++(?=@)"
_EMAIL = r"(?<![\w.+-])[\w.+-]++(?:@|%40)[\w-]++(?:\.[\w-]++)++"

Replacement = str | Callable[["re.Match[str]"], str]

_RULES: tuple[tuple["re.Pattern[str]", Replacement], ...] = (
    (
        # First, so that no later pattern has to walk through them. A backslash may stand before the slashes in JSON.
        re.compile(rf"(?<![\w+/\\-])[\w+/\\-]{{{MAX_BASE64_CHARS + 1},}}+={{0,2}}", re.ASCII),
        lambda found: f"[base64, {len(found[0])} characters]",
    ),
    (re.compile(rf"(?i)({HEADERS})({_FOLLOWED}){_REST_OF_HEADER}"), rf"\1\2{REDACTED}"),
    (re.compile(rf"(?i)({FIELDS})({_FOLLOWED}){_WORD}"), rf"\1\2{REDACTED}"),
    (re.compile(r"(?i)(?<![\w-])(key=)[^\s\"'&#]++"), rf"\1{REDACTED}"),
    (re.compile(_API_KEY), REDACTED),
    (re.compile(_UPSTREAM_KEY), REDACTED),
    (re.compile(_CREDENTIALS, re.IGNORECASE), REDACTED),
    (re.compile(_IN_URL), REDACTED),
    (re.compile(_EMAIL), "[email]"),
)

_secrets: "re.Pattern[str] | None" = None


def register_secrets(*secrets: str) -> None:
    """Let these exact texts be hidden too; replaces those that were registered before."""
    global _secrets
    longest_first = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS}, key=len, reverse=True)
    _secrets = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def redact(text: str) -> str:
    """`text` without anything that must not be written down."""
    if _secrets is not None:
        text = _secrets.sub(REDACTED, text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
