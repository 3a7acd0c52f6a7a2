"""What an owner sends from the page of a picture: publish, withdraw, appeal. Each answers with that page."""

from collections.abc import Callable
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.errors import Conflict, InvalidInput
from accounts.models import User
from gallery.models import Image
from gallery.review import owners


@login_required
@require_POST
def publish(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask that others may see a picture. Raises NotFound."""

    def ask(owner: User) -> str:
        visibility = request.POST.get("visibility", "")
        image = owners.request_publication(owner=owner, public_id=public_id, visibility=visibility)
        if image.review_status == Image.ReviewStatus.APPROVED:
            return "Published." if image.visibility == "public" else "Whoever has its address can see it now."
        return "Sent to a reviewer. Until it is approved only you can see it."

    return _answer(request, public_id, ask)


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
