"""Whether the wish in the composer was made before: told before money is spent, and never in the way."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.errors import ServiceError
from generations import services
from generations.forms import Composer
from generations.models import Status
from generations.views.access import person, signed_in


@signed_in
@never_cache
@require_POST
def reuse_offer(request: HttpRequest) -> HttpResponse:
    """A line about the earlier run of the same wish; nothing when there is none or the wish is not finished yet.

    A POST because a prompt is too long for an address; it changes nothing.
    """
    composer = Composer.read(request.POST)
    try:
        found = services.find_reusable(user=person(request), spec=composer.spec(), ignore_case=True)
    except ServiceError:
        found = None
    context = {"found": found, "is_running": found is not None and found.status != Status.SUCCEEDED}
    return render(request, "generations/_reuse_offer.html", context)
