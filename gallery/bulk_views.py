"""What is done to several chosen pictures, by a form that works without scripts."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST

from accounts.errors import Conflict, InvalidInput, NotFound
from gallery import archive, bulk, collections, erasure
from gallery.models import Collection, Image
from gallery.pages import person
from gallery.tiles import tile_of

DONE = {
    "favourite": "Marked as favourites",
    "unfavourite": "Taken off the favourites",
    "collect": "Added to the collection",
    "uncollect": "Taken out of the collection",
    "trash": "Moved to trash",
    "restore": "Restored",
    "purge": "Deleted for good",
}
SHOWN_FIRST = 12  # of those that are to be deleted for good; the others are counted


@login_required
@require_POST
def act(request: HttpRequest) -> HttpResponseBase:
    """Do what the pressed button says to the ticked pictures, and go back to where they were ticked."""
    user, action, public_ids = person(request), request.POST.get("action", ""), _ids(request)
    if action == "download":
        return _download(bulk.downloadable(owner=user, public_ids=public_ids))
    if action == "collect" and not {"collection", "name"} & request.POST.keys():
        return _choose(request, public_ids)
    if action == "purge" and "sure" not in request.POST:
        return _ask_whether_sure(request, public_ids)
    collection_id = None
    if action in bulk.IN_COLLECTION:
        collection_id = _collection_id(request, "collection" if action == "collect" else "from")
    results = bulk.act(owner=user, action=action, public_ids=public_ids, collection_id=collection_id)
    done = [result.public_id for result in results if result.error is None]
    context = {
        "what": DONE[action],
        "count": len(done),
        "missed": sum(isinstance(result.error, NotFound) for result in results),
        "kept": sum(isinstance(result.error, Conflict) for result in results),
        "undo": "restore" if action == "trash" else "",
        "ids": done,
        "next": _next(request),
    }
    # Safe because the template has escaped what it was given.
    messages.info(request, mark_safe(render_to_string("gallery/_acted.html", context, request).strip()))  # noqa: S308
    # The page of the trash that one came from may begin at a picture that is gone now.
    return redirect("gallery:trash" if action == "purge" else _next(request))


def _ask_whether_sure(request: HttpRequest, public_ids: list[UUID]) -> HttpResponse:
    chosen = bulk.own_images(owner=person(request), public_ids=public_ids)
    images = [image for image in chosen.values() if image.is_purgeable]
    if not images:
        raise NotFound(erasure.NOT_IN_TRASH)
    context = {
        "ids": [image.public_id for image in images],
        "tiles": [tile_of(image) for image in images[:SHOWN_FIRST]],
        "others": len(images[SHOWN_FIRST:]),
        "staying": len(set(public_ids)) - len(images),
    }
    return render(request, "gallery/purge_chosen.html", context)


def _download(images: dict[UUID, Image]) -> HttpResponseBase:
    if not images:
        raise NotFound
    return archive.respond(images.values())


def _choose(request: HttpRequest, public_ids: list[UUID]) -> HttpResponse:
    images = bulk.own_images(owner=person(request), public_ids=public_ids)
    context = {
        "ids": list(images),
        "collections": Collection.objects.filter(owner=person(request)),
        "next": _next(request),
    }
    return render(request, "gallery/collect.html", context)


def _collection_id(request: HttpRequest, field: str) -> UUID:
    """The chosen collection, or the new one that was named."""
    if field == "collection" and (name := request.POST.get("name", "").strip()):
        return collections.create(owner=person(request), name=name).public_id
    try:
        return UUID(request.POST.get(field, ""))
    except ValueError:
        raise InvalidInput.of("collection", "Choose a collection, or name a new one.") from None


def _ids(request: HttpRequest) -> list[UUID]:
    try:
        return [UUID(text) for text in request.POST.getlist("ids")]
    except ValueError:
        raise InvalidInput.of("ids", "One of these is no picture's id.") from None


def _next(request: HttpRequest) -> str:
    address = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(address, allowed_hosts=None) and address.startswith("/")
    return address if is_ours else "/library/"
