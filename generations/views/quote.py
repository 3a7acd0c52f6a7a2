"""What the wish in the composer would cost, told while it is written: before money is spent, and never in the way."""

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.errors import InvalidInput, ServiceError
from accounts.guest_sessions import open_to_guests
from generations import quotes
from generations.forms import Composer
from generations.models import Status
from generations.quotes import Quote
from generations.views.access import person, signed_in

ANY_PROMPT = "anything"  # the price depends on no word of it


@open_to_guests
@signed_in
@never_cache
@require_POST
def quote(request: HttpRequest) -> HttpResponse:
    """Price, what it leaves, why it would be refused, and the earlier run of the same wish.

    Nothing of a wish that cannot be priced yet. A POST because a prompt is too long for an address; it changes nothing.
    """
    found = _quote(request, Composer.read(request.POST))
    reusable = found.reusable if found else None
    context = {
        "quote": found,
        "found": reusable,
        "is_running": reusable is not None and reusable.status != Status.SUCCEEDED,
    }
    return render(request, "generations/_quote.html", context)


def _quote(request: HttpRequest, composer: Composer) -> Quote | None:
    user = person(request)
    try:
        return quotes.quote(user=user, spec=composer.spec(), ignore_case=True)
    except InvalidInput:
        pass  # most often it has no words yet
    except ServiceError:
        return None
    try:
        return quotes.quote(user=user, spec=replace(composer, prompt=ANY_PROMPT).spec(), look_for_earlier=False)
    except ServiceError:
        return None
