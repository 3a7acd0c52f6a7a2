"""Pages of collections: all of them, one of them with its pictures, and the forms that change them."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.errors import InvalidInput
from gallery import collections
from gallery.models import MAX_COLLECTION_NAME_CHARS, Collection, CollectionItem, Image
from gallery.order import PLACE_IN_COLLECTION, ByPlace
from gallery.pages import is_part, own_images, person, shelf
from gallery.tiles import tile_of

COLLECTIONS = 60  # on one page


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def collection_list(request: HttpRequest) -> HttpResponse:
    """All collections by name, each with its newest picture; POST makes one. `after` goes on from one of them."""
    problem, user = "", person(request)
    if request.method == "POST":
        try:
            made = collections.create(owner=user, name=request.POST.get("name", ""))
        except InvalidInput as error:
            problem = error.message
        else:
            return redirect("gallery:collection", public_id=made.public_id)
    mine = Collection.objects.filter(owner=user)
    if after := request.GET.get("after", "")[:MAX_COLLECTION_NAME_CHARS]:
        mine = mine.filter(name__gt=after)
    newest = CollectionItem.objects.filter(collection=OuterRef("pk"), image__trashed_at=None).order_by("-image_id")
    rows = list(mine.annotate(cover_id=Subquery(newest.values("image_id")[:1]))[: COLLECTIONS + 1])
    covers = Image.objects.with_blob().in_bulk([row.cover_id for row in rows[:COLLECTIONS] if row.cover_id])
    context = {
        "collections": [
            (row, tile_of(covers[row.cover_id]) if row.cover_id in covers else None) for row in rows[:COLLECTIONS]
        ],
        "further": rows[COLLECTIONS - 1].name if len(rows) > COLLECTIONS else "",
        "is_first": not after,
        "problem": problem,
        "name": request.POST.get("name", "") if problem else "",
        "max_name_chars": MAX_COLLECTION_NAME_CHARS,
    }
    return render(request, "gallery/collections.html", context, status=400 if problem else 200)


@never_cache
@login_required
@require_safe
def collection_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The pictures of one collection, the newest first, in pages as the library's."""
    return _page(request, collections.find(owner=person(request), public_id=public_id))


@login_required
@require_POST
def rename(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Give it another name."""
    try:
        collections.rename(owner=person(request), public_id=public_id, name=request.POST.get("name", ""))
    except InvalidInput as error:
        collection = collections.find(owner=person(request), public_id=public_id)
        return _page(request, collection, problem=error.message, name=request.POST.get("name", ""))
    return redirect("gallery:collection", public_id=public_id)


@login_required
@require_POST
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Take it away; its pictures stay in the library."""
    collections.delete(owner=person(request), public_id=public_id)
    messages.info(request, "The collection is gone. Its pictures are in the library as before.")
    return redirect("gallery:collections")


def _page(request: HttpRequest, collection: Collection, **form: Any) -> HttpResponse:
    images = own_images(request).kept().with_blob().matching(collection=collection)
    order = ByPlace(images=images, owner_id=person(request).pk, place=PLACE_IN_COLLECTION)
    context = {
        **shelf(request, order, day=None),
        "collection": collection,
        "query": "",
        "name": collection.name,
        "max_name_chars": MAX_COLLECTION_NAME_CHARS,
        **form,
    }
    template = "gallery/_tiles.html" if is_part(request) else "gallery/collection.html"
    response = render(request, template, context, status=400 if form else 200)
    patch_vary_headers(response, ["HX-Request"])
    return response
