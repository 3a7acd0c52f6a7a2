"""What an owner sends from the page of a picture: publish, withdraw, share, appeal. Each answers with that page."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.errors import Conflict, InvalidInput
from accounts.models import User
from gallery import publishing, sharing
from gallery.models import Image
from gallery.publication import WITH_REVIEW, publication_of
from gallery.review import owners
from gallery.tiles import name_of, tile_of

LINK_DAYS = (1, 7, 30, 365)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Who sees a picture, with which words, whether with its prompt: the form, and what it sends. Raises NotFound."""
    if request.method != "POST":
        image = Image.objects.owned_by(request.user).select_related("blob", *WITH_REVIEW).get_public(public_id)
        context = {"image": image, "publication": publication_of(image), "tile": tile_of(image), "name": name_of(image)}
        return render(request, "gallery/publish.html", context)

    def ask(owner: User) -> str:
        image = publishing.choose_visibility(
            owner=owner,
            public_id=public_id,
            visibility=request.POST.get("visibility", ""),
            alt_text=request.POST.get("alt_text"),
            # The form sends "0" with the box, so that an empty box is told from a form without one.
            discloses_prompt="1" in boxes if (boxes := request.POST.getlist("discloses_prompt")) else None,
        )
        if image.visibility == Image.Visibility.PRIVATE:
            return "Only you can see it now."
        if image.review_status == Image.ReviewStatus.APPROVED:
            return "Published." if image.visibility == "public" else "Whoever has its address can see it now."
        return "Sent to a reviewer. Until it is approved only you can see it."

    return _answer(request, public_id, ask)


@login_required
@require_POST
def share(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Make a share link that ends after `days`, or never. Raises NotFound."""

    def make(owner: User) -> str:
        days = request.POST.get("days", "")
        ends = {str(days): timezone.now() + timedelta(days=days) for days in LINK_DAYS} | {"": None}
        if days not in ends:
            raise InvalidInput.of("days", "A link ends after 1, 7, 30 or 365 days, or never.")
        sharing.create_link(owner=owner, public_id=public_id, expires_at=ends[days])
        return "The link is made. Whoever has it can see the picture."

    return _answer(request, public_id, make)


@login_required
@require_POST
def revoke(request: HttpRequest, public_id: UUID, link_id: UUID) -> HttpResponse:
    """End a share link. Raises NotFound."""

    def end(owner: User) -> str:
        sharing.revoke_link(owner=owner, public_id=public_id, link_id=link_id)
        return "The link does not open any more."

    return _answer(request, public_id, end)


@login_required
@require_POST
def withdraw(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Let nobody else see it any more. Raises NotFound."""

    def take_back(owner: User) -> str:
        owners.withdraw(owner=owner, public_id=public_id)
        return "Only you can see it now. Its address does not answer any more."

    return _answer(request, public_id, take_back)


@login_required
@require_POST
def appeal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Answer a refusal, once. Raises NotFound."""

    def answer_back(owner: User) -> str:
        owners.appeal(owner=owner, public_id=public_id, text=request.POST.get("text", ""))
        return "Sent. Another person will look at it."

    return _answer(request, public_id, answer_back)


def _answer(request: HttpRequest, public_id: UUID, verb: Callable[[User], str]) -> HttpResponse:
    try:
        messages.success(request, verb(cast("User", request.user)))
    except (InvalidInput, Conflict) as error:
        messages.error(request, f"{error.message} {error.remedy if isinstance(error, Conflict) else ''}".strip())
    return redirect("generations:image", public_id=public_id)
