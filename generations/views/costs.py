"""Calls whose cost nobody knows, for operators who hold the upstream's bill beside them."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.errors import Forbidden, InvalidInput
from accounts.staff import may_enter
from accounts.templatetags.plantain import usd
from generations import reconciliation
from generations.views.access import person, signed_in

ROWS = 100
VERDICTS = {"billed": True, "not_billed": False}


def for_operators(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page for operators, with the second step that their pages ask for in production."""

    @signed_in
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may_enter(person(request)):
            raise Forbidden("This page is for operators.", remedy="Ask the operator.")
        return view(request, *args, **kwargs)

    return guarded


@for_operators
@never_cache
@require_safe
def costs(request: HttpRequest) -> HttpResponse:
    """The oldest ones first; a verdict takes one off the list."""
    calls, total = reconciliation.uncertain_total()
    context = {"attempts": list(reconciliation.uncertain_attempts()[:ROWS]), "calls": calls, "total": total}
    return render(request, "generations/costs.html", context)


@for_operators
@require_POST
def resolve_cost(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Write down what the bill says about one call; the ledger moves its cost out of suspense."""
    verdict = request.POST.get("verdict", "")
    if verdict not in VERDICTS:
        raise InvalidInput.of("verdict", "A call was billed or not billed.")
    transfer = reconciliation.resolve_cost(
        reconciliation.get_attempt(public_id),
        was_billed=VERDICTS[verdict],
        actor=str(person(request).public_id),
        reason="compared with the upstream's bill",
    )
    said = "was billed; it is an expense now" if VERDICTS[verdict] else "was not billed; it costs nothing"
    messages.info(request, f"A call of {usd(transfer.amount_micros)} {said}.")
    return redirect("generations:costs")
