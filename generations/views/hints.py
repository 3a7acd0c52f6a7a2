"""What the prompt filter would say of the words in the composer: told while they are typed, before money is held."""

import time

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError

from accounts.errors import RateLimited
from accounts.guest_sessions import open_to_guests
from accounts.models import User
from generations.forms import Composer
from generations.hints import hints_of
from generations.views.access import person, signed_in

PER_MINUTE = 90  # somebody who types without a pause asks for less
MINUTE_S = 60


@open_to_guests
@signed_in
@never_cache
@require_POST
def hints(request: HttpRequest) -> HttpResponse:
    """The phrases that a rule marks, with their category; nothing when there are none. Raises RateLimited.

    A POST because a prompt is too long for an address; it stores nothing, and counts as no request for work.
    """
    _refuse_too_many(person(request))
    return render(request, "generations/_hints.html", {"hints": hints_of(Composer.read(request.POST))})


def _refuse_too_many(user: User) -> None:
    """A bound on work for nothing, not on money: the cache may forget, and each process may have its own."""
    now = int(time.time())
    key = f"hints:{user.pk}:{now // MINUTE_S}"
    try:
        cache.add(key, 0, timeout=2 * MINUTE_S)
        used = cache.incr(key)
    except (ValueError, RedisError):
        return
    if used > PER_MINUTE:
        raise RateLimited(
            f"The filter is asked at most {PER_MINUTE} times a minute.", retry_after=MINUTE_S - now % MINUTE_S
        )
