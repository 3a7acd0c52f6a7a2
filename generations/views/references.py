"""Pictures that a wish brings along: those that were chosen, the latest ones to choose from, and uploads."""

from collections.abc import Iterable
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import quotas
from accounts.errors import InvalidInput, ServiceError
from accounts.guest_sessions import open_to_guests
from accounts.models import User
from gallery import services as gallery
from gallery.errors import PictureRejected
from gallery.models import Image
from gallery.tiles import Tile, tile_of
from gallery.uploads import sent_files
from generations.views.access import person, signed_in

OFFERED = 24


def tiles_by_id(user: User, names: Iterable[str]) -> dict[str, Tile]:
    """The user's own pictures among these, by the id as it was written; what is no such id is left out."""
    wanted = {name: public_id for name in names if (public_id := _id(name))}
    if not wanted:
        return {}
    images = Image.objects.owned_by(user).with_blob().filter(public_id__in=wanted.values())
    found = {image.public_id: tile_of(image) for image in images}
    return {name: found[public_id] for name, public_id in wanted.items() if public_id in found}


def own_picture(user: User, name: str) -> Image | None:
    """The user's own picture of this id, None if there is none."""
    public_id = _id(name)
    return Image.objects.owned_by(user).filter(public_id=public_id).first() if public_id else None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def keep_uploads(request: HttpRequest) -> list[str]:
    """Keep the files that came with a form and return their ids; raises as gallery's add_upload does."""
    try:
        return [
            str(gallery.add_upload(owner=person(request), file=file, field="references").public_id)
            for file in sent_files(request, "uploads")
        ]
    except (InvalidInput, PictureRejected):
        raise
    except ServiceError as error:  # beside its field, like every other refusal of the composer
        raise InvalidInput.of("references", f"{error.message} {error.remedy}") from error


@open_to_guests
@never_cache
@signed_in
@require_safe
def picker(request: HttpRequest) -> HttpResponse:
    """The latest pictures with a box to tick each: a part of the studio's dialog, or a page that leads back to it."""
    user = person(request)
    chosen = request.GET.getlist("references")
    images = Image.objects.owned_by(user).listed().with_blob().filter(kind="image").order_by("-pk")[:OFFERED]
    context = {"tiles": [tile_of(image) for image in images], "chosen": chosen}
    is_part = request.headers.get("HX-Request") == "true"
    return render(request, "generations/_picker.html" if is_part else "generations/picker.html", context)


@never_cache
@signed_in
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Keep pictures to be looked at; a script gets their tiles, a form is led to the studio with them."""
    wants_part = request.headers.get("HX-Request") == "true"
    try:
        quotas.admit_request(user=person(request))
        kept = keep_uploads(request)
        if not kept:
            raise InvalidInput.of("references", "No picture was sent.")
    except ServiceError as error:
        status = error.status if error.status != 400 else 422
        return render(request, "generations/_upload_refused.html", {"error": error}, status=status)
    if wants_part:
        tiles = tiles_by_id(person(request), kept)
        return render(request, "generations/_brought.html", {"tiles": [tiles[public_id] for public_id in kept]})
    return redirect(f"{reverse('generations:studio')}?references={','.join(kept)}")
