"""Every job of a person, each one by itself, and what can be done with it: cancel and try again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import quotas
from accounts.errors import NotFound, ServiceError
from accounts.guest_sessions import open_to_guests
from accounts.models import Transfer
from generations import cards, services, trial
from generations.models import Generation, Status
from generations.views.access import person, safe_next, signed_in

PAGE = 30
FILTERS = {"": "All", "running": "In progress", "succeeded": "Ready", "failed": "Failed", "canceled": "Cancelled"}


@open_to_guests
@never_cache
@signed_in
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """All jobs, newest first; `status` filters, `before` goes on from a job."""
    status = request.GET.get("status", "")
    if status not in FILTERS:
        raise Http404
    runs = cards.runs_of(person(request))
    if status == "running":
        runs = runs.filter(status__in=(Status.QUEUED, Status.RUNNING))
    elif status:
        runs = runs.filter(status=status)
    if before := request.GET.get("before", ""):
        runs = runs.filter(pk__lt=Generation.objects.filter(user=person(request), public_id=_id(before)).values("pk"))
    rows = list(runs[: PAGE + 1])
    made = cards.make_cards(rows[:PAGE])
    older = {"status": status} if status else {}
    context = {
        "cards": made,
        "filters": FILTERS.items(),
        "status": status,
        "before": before,
        "older": urlencode({**older, "before": rows[PAGE - 1].public_id}) if len(rows) > PAGE else "",
    }
    return render(request, "generations/history.html", context)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


@open_to_guests
@never_cache
@signed_in
@require_safe
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One job: its card, its parameters, and every movement of money for it."""
    card = _card(request, public_id, whole=True)
    user = person(request)
    moves = Transfer.objects.filter(reference=str(card.id)).filter(Q(debit__owner=user) | Q(credit__owner=user))
    context = {"card": card, "moves": moves.order_by("created_at"), "facts": card.spec.parameters()}
    return render(request, "generations/detail.html", context)


@open_to_guests
@never_cache
@signed_in
@require_safe
def card(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The card alone, as it is now."""
    return render(request, "generations/_run.html", {"card": _card(request, public_id)})


@open_to_guests
@signed_in
@require_POST
def cancel(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Cancel a job, or ask the one that is being painted to stop."""
    return _act(request, public_id, services.cancel)


@open_to_guests
@signed_in
@require_POST
def retry(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Queue a failed or cancelled job again, at today's price."""

    def admitted_retry(**wanted: Any) -> Generation:
        quotas.admit_request(user=person(request))
        return services.retry(**wanted)

    return _act(request, public_id, admitted_retry)


def _act(request: HttpRequest, public_id: UUID, verb: Callable[..., Generation]) -> HttpResponse:
    refused: ServiceError | None = None
    try:
        verb(user=person(request), public_id=public_id)
    except NotFound:
        raise Http404 from None
    except ServiceError as error:
        refused = error
    if not request.headers.get("HX-Request"):
        if refused:
            messages.error(request, f"{refused.message} {refused.remedy}")
        return redirect(safe_next(request, reverse("generations:detail", args=[public_id])))
    whole = "whole" in request.POST
    context = {
        "card": _card(request, public_id, whole=whole),
        "refused": refused,
        **trial.wallet_of(person(request)),
        "is_swap": True,
    }
    return render(request, "generations/_acted.html", context, status=refused.status if refused else 200)


def _card(request: HttpRequest, public_id: UUID, *, whole: bool = False) -> cards.Card:
    generation = cards.runs_of(person(request)).filter(public_id=public_id).first()
    if generation is None:
        raise Http404
    return replace(cards.make_cards([generation])[0], whole=whole)
