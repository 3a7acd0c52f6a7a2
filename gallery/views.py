"""Pages of one's own pictures: the library, the trash, and what can be done with a picture from either."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.errors import InvalidInput, NotFound
from accounts.models import User
from gallery import services
from gallery.forms import FilterForm, WordsForm
from gallery.models import MAX_ALT_TEXT_CHARS, MAX_TITLE_CHARS, Image, ImageQuerySet
from gallery.tiles import alt_of, group_by_day, library_address, name_of, tile_of

PAGE = 32
# The boxes of the pictures that follow are laid out already, so that a row which is not full yet does not move later.
AHEAD = 12


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list: its rows, the row before them (for its day), and those after them."""

    rows: Sequence[Image]
    before: Image | None
    after: Sequence[Image]
    has_newer: bool


@never_cache
@login_required
@require_safe
def library(request: HttpRequest) -> HttpResponse:
    """The pictures that are kept, or with `kind=upload` those that were brought along, newest first.

    `before` and `after` go on from a picture, `at` shows the page around one; htmx gets the tiles alone.
    """
    filters = FilterForm(request.GET).wanted()
    kind = filters.pop("kind", "")
    shape = filters.get("shape", "")
    named = {name: value for name, value in filters.items() if name != "shape"}
    images = _own(request).uploads() if kind else _own(request).listed()
    page = _page(request, images.with_blob().matching(**named).of_shape(shape))
    tiles, ahead = [tile_of(image) for image in page.rows], [tile_of(image) for image in page.after]
    days = group_by_day(
        tiles,
        day_before=page.before.created_at.date() if page.before and _is_part(request) else None,
        day_after=ahead[0].day if ahead else None,
    )
    context = {
        "days": days,
        "ahead": [tile for tile in ahead if tile.day == tiles[-1].day],
        "filters": filters,
        "kind": kind,
        "query": urlencode({"kind": kind} | filters if kind else filters),
        "older": tiles[-1].id if ahead else None,
        "newer": tiles[0].id if tiles and page.has_newer else None,
        "is_part": _is_part(request),
    }
    template = "gallery/_tiles.html" if _is_part(request) else "gallery/library.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _page(request: HttpRequest, images: ImageQuerySet) -> Page:
    """The page that the address asks for; always by id and never by counting, so that each costs the same."""
    older, newer = images.order_by("-pk"), images.order_by("pk")
    place = _place(request, "before") or _place(request, "after") or _place(request, "at")
    start: Image | None = None  # the row above the page
    if place and "before" in request.GET:
        start = place
    elif place:
        # So many newer ones, and one more to start behind; fewer means that the first page has it.
        count = PAGE if "after" in request.GET else PAGE // 2
        above = list(newer.filter(pk__gt=place.pk)[: count + 1])
        start = above[count] if len(above) > count else None
    rows = list((older.filter(pk__lt=start.pk) if start else older)[: PAGE + AHEAD])
    return Page(rows=rows[:PAGE], before=start, after=rows[PAGE:], has_newer=start is not None)


def _place(request: HttpRequest, name: str) -> Image | None:
    """The picture that a parameter of the address names, even if it is in the trash now."""
    text = request.GET.get(name, "")
    if not text:
        return None
    try:
        return _own(request).get_public(UUID(text))
    except (ValueError, NotFound):
        raise Http404 from None


def _own(request: HttpRequest) -> ImageQuerySet:
    return Image.objects.owned_by(_person(request))


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)


def _is_part(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


@never_cache
@login_required
@require_safe
def trash(request: HttpRequest) -> HttpResponse:
    """The pictures in the trash, the latest first; `before` goes on from one of them."""
    images = _own(request).trashed().with_blob()
    place = _place(request, "before")
    if place and place.trashed_at is None:  # restored meanwhile: its place is not known any more
        return redirect("gallery:trash")
    if place:
        images = images.filter(trashed_at__lte=place.trashed_at).exclude(trashed_at=place.trashed_at, pk__gte=place.pk)
    rows = list(images[: PAGE + 1])
    context = {
        "images": [(image, tile_of(image)) for image in rows[:PAGE]],
        "older": rows[PAGE - 1].public_id if len(rows) > PAGE else None,
        "is_first": place is None,
    }
    return render(request, "gallery/trash.html", context)


@login_required
@require_POST
def trash_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Move a picture to the trash, and say how to bring it back."""
    image = services.trash_image(owner=_person(request), public_id=public_id)
    if _is_part(request):
        return HttpResponse(status=204)
    _tell(request, "gallery/_trashed.html", image)
    return redirect(library_address(image))


@login_required
@require_POST
def restore_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Bring a picture back; from the trash one stays there, as there may be more."""
    image = services.restore_image(owner=_person(request), public_id=public_id)
    if _is_part(request):
        return HttpResponse(status=204)
    _tell(request, "gallery/_restored.html", image)
    if request.POST.get("from") == "trash":
        return redirect("gallery:trash")
    return redirect("generations:image", public_id=image.public_id)


def _tell(request: HttpRequest, template: str, image: Image) -> None:
    # Safe because the template has escaped what it was given.
    text = render_to_string(template, {"image": image, "name": name_of(image, 40)}, request)
    messages.info(request, mark_safe(text.strip()))  # noqa: S308


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The form of a picture's title and alternative text: a page of its own, or its part of the picture's page."""
    form = WordsForm(request.POST if request.method == "POST" else None)
    image = _own(request).with_blob().get_public(public_id)
    if request.method == "POST" and form.is_valid():
        try:
            image = services.edit_image(owner=_person(request), public_id=public_id, **form.cleaned_data)
        except InvalidInput as error:
            for problem in error.errors:
                form.add_error(problem.field, problem.message)
        else:
            if _is_part(request):
                return render(request, "gallery/_words.html", {"image": image, "is_saved": True})
            return redirect("generations:image", public_id=image.public_id)
    return _edit_page(request, image, form)


def _edit_page(request: HttpRequest, image: Image, form: WordsForm) -> HttpResponse:
    context: dict[str, Any] = {
        "image": image,
        "form": form,
        "name": name_of(image),
        "alt": alt_of(image),
        "tile": tile_of(image),
        "title": form.data.get("title", image.title),
        "alt_text": form.data.get("alt_text", image.alt_text),
        "max_title_chars": MAX_TITLE_CHARS,
        "max_alt_text_chars": MAX_ALT_TEXT_CHARS,
    }
    # htmx swaps in no answer that is an error.
    if _is_part(request):
        return render(request, "gallery/_edit_form.html", context)
    return render(request, "gallery/edit.html", context, status=400 if form.errors else 200)
