"""The errors of asking for pictures."""

import json
from collections.abc import Mapping

from accounts.errors import FieldError, InvalidInput, ServiceUnavailable

MAX_SHOWN_CHARS = 60
MAX_SHOWN_ITEMS = 4


class UnknownModel(InvalidInput):
    """No model has this id or alias; `nearest` is the spelling that comes closest, if any does."""

    def __init__(self, message: str, *, nearest: str | None = None) -> None:
        super().__init__(message, errors=(FieldError("model", message),))
        self.nearest = nearest


class RetiredModel(UnknownModel):
    """A model that is not made any more; `nearest` is the one that follows it."""


class WireError(InvalidInput):
    """A request in an upstream's dialect was refused; `errors` carry field paths in that dialect's spelling.

    `rpc_status` is Google's name of the failure ("INVALID_ARGUMENT", "NOT_FOUND").
    """

    def __init__(
        self,
        errors: tuple[FieldError, ...],
        *,
        status: int = 400,
        code: str = "invalid",
        rpc_status: str = "INVALID_ARGUMENT",
    ) -> None:
        super().__init__("\n".join(error.message for error in errors), errors=errors)
        self.status = status
        self.code = code
        self.rpc_status = rpc_status

    @property
    def field(self) -> str:
        """The path of the first field that was refused."""
        return self.errors[0].field


class QueueFull(ServiceUnavailable):
    """More generations wait than this server will finish in good time."""

    code = "overloaded"
    title = "Too much work is waiting"
    message = "Too many generations are waiting already. Nothing was held or charged."
    remedy = "Send it again when Retry-After has passed."


class UpstreamUnavailable(ServiceUnavailable):
    code = "upstream_unavailable"
    title = "The provider does not answer just now"
    message = "The provider of this model has failed again and again and is left alone for a moment. Nothing was held."
    remedy = "Send it again when Retry-After has passed, or choose another model."


def shown(value: object) -> str:
    """How a refused value is quoted in a message: as JSON if it is short, else what it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        is_short = len(value) <= MAX_SHOWN_ITEMS and not any(isinstance(item, list | tuple) for item in value)
        return f"[{', '.join(map(shown, value))}]" if is_short else f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, str) and len(value) > MAX_SHOWN_CHARS:
        value = value[:MAX_SHOWN_CHARS] + "…"
    # A half character (an unpaired surrogate) could not be encoded in the answer.
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
