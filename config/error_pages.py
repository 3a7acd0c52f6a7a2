"""What a person sees instead of a page: what happened, what to do, and everything that was typed.

Programs below /api/ get problem+json for the same errors (config/api.py).
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirectBase
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.shortcuts import render, resolve_url
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse
from django.utils.http import escape_leading_slashes
from django.views.decorators.csrf import csrf_exempt
from django_htmx.http import HttpResponseClientRedirect

from accounts.errors import Forbidden, InvalidInput, NotAuthenticated, NotFound, RateLimited, ServiceError
from config.api import MethodNotAllowed, as_service_error, is_for_programs, render_problem
from config.context import site

log = structlog.get_logger(__name__)

UNSENT = "unsent_form"  # in the session of somebody who has to sign in first
MAX_UNSENT_CHARS = 100_000
# Never shown again and never kept: they are typed anew.
SECRET_FIELD = re.compile(r"pass|secret|token|otp|code|credential|signature|api_?key", re.IGNORECASE)
CSRF_FIELD = "csrfmiddlewaretoken"
LONG_VALUE_CHARS = 40

NOTHING_HERE = NotFound("There is no page at this address.", remedy="Check the address, or go on from here.")
NOT_FOR_YOU = Forbidden("This page is not open to your account.", remedy="Ask whoever runs this server.")
NOT_A_PAGE = MethodNotAllowed(
    "This address is not a page: it only takes what a form sends. Nothing was changed.",
    remedy="Go back to where you came from and use the buttons there.",
)
WRONG_NAME = InvalidInput(
    "This server does not answer to the name in the address.",
    remedy="Use the address that you were given. Whoever runs the server can add a name to ALLOWED_HOSTS.",
)
UNREADABLE = InvalidInput(
    "What your browser sent could not be read. Nothing was changed.", remedy="Go back and try again."
)
EXPIRED = Forbidden(
    "This form was open for too long, or you signed in or out in another tab meanwhile. Nothing was changed.",
    remedy="What you typed is below: look it over and send it again.",
)
FOREIGN = Forbidden(
    "This form was sent from another site, so it was not accepted. Nothing was changed.",
    remedy="Open the page here and use its own form.",
)
TOO_FAST = RateLimited(
    "That was tried too often in a short time. Nothing was changed.",
    remedy="Wait a minute, then go on.",
    retry_after=60,
)
# What the errors say by default is meant for programs; a person is told the same in other words.
FOR_PEOPLE: dict[type[ServiceError], ServiceError] = {
    NotFound: NOTHING_HERE,
    Forbidden: NOT_FOR_YOU,
    MethodNotAllowed: NOT_A_PAGE,
    InvalidInput: UNREADABLE,
}


# --- Django's handlers (config/urls.py) -----------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler400."""
    if isinstance(exception, DisallowedHost):
        return render_error(request, WRONG_NAME)
    return render_error(request, as_service_error(exception or Exception()) or InvalidInput())


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler403."""
    return render_error(request, Forbidden())


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler404."""
    return render_error(request, NotFound())


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """handler429, of the limits at the door; those of the API have their own answer."""
    return render_error(request, TOO_FAST)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500."""
    return render_error(request, ServiceError())


@csrf_exempt
def no_such_page(request: HttpRequest) -> HttpResponseBase:
    """The last route: a page whose slash was forgotten, or nothing. Programs are never sent elsewhere."""
    path = request.path_info
    if request.method in ("GET", "HEAD") and not path.endswith("/") and not is_for_programs(path) and _is_page(path):
        query = request.META.get("QUERY_STRING", "")
        return HttpResponsePermanentRedirect(escape_leading_slashes(f"{request.path}/{'?' if query else ''}{query}"))
    return render_error(request, NotFound())


def _is_page(path: str) -> bool:
    try:
        return resolve(f"{path}/").func is not no_such_page
    except Resolver404:
        return False


# --- Called by config.middleware.PageErrorsMiddleware ---------------------------------------------


def refused_host(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that names another host; DEBUG's own page would show our settings instead."""
    try:
        request.get_host()
    except DisallowedHost as error:
        return bad_request(request, error)
    return None


def answer_to(request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
    """The answer to what a view has raised; None for a fault of ours, which is Django's to log and to report."""
    error = as_service_error(exception)
    if error is None or error.status == ServiceError.status:
        return None
    if error.status > ServiceError.status:
        log.error("page_failed", exc_info=exception)
    if isinstance(error, NotAuthenticated) and not is_for_programs(request.path):
        return to_sign_in(request)
    return render_error(request, error)


def needs_replacing(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether `replacement` has something better; cheap, as it is asked of every answer."""
    if is_for_programs(request.path):
        return False
    if isinstance(response, HttpResponseNotAllowed):
        return not response.content
    return isinstance(response, HttpResponseRedirectBase) and _sends_to_sign_in(request, response)


def replacement(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A page for a bare 405; and for a form of somebody who was signed out meanwhile, one that it waits on."""
    if isinstance(response, HttpResponseNotAllowed):
        page = render_error(request, MethodNotAllowed())
        page["Allow"] = response["Allow"]
        return page
    return to_sign_in(request)


def to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """To the sign-in page and back again; what was typed into a form waits in the session, at /unsent/."""
    target = request.get_full_path()
    if request.headers.get("HX-Request") == "true":
        current = urlsplit(request.headers.get("HX-Current-URL", ""))
        target = current.path + (f"?{current.query}" if current.query else "") or target
    if request.method == "POST":
        fields = kept_fields(request)
        if fields and sum(len(value) for _, value in fields) <= MAX_UNSENT_CHARS:
            request.session[UNSENT] = {"action": request.get_full_path(), "fields": fields}
            messages.info(request, "You were signed out meanwhile. Sign in, and what you typed is there again.")
            target = reverse("unsent")
    answer = redirect_to_login(target)
    # An htmx request would follow the redirect and put the sign-in page into a corner of this one.
    return HttpResponseClientRedirect(answer.url) if request.headers.get("HX-Request") == "true" else answer


def _sends_to_sign_in(request: HttpRequest, response: HttpResponseRedirectBase) -> bool:
    """Whether login_required has refused this request, and a plain redirect would lose something."""
    if request.method != "POST" and request.headers.get("HX-Request") != "true":
        return False
    target = urlsplit(response.url)
    asked = parse_qs(target.query).get("next", [""])[0]
    return target.path == resolve_url(settings.LOGIN_URL) and urlsplit(asked).path == request.path


# --- The form that could not be taken --------------------------------------------------------------


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: keeps what was typed and offers to send it again, unless another site has sent it.

    Were another site's form offered here too, one careless click would send it with a valid token.
    """
    if is_for_programs(request.path) or request.headers.get("HX-Request") == "true":
        return render_error(request, EXPIRED)
    if _comes_from_elsewhere(request):
        return render_error(request, FOREIGN)
    return render_unsent(
        request,
        action=request.get_full_path(),
        fields=kept_fields(request),
        secrets=[name for name in request.POST if SECRET_FIELD.search(name) and name != CSRF_FIELD],
        error=EXPIRED,
        needs_cookies=reason == REASON_NO_CSRF_COOKIE,
    )


def render_unsent(
    request: HttpRequest,
    *,
    action: str,
    fields: Iterable[tuple[str, str]],
    secrets: Iterable[str] = (),
    error: ServiceError | None = None,
    needs_cookies: bool = False,
) -> HttpResponse:
    """A form with these fields, to be sent to `action` once more; `secrets` are asked for anew."""
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "label": _label(name),
            "value": value,
            "is_long": len(value) > LONG_VALUE_CHARS or "\n" in value,
            "is_typed": len(value) > LONG_VALUE_CHARS or any(map(str.isspace, value)),
        }
        for name, value in fields
    ]
    typed = [row for row in rows if row["is_typed"]] or rows
    context = {
        "action": action,
        "typed": typed,
        "others": [row for row in rows if row not in typed],
        "secrets": [{"name": name, "label": _label(name)} for name in secrets],
        "error": error,
        "needs_cookies": needs_cookies,
    }
    response = render(request, "errors/unsent.html", context, status=error.status if error else 200)
    response["Cache-Control"] = "private, no-store"
    return response


def kept_fields(request: HttpRequest) -> list[tuple[str, str]]:
    """What was typed or chosen, in its order, without secrets."""
    return [
        (name, value)
        for name, values in request.POST.lists()
        if not SECRET_FIELD.search(name)
        for value in values
        if value
    ]


def _label(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _comes_from_elsewhere(request: HttpRequest) -> bool:
    """Whether the browser says that another site sent this; every browser of today tells at least one of the two."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin != f"{request.scheme}://{request.get_host()}"


# --- Rendering --------------------------------------------------------------------------------------


def render_error(request: HttpRequest, error: ServiceError) -> HttpResponse:
    """The error as problem+json, as a line of text for htmx, or as a page with its status."""
    if is_for_programs(request.path):
        return render_problem(error, request)
    told = FOR_PEOPLE.get(type(error), error) if error.message == type(error).message else error
    if request.headers.get("HX-Request") == "true":
        response = HttpResponse(f"{told.message} {told.remedy}", status=error.status, content_type="text/plain")
    elif error.status >= ServiceError.status or told is WRONG_NAME:
        response = HttpResponse(_static_page(request, told), status=error.status)
    else:
        response = render(request, "errors/page.html", {"error": told}, status=error.status)
    response["Cache-Control"] = "private, no-store"
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def _static_page(request: HttpRequest, error: ServiceError) -> str:
    """A page that asks no database, no session and no manifest of static files: one of them may be what broke."""
    context = {"error": error, "request_id": getattr(request, "request_id", ""), "static_url": settings.STATIC_URL}
    return render_to_string("errors/static.html", site(request) | context)
