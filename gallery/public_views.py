"""What others see, signed in or not: the public gallery, a published picture, a shared one, and their bytes."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.api.authentication import ApiKeyAuthentication
from accounts.errors import NotFound, RateLimited, ServiceError
from gallery import addresses, sharing, signing
from gallery.delivery import PUBLIC, UNKEPT, serve_file, serve_signed
from gallery.forms import PublicFilterForm
from gallery.models import MAX_NOTE_CHARS, Image, Reason
from gallery.public_tiles import public_pictures, shared_picture
from gallery.review import reports

PAGE = 32
LINK_S = 60  # how long the address that makes a copy may be kept: it ends with the copy's


# --- Pages ----------------------------------------------------------------------------------------


@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    """What is published, the newest first; `before` goes on from a picture's place."""
    filters = PublicFilterForm(request.GET).wanted()
    before = filters.pop("before", None)
    shape = filters.get("shape", "")
    named = {name: value for name, value in filters.items() if name != "shape"}
    images = Image.objects.listed_publicly().with_blob().matching(**named).of_shape(shape)
    if before is not None:
        images = images.filter(published_order__lt=before)
    rows = list(images.order_by("-published_order")[: PAGE + 1])
    pictures = public_pictures(rows[:PAGE])
    context = {
        "pictures": pictures,
        "filters": filters,
        "is_first": before is None,
        "older": urlencode(filters | {"before": pictures[-1].order}) if len(rows) > PAGE else "",
    }
    return _fresh(render(request, "gallery/public.html", context))


@require_safe
def public_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One published picture, unlisted ones too. Raises NotFound."""
    image = Image.objects.public().with_blob().get_public(public_id)
    (picture,) = public_pictures([image])
    context = _picture_context(request, image, picture) | {
        "reasons": Reason.objects.current(),
        "max_note_chars": MAX_NOTE_CHARS,
        "is_unlisted": image.visibility == Image.Visibility.UNLISTED,
    }
    return _fresh(render(request, "gallery/public_image.html", context))


@require_POST
def report(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Say what is wrong with a published picture, signed in or not. Raises NotFound."""
    try:
        reports.report(
            viewer=request.user,
            address=str(request.META.get("REMOTE_ADDR", "")),
            public_id=public_id,
            reason=request.POST.get("reason", ""),
            note=request.POST.get("note", ""),
        )
    except NotFound:
        raise
    except ServiceError as error:
        messages.error(request, error.message if isinstance(error, RateLimited) else f"{error.message} {error.remedy}")
    else:
        messages.success(request, "Thank you. When several people report a picture, a reviewer looks at it again.")
    if not Image.objects.public().filter(public_id=public_id).exists():  # this report has taken it away
        return redirect("gallery:public")
    return redirect("gallery:public_image", public_id=public_id)


@never_cache
@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """The picture of a share link; counts one view. Raises NotFound."""
    link = sharing.open_link(token)
    if request.method == "GET":
        sharing.count_view(link)
    picture = shared_picture(link.image, lambda name: reverse("gallery:shared_file", args=[token, name]))
    context = _picture_context(request, link.image, picture) | {"link": link}
    response = render(request, "gallery/public_image.html", context)
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def _picture_context(request: HttpRequest, image: Image, picture: Any) -> dict[str, Any]:
    return {
        "picture": picture,
        "is_own": request.user.is_authenticated and image.owner_id == request.user.pk,
        "shape": image.aspect_ratio if image.honours_aspect_ratio else "",
    }


def _fresh(response: HttpResponse) -> HttpResponse:
    """A page that lists what may be withdrawn, and says who is signed in: it is asked for anew each time."""
    patch_cache_control(response, private=True, max_age=0, must_revalidate=True)
    return response


# --- Bytes ----------------------------------------------------------------------------------------


@require_safe
def public_file(request: HttpRequest, publication_key: str, file_name: str) -> HttpResponseBase:
    """The bytes at a public address, for every cache on the way. Raises NotFound and PictureUnavailable."""
    return serve_file(request, addresses.find_public(publication_key, file_name), cache_control=PUBLIC)


@require_safe
def public_copy(request: HttpRequest, publication_key: str, name: str) -> HttpResponse:
    """To the address of a copy, which is made if it is not there yet."""
    response = HttpResponse(status=302, headers={"Location": addresses.make_public(publication_key, name)})
    patch_cache_control(response, public=True, max_age=LINK_S)
    return response


@require_safe
def shared_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The bytes of a share link's picture: no cache keeps them, so that they end with the link."""
    link = sharing.open_link(token)
    return serve_file(request, addresses.find_copy(link.image, name), cache_control=UNKEPT)


@require_safe
def signed_file(request: HttpRequest, name: str) -> HttpResponseBase:
    """The private bytes at a signed address, for whom it was signed alone. Raises NotFound and PictureUnavailable."""
    grant = signing.verify(name, request.GET.dict(), audience=_audience(request))
    if grant is None:
        raise NotFound
    return serve_signed(request, grant)


def _audience(request: HttpRequest) -> str:
    """As gallery.api.views names it: whoever asks, by key or by session."""
    try:
        by_key = ApiKeyAuthentication().authenticate(Request(request))
    except (ServiceError, AuthenticationFailed):
        return ""
    user = by_key[0] if by_key else request.user
    return str(user.pk or "")
