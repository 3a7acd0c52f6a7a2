"""Who may see these pages: people who are signed in; what they typed when their session had ended is kept."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User

View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """A view for people who are signed in; the others are sent to sign in, by htmx too, and come back afterwards."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        reading = request.method in ("GET", "HEAD")
        return send_to_login(request, request.get_full_path() if reading else reverse("generations:studio"))

    return guarded


def send_to_login(request: HttpRequest, next_url: str) -> HttpResponse:
    """To the sign-in page; a request by htmx would follow a redirect into the middle of its page."""
    answer = redirect_to_login(next_url)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=401, headers={"HX-Redirect": answer["Location"]})
    if request.method == "POST":  # see other: the form itself is not to be sent to the sign-in page
        return HttpResponse(status=303, headers={"Location": answer["Location"]})
    return answer


def person(request: HttpRequest) -> User:
    """Who is signed in."""
    return cast("User", request.user)


def safe_next(request: HttpRequest, fallback: str) -> str:
    """The `next` of a form when it is an address of this site, else the fallback."""
    wanted = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and allowed else fallback
