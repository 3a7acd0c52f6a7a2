"""Small facts about upstreams that all workers share through the cache: Redis when REDIS_URL is set, else memory.

While the store does not answer, each process keeps its own facts, so that no picture waits for a cache.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

T = TypeVar("T")

PREFIX = "upstream:"
AWAY_S = 5.0  # how long a store that failed is left alone: each try could cost a timeout

# A cache of its own: the default one forgets a third of its entries when there are more than 300.
_own: BaseCache = LocMemCache("upstream-facts", {"OPTIONS": {"MAX_ENTRIES": 20_000}})
_away_until = 0.0


def get_many(names: Sequence[str]) -> dict[str, Any]:
    """The values of those that are there."""
    found = _do(lambda store: store.get_many([PREFIX + name for name in names]))
    return {name.removeprefix(PREFIX): value for name, value in found.items()}


def add(name: str, value: object, *, kept_s: float) -> bool:
    """Write it unless it is there already; of many at once exactly one is told True."""
    return _do(lambda store: store.add(PREFIX + name, value, kept_s))


def put(name: str, value: object, *, kept_s: float) -> None:
    _do(lambda store: store.set(PREFIX + name, value, kept_s))


def count(name: str, *, kept_s: float) -> None:
    """One more, atomically; the count is forgotten `kept_s` seconds after its beginning."""

    def increase(store: BaseCache) -> None:
        store.add(PREFIX + name, 0, kept_s)
        try:
            store.incr(PREFIX + name)
        except ValueError:  # it ended between the two
            store.add(PREFIX + name, 1, kept_s)

    _do(increase)


def remove(name: str) -> bool:
    """Whether it was there: of many at once exactly one is told True."""
    return _do(lambda store: store.delete(PREFIX + name))


def _do(work: Callable[[BaseCache], T]) -> T:
    global _away_until
    if settings.REDIS_URL and time.monotonic() >= _away_until:
        try:
            return work(cache)
        except (RedisError, OSError) as error:
            _away_until = time.monotonic() + AWAY_S
            log.warning("shared_state_away", error=type(error).__name__)
    return work(_own)
