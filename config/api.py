"""The REST ground: JSON bodies in, pages and problem+json out (CONTRACT 5). The one renderer of errors for /api/."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.core import signing
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as rest
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from accounts import quotas
from accounts.api.authentication import CHALLENGE
from accounts.errors import (
    FieldError,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    RateLimited,
    ServiceError,
    ServiceUnavailable,
)

log = structlog.get_logger(__name__)

API_PREFIX = "/api/"
PROGRAMS = re.compile(r"/(?:api|v1|v1beta|v1alpha|_allauth)(?:/|$)")
DATABASE_RETRY_S = 2


class MethodNotAllowed(ServiceError):
    code = "method_not_allowed"
    status = 405
    title = "This address has no such method"
    message = "This address has no such method."
    remedy = "Use one of the methods that the Allow header names."


class NotAcceptable(ServiceError):
    code = "not_acceptable"
    status = 406
    title = "No such form of answer"
    message = "The answer cannot be given in a form that the Accept header names."
    remedy = "Accept application/json."


class PayloadTooLarge(ServiceError):
    code = "payload_too_large"
    status = 413
    title = "The request is too large"
    message = "The body of the request is too large."
    remedy = "Send a smaller body."


class UnsupportedMediaType(ServiceError):
    code = "unsupported_media_type"
    status = 415
    title = "The body is not of a known type"
    message = "The body is not of a type that this address reads."
    remedy = "Send JSON, with Content-Type: application/json."


class JsonObjectParser(JSONParser):
    """A JSON object and nothing else; orjson refuses NaN, bad UTF-8 and half characters, which no database takes.

    The size is bounded by DATA_UPLOAD_MAX_MEMORY_SIZE, which Django checks before the first byte is read.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        try:
            body = orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"The body is not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise InvalidInput("The body must be a JSON object.")
        return body


class ByKey:
    """The order of rows by one key that is unique among them; of a list with another one, see gallery.order."""

    def __init__(self, rows: QuerySet[Any], ordering: str) -> None:
        self._rows, self._key, self._is_descending = rows, ordering.removeprefix("-"), ordering.startswith("-")

    def following(self, position: Any, limit: int) -> list[Any]:
        """Those that come after a row of the list, all without one, the nearest first."""
        return self._beyond(position, limit, is_descending=self._is_descending)

    def preceding(self, position: Any, limit: int) -> list[Any]:
        """Those that come before a row of the list, the nearest first."""
        return self._beyond(position, limit, is_descending=not self._is_descending)

    def position_of(self, row: Any) -> Any:
        return getattr(row, self._key)

    def _beyond(self, position: Any, limit: int, *, is_descending: bool) -> list[Any]:
        rows = self._rows.order_by(f"-{self._key}" if is_descending else self._key)
        if position is not None:
            rows = rows.filter(**{f"{self._key}__{'lt' if is_descending else 'gt'}": position})
        return list(rows[:limit])


class NewestFirst(CursorPagination):
    """Pages by cursor: `limit` 1 to 100, `{results, next, previous}`; a view's `ordering` may name another key.

    The key must be unique in the list; instead of rows a view may bring an order of its own. A cursor is signed with
    the name of its list, so that neither a made-up one nor one of another list is mistaken for a place in this one.
    """

    ordering = "-id"
    page_size = 30
    page_size_query_param = "limit"
    max_page_size = 100

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        self._salt = f"cursor:{type(view).__module__}.{type(view).__qualname__}"
        self.base_url = request.build_absolute_uri()
        limit, cursor = self.get_page_size(request), self.decode_cursor(request)
        is_rows = isinstance(queryset, QuerySet)
        order = ByKey(queryset, getattr(view, "ordering", self.ordering)) if is_rows else queryset
        if cursor and cursor.reverse:
            rows = order.preceding(cursor.position, limit + 1)
            page = rows[:limit][::-1]
            self.has_next, self.has_previous = True, len(rows) > limit
        else:
            rows = order.following(cursor.position if cursor else None, limit + 1)
            page = rows[:limit]
            self.has_next, self.has_previous = len(rows) > limit, cursor is not None
        # Of a page that has become empty: the place where it would be.
        ends = [order.position_of(row) for row in page] or [cursor.position if cursor else None]
        self._first, self._last = str(ends[0]), str(ends[-1])
        return page

    def get_next_link(self) -> str | None:
        return self.encode_cursor(Cursor(offset=0, reverse=False, position=self._last)) if self.has_next else None  # type: ignore[arg-type]

    def get_previous_link(self) -> str | None:
        return self.encode_cursor(Cursor(offset=0, reverse=True, position=self._first)) if self.has_previous else None  # type: ignore[arg-type]

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= self.max_page_size):
            raise InvalidInput.of("limit", f"limit is a whole number from 1 to {self.max_page_size}.")
        return int(text)

    def decode_cursor(self, request: Request) -> Cursor | None:
        encoded = request.query_params.get(self.cursor_query_param)
        if encoded is None:
            return None
        try:
            reverse, position = signing.loads(encoded, salt=self._salt)
        except signing.BadSignature:
            message = "This is not a cursor of this list; take it from next or previous, or leave it out."
            raise InvalidInput.of("cursor", message) from None
        return Cursor(offset=0, reverse=reverse, position=position)

    def encode_cursor(self, cursor: Cursor) -> str:
        encoded = signing.dumps([cursor.reverse, cursor.position], salt=self._salt)
        return replace_query_param(self.base_url or "", self.cursor_query_param, encoded)


def without_trailing_slashes(endpoints: list[tuple[str, str, str, Any]], **kwargs: Any) -> list[tuple[Any, ...]]:
    """A preprocessing hook of drf-spectacular: the document names each address once, without the optional slash."""
    return [(path.rstrip("/"), *rest_of_it) for path, *rest_of_it in endpoints]


def problem_response(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """REST framework's exception handler. What is not known here goes on to Django, its log and `server_error`."""
    error = as_service_error(exc)
    if error is None:
        return None
    if isinstance(exc, OperationalError | InterfaceError):
        log.error("database_unavailable", exc_info=exc)
    return render_problem(error, context["request"])


def render_problem(error: ServiceError, request: HttpRequest | Request) -> JsonResponse:
    """The application/problem+json answer (RFC 9457) to a request that was refused or failed."""
    body = {
        "type": f"{settings.SITE_URL}/docs/errors/{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        "remedy": error.remedy,
        "errors": [{"field": field.field, "message": field.message} for field in error.errors],
        "request_id": getattr(request, "request_id", ""),
    }
    facts = {name: fact for name, fact in error.facts.items() if name not in body}
    headers = quotas.refusal_headers(error)
    if error.status == NotAuthenticated.status:
        headers["WWW-Authenticate"] = CHALLENGE
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JsonResponse(body | facts, status=error.status, content_type="application/problem+json", headers=headers)


@csrf_exempt
def api_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The last route below /api/: DEBUG's own page would answer a program in HTML."""
    return render_problem(NotFound("There is nothing at this address."), request)


def server_error(request: HttpRequest) -> HttpResponse:
    """What a program is told of a fault of ours, which names nothing but the request's id."""
    return render_problem(ServiceError(), request)


def is_for_programs(path: str) -> bool:
    """Whether programs ask here: they are answered in JSON, and never sent elsewhere."""
    return PROGRAMS.match(path) is not None


def as_service_error(exc: Exception) -> ServiceError | None:
    """The error of ours that an exception of Django or REST framework stands for; None for what nobody foresaw."""
    match exc:
        case ServiceError():
            return exc
        case rest.ValidationError():
            errors = tuple(_field_errors(exc.detail))
            return InvalidInput(" ".join(error.message for error in errors), errors=errors)
        case rest.ParseError():
            return InvalidInput(str(exc.detail))
        case rest.NotAuthenticated():
            return NotAuthenticated()
        case rest.AuthenticationFailed():
            return NotAuthenticated(str(exc.detail))
        case rest.PermissionDenied():
            return Forbidden(str(exc.detail))
        case PermissionDenied():
            return Forbidden()
        case rest.NotFound() | Http404():
            return NotFound()
        case rest.MethodNotAllowed():
            return MethodNotAllowed()
        case rest.NotAcceptable():
            return NotAcceptable()
        case rest.UnsupportedMediaType():
            return UnsupportedMediaType()
        case rest.Throttled():
            return RateLimited(retry_after=None if exc.wait is None else max(1, round(exc.wait)))  # type: ignore[attr-defined]
        case RequestDataTooBig():
            return PayloadTooLarge(limit_bytes=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        case SuspiciousOperation() | BadRequest():
            return InvalidInput()
        case OperationalError() | InterfaceError():
            return ServiceUnavailable(retry_after=DATABASE_RETRY_S)
    return None


def _field_errors(detail: Any, path: str = "") -> Iterator[FieldError]:
    """REST framework's nested refusals, each with its dotted path: {"items": {0: ["bad"]}} is items.0."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            # What it says of the object as a whole has no field of its own.
            here = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            yield from _field_errors(inner, here)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _field_errors(inner, path if isinstance(inner, str) else f"{path}.{index}".lstrip("."))
    else:
        yield FieldError(path, str(detail))
