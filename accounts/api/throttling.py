"""The budget of requests: counted before the body is read, told in every answer that was counted."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import quotas
from accounts.api.authentication import caller

if TYPE_CHECKING:  # APIView itself imports this module, as the default of its throttle classes
    from rest_framework.views import APIView


class RequestsPerMinute(BaseThrottle):
    """Counts requests that ask for work, refused ones too; reading is free.

    A client that polls one picture of 20 s every 0.7 s would else use up a whole minute of 30 for that one job.
    """

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if request.method not in SAFE_METHODS and request.user.is_authenticated:
            allowance = quotas.admit_request(user=caller(request))
            request._request.request_allowance = allowance  # type: ignore[attr-defined]
        return True


@sync_and_async_middleware
def tell_allowance(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: RateLimit headers on answers to requests that were counted, unless a refusal has set its own."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return _with_headers(request, await get_response(request))

        return middleware
    return lambda request: _with_headers(request, get_response(request))


def _with_headers(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    allowance: quotas.LimitState | None = getattr(request, "request_allowance", None)
    if allowance is not None:
        for name, value in quotas.rate_headers([allowance]).items():
            response.headers.setdefault(name, value)
    return response
