"""The budget of requests: counted before the body is read, told in every answer that was counted."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import quotas
from accounts.api.authentication import caller, key_of

if TYPE_CHECKING:  # APIView itself imports this module, as the default of its throttle classes
    from rest_framework.views import APIView


class RequestsPerMinute(BaseThrottle):
    """Counts requests that ask for work, refused ones too; reading is free.

    A client that polls one picture of 20 s every 0.7 s would else use up a whole minute of 30 for that one job.
    """

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if request.method not in SAFE_METHODS and request.user.is_authenticated:
            tell(request, quotas.admit_request(user=caller(request), api_key=key_of(request)))
        return True


def tell(request: Request, states: Sequence[quotas.LimitState]) -> None:
    """Let the answer's RateLimit headers tell of these limits as well."""
    known: tuple[quotas.LimitState, ...] = getattr(request._request, "limits_told", ())
    names = {state.name for state in states}
    request._request.limits_told = (  # type: ignore[attr-defined]
        *(state for state in known if state.name not in names),
        *states,
    )


@sync_and_async_middleware
def tell_allowance(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: RateLimit headers of the limits that a request was counted in, unless a refusal has set its own."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponse:
            return _with_headers(request, await get_response(request))

        return middleware
    return lambda request: _with_headers(request, get_response(request))


def _with_headers(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    states: Sequence[quotas.LimitState] = getattr(request, "limits_told", ())
    for name, value in quotas.rate_headers(states).items():
        response.headers.setdefault(name, value)
    return response
