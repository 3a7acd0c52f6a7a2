"""Pages of one's own pictures: the library, the trash, and what can be done with a picture from either."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.errors import InvalidInput
from accounts.guest_sessions import open_to_guests
from gallery import collections, erasure, search, services
from gallery.forms import FilterForm, WordsForm, filtered, span_of
from gallery.models import MAX_ALT_TEXT_CHARS, MAX_TITLE_CHARS, RATIOS, Collection, Image
from gallery.order import PLACE_IN_COLLECTION, ByPlace
from gallery.pages import is_part, own_images, person, place_in, shelf
from gallery.tiles import alt_of, library_address, name_of, tile_of

TRASH_PAGE = 24  # each has two forms, and a page is 50 KiB at most
OFFERED_COLLECTIONS = 40  # as a filter; each has a page of its own


@open_to_guests
@never_cache
@login_required
@require_safe
def library(request: HttpRequest) -> HttpResponse:
    """The pictures that are kept, or with `kind=upload` those that were brought along, newest first.

    `before` and `after` go on from a picture, `at` shows the page around one, `on` begins at a day; htmx gets the tiles
    alone.
    """
    user = person(request)
    filters = FilterForm(request.GET).wanted()
    kind = filters.pop("kind", "")
    day = filters.pop("on", None)
    images = own_images(request).uploads() if kind else own_images(request).listed()
    collection = None
    if "collection" in filters:
        collection = collections.find(owner=user, public_id=filters["collection"])
    after, before = span_of(filters)
    order = ByPlace(
        images=filtered(images.with_blob(), filters, collection=collection),
        owner_id=user.pk,
        query=filters.get("q", ""),
        place=PLACE_IN_COLLECTION if collection else "pk",
        after=after,
        before=before,
    )
    context = {
        **shelf(request, order, day=day),
        "filters": filters,
        "kind": kind,
        "query": urlencode({"kind": kind} | filters if kind else filters),
        "has_words": bool(search.terms_of(order.query)),
        "ratios": RATIOS,
        "collection": collection,
    }
    if not is_part(request):
        context["collections"] = Collection.objects.filter(owner=user)[:OFFERED_COLLECTIONS]
    template = "gallery/_tiles.html" if is_part(request) else "gallery/library.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@open_to_guests
@never_cache
@login_required
@require_safe
def trash(request: HttpRequest) -> HttpResponse:
    """The pictures in the trash, the latest first; `before` goes on from one of them."""
    images = own_images(request).trashed().with_blob()
    place = place_in(request, "before")
    if place and place.trashed_at is None:  # restored meanwhile: its place is not known any more
        return redirect("gallery:trash")
    if place:
        images = images.trashed_before(place)
    rows = list(images[: TRASH_PAGE + 1])
    context = {
        "images": [(image, tile_of(image)) for image in rows[:TRASH_PAGE]],
        "older": rows[TRASH_PAGE - 1].public_id if len(rows) > TRASH_PAGE else None,
        "is_first": place is None,
        "days": settings.TRASH_DAYS,
    }
    return render(request, "gallery/trash.html", context)


@open_to_guests
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def purge_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask whether a picture of the trash shall go for good, and delete it when that is confirmed."""
    if request.method == "POST":
        erasure.purge_trashed(owner=person(request), public_id=public_id)
        messages.info(request, "The picture is deleted for good.")
        return redirect("gallery:trash")
    image = own_images(request).purgeable().with_blob().get_public(public_id)
    return render(request, "gallery/purge.html", {"image": image, "tile": tile_of(image)})


@open_to_guests
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def empty_trash(request: HttpRequest) -> HttpResponse:
    """Ask whether everything in the trash shall go for good, and delete it when that is confirmed."""
    if request.method == "POST":
        count = erasure.empty_trash(owner=person(request))
        messages.info(request, f"{count} picture{'' if count == 1 else 's'} deleted for good.")
        return redirect("gallery:trash")
    return render(request, "gallery/purge.html", {"has_any": own_images(request).purgeable().exists()})


@open_to_guests
@login_required
@require_POST
def trash_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Move a picture to the trash, and say how to bring it back."""
    image = services.trash_image(owner=person(request), public_id=public_id)
    if is_part(request):
        return HttpResponse(status=204)
    _tell(request, "gallery/_trashed.html", image)
    return redirect(library_address(image))


@open_to_guests
@login_required
@require_POST
def restore_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Bring a picture back; from the trash one stays there, as there may be more."""
    image = services.restore_image(owner=person(request), public_id=public_id)
    if is_part(request):
        return HttpResponse(status=204)
    _tell(request, "gallery/_restored.html", image)
    if request.POST.get("from") == "trash":
        return redirect("gallery:trash")
    return redirect("generations:image", public_id=image.public_id)


def _tell(request: HttpRequest, template: str, image: Image) -> None:
    # Safe because the template has escaped what it was given.
    text = render_to_string(template, {"image": image, "name": name_of(image, 40)}, request)
    messages.info(request, mark_safe(text.strip()))  # noqa: S308


@open_to_guests
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_image(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The form of a picture's title and alternative text: a page of its own, or its part of the picture's page."""
    form = WordsForm(request.POST if request.method == "POST" else None)
    image = own_images(request).with_blob().get_public(public_id)
    if request.method == "POST" and form.is_valid():
        try:
            image = services.edit_image(owner=person(request), public_id=public_id, **form.cleaned_data)
        except InvalidInput as error:
            for problem in error.errors:
                form.add_error(problem.field, problem.message)
        else:
            if is_part(request):
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
    if is_part(request):
        return render(request, "gallery/_edit_form.html", context)
    return render(request, "gallery/edit.html", context, status=400 if form.errors else 200)
