"""What surrounds every request: its id, its line in the log, and an answer that programs can read when it breaks."""

import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from config import error_pages
from config.api import API_PREFIX, server_error
from config.health import PROBES

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # anything else is not repeated into logs and answers


class OnBothSides(ABC):
    """Middleware for both sides: `_answer` for WSGI, and `_answer_later`, the same with await, for ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self._answer_later(request) if self._is_async else self._answer(request)

    @abstractmethod
    def _answer(self, request: HttpRequest) -> HttpResponseBase: ...

    @abstractmethod
    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase: ...


class RequestIdMiddleware(OnBothSides):
    """Gives each request an id, the caller's if it is sane, and the log one line for it; the outermost of all."""

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        started = _begin(request)
        return _end(request, self.get_response(request), started)  # type: ignore[arg-type]

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        started = _begin(request)
        return _end(request, await self.get_response(request), started)  # type: ignore[misc]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Below /api/ an error of ours is problem+json with DEBUG too, whose own page is HTML full of our variables."""
        if not request.path.startswith(API_PREFIX):
            return None
        log.error("request_failed", exc_info=exception)
        got_request_exception.send(sender=type(self), request=request)
        return server_error(request)


@sync_and_async_middleware
def refuse_unknown_hosts(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware, before whoever reads Host: a name that is not ours is told so, in the form that the caller reads."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            return error_pages.refused_host(request) or await get_response(request)

        return middleware
    return lambda request: error_pages.refused_host(request) or get_response(request)


class PageErrorsMiddleware(OnBothSides):
    """Lets views raise: their errors become pages or problem+json here, with DEBUG too; the innermost of all."""

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)  # type: ignore[assignment]
        return (
            error_pages.replacement(request, response) if error_pages.needs_replacing(request, response) else response
        )

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)  # type: ignore[misc]
        if error_pages.needs_replacing(request, response):
            return await sync_to_async(error_pages.replacement)(request, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return error_pages.answer_to(request, exception)


def _begin(request: HttpRequest) -> float:
    given = request.headers.get("X-Request-ID", "")
    request.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
    # Cleared first: threads of the WSGI side serve one request after the other.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
    return time.perf_counter()


def _end(request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
    response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
    write = log.debug if request.path in PROBES or request.path.startswith(settings.STATIC_URL) else log.info
    write(
        "request",
        method=request.method,
        path=request.path,  # never the query: people put keys and prompts there
        status=response.status_code,
        ms=round((time.perf_counter() - started) * 1000, 1),
        user=_user_id(request),
    )
    return response


def _user_id(request: HttpRequest) -> str | None:
    """Who asked, if the request had to find out; the log costs no query of its own."""
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        user = getattr(request, "_cached_user", None)
    return str(user.public_id) if user is not None and user.is_authenticated else None
