"""How much a user may ask for: pictures a day, generations at once, requests a minute (TRUST 2).

Pictures a day are counted in the transaction that holds the money, so they are as exact as it. A day is a UTC day, and
what failed is given back to the day it was taken from. Requests are counted in Redis when there is one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.errors import ConcurrencyLimit, InvalidInput, QuotaExceeded, RateLimited, ServiceError
from accounts.models import Quota, Usage, User

UNLIMITED = 2**31 - 1  # the largest number that the columns hold; in a Quota row it lifts the plan's limit
DAY_S = 24 * 60 * 60
MINUTE_S = 60
# A picture takes about 20 s; with several of them running, one ends sooner than that.
CONCURRENCY_RETRY_S = 5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one user may do; None is unlimited."""

    images_per_day: int | None
    concurrent: int | None
    requests_per_minute: int | None


@dataclass(frozen=True)
class _Policy:
    """What RateLimit-Policy says of a limit; `window_s` is None where nothing starts again by itself."""

    unit: str
    window_s: int | None


# Keyed by the name that the columns, the API, setquota and the headers all use.
_POLICIES = {
    "images_per_day": _Policy("images", DAY_S),
    "concurrent": _Policy("concurrent-requests", None),
    "requests_per_minute": _Policy("requests", MINUTE_S),
}


@dataclass(frozen=True, kw_only=True)
class LimitState:
    """One limit as it stands; `limit` and `remaining` are None when it is unlimited."""

    name: str
    limit: int | None
    used: int
    resets_at: datetime | None

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


def limits_for(user: User) -> Limits:
    """The user's own limits over the plan's, read afresh."""
    row = User.objects.values(
        *(f"{source}__{name}" for source in ("quota", "plan") for name in _POLICIES),
    ).get(pk=user.pk)
    return Limits(**{name: _effective(row[f"quota__{name}"], row[f"plan__{name}"]) for name in _POLICIES})


def override_limits(*, user: User, **limits: int | None) -> Limits:
    """Give the user limits of their own: a number, UNLIMITED, or None for the plan's. Raises InvalidInput."""
    for name, limit in limits.items():
        if limit is not None and not 0 <= limit <= UNLIMITED:
            raise InvalidInput.of(name, f"A limit is a whole number from 0 to {UNLIMITED}.")
    Quota.objects.update_or_create(user=user, defaults={**limits, "updated_at": timezone.now()})
    return limits_for(user)


def take_images(*, user: User, count: int, at: datetime | None = None) -> datetime:
    """Count `count` pictures of this day and return the start of the day, which giving them back asks for.

    Needs an open transaction. Until that ends it holds the lock of the user's row of the day, unlimited users' too, so
    that what the caller counts afterwards cannot change under it. Raises QuotaExceeded.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("take_images needs an open transaction")
    now = at or timezone.now()
    limit = limits_for(user).images_per_day
    start = _window_start(now, DAY_S)
    if _add_usage(user, "images_per_day", start, count, limit) is None:
        used, resets_at = _read_usage(user, "images_per_day", start), start + timedelta(seconds=DAY_S)
        state = LimitState(name="images_per_day", limit=limit, used=used, resets_at=resets_at)
        message = f"{used} of the {limit} pictures of this day (UTC) are used, and this asks for {count} more."
        raise _refusal(QuotaExceeded, message, state, _seconds_until(resets_at, now))
    return start


def give_back_images(*, user: User, count: int, window_start: datetime) -> None:
    """Return pictures that were counted but not made to the day they were taken from."""
    usage = Usage.objects.filter(user=user, name="images_per_day", window_start=window_start)
    usage.update(used=Greatest(F("used") - count, 0))


def check_concurrent(*, user: User, running: int) -> None:
    """Refuse one more when `running`, counted after take_images, reaches the limit. Raises ConcurrencyLimit."""
    limit = limits_for(user).concurrent
    if limit is not None and running >= limit:
        state = LimitState(name="concurrent", limit=limit, used=running, resets_at=None)
        message = f"{running} generations are unfinished, and {limit} at once are allowed."
        raise _refusal(ConcurrencyLimit, message, state, CONCURRENCY_RETRY_S)


def admit_request(*, user: User, at: datetime | None = None) -> LimitState:
    """Count one request of this minute. Raises RateLimited."""
    now = at or timezone.now()
    limit = limits_for(user).requests_per_minute
    start = _window_start(now, MINUTE_S)
    resets_at = start + timedelta(seconds=MINUTE_S)
    used = 0 if limit is None else _count_request(user, start, limit)
    if used is None:
        state = LimitState(name="requests_per_minute", limit=limit, used=limit or 0, resets_at=resets_at)
        message = f"{limit} requests that ask for work are allowed in a minute."
        raise _refusal(RateLimited, message, state, _seconds_until(resets_at, now))
    return LimitState(name="requests_per_minute", limit=limit, used=used, resets_at=resets_at)


def describe_limits(*, user: User, running: int, at: datetime | None = None) -> list[LimitState]:
    """Every limit of the user as it stands; `running` is the number of unfinished generations."""
    now = at or timezone.now()
    limits = limits_for(user)
    day, minute = _window_start(now, DAY_S), _window_start(now, MINUTE_S)
    counted = _read_usages(user, {"images_per_day": day, "requests_per_minute": minute})
    return [
        LimitState(
            name="images_per_day",
            limit=limits.images_per_day,
            used=counted["images_per_day"],
            resets_at=day + timedelta(seconds=DAY_S),
        ),
        LimitState(name="concurrent", limit=limits.concurrent, used=running, resets_at=None),
        LimitState(
            name="requests_per_minute",
            limit=limits.requests_per_minute,
            used=_requests_counted(user, minute, limits.requests_per_minute, counted["requests_per_minute"]),
            resets_at=minute + timedelta(seconds=MINUTE_S),
        ),
    ]


def prune_usage(*, before: datetime) -> int:
    """Delete the counts of windows that began before this moment; returns how many."""
    return Usage.objects.filter(window_start__lt=before).delete()[0]


def rate_headers(states: Sequence[LimitState], *, at: datetime | None = None) -> dict[str, str]:
    """RateLimit-Policy of each limit, RateLimit of the one nearest to its end; nothing for unlimited users."""
    limited = [state for state in states if state.limit is not None]
    if not limited:
        return {}
    nearest = min(limited, key=lambda state: (state.remaining or 0) / max(state.limit or 0, 1))
    reset_s = None if nearest.resets_at is None else _seconds_until(nearest.resets_at, at or timezone.now())
    return {
        "RateLimit-Policy": ", ".join(_policy_item(state.name, state.limit or 0) for state in limited),
        "RateLimit": _state_item(nearest.name, nearest.remaining or 0, reset_s),
    }


def refusal_headers(error: ServiceError) -> dict[str, str]:
    """The same two headers for the refusal of a limit, whose `t` is its Retry-After; nothing for other errors."""
    match error.facts:
        case {"policy": str(name), "limit": int(limit), "used": int(used), "reset": int() | None as reset_s}:
            return {
                "RateLimit-Policy": _policy_item(name, limit),
                "RateLimit": _state_item(name, max(0, limit - used), reset_s),
            }
    return {}


def _effective(own: int | None, plan: int | None) -> int | None:
    limit = plan if own is None else own
    return None if limit is None or limit >= UNLIMITED else limit


def _add_usage(user: User, name: str, start: datetime, count: int, limit: int | None) -> int | None:
    """Count `count` more in a window and return the sum, or None when that would pass the limit.

    One statement on both engines: the condition is checked under the row's lock, and the lock is kept whether or not
    it holds.
    """
    limit = UNLIMITED if limit is None else limit
    if count > limit:  # the insert of the window's first row has no condition
        return None
    table = connection.ops.quote_name(Usage._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (user_id, name, window_start, used) VALUES (%s, %s, %s, %s) "  # noqa: S608 - no input
            f"ON CONFLICT (user_id, name, window_start) DO UPDATE SET used = {table}.used + excluded.used "
            f"WHERE {table}.used <= %s RETURNING used",
            [user.pk, name, connection.ops.adapt_datetimefield_value(start), count, limit - count],
        )
        rows = cursor.fetchall()
    return rows[0][0] if rows else None


def _read_usage(user: User, name: str, start: datetime) -> int:
    usage = Usage.objects.filter(user=user, name=name, window_start=start)
    return usage.values_list("used", flat=True).first() or 0


def _count_request(user: User, start: datetime, limit: int) -> int | None:
    if settings.REDIS_URL:
        try:
            key = _cache_key(user, start)
            cache.add(key, 0, timeout=2 * MINUTE_S)
            used = cache.incr(key)
            return used if used <= limit else None
        except (RedisError, ValueError):  # Redis is away, or has dropped the count: the database counts instead
            pass
    with transaction.atomic():  # so that SQLite's write gate stays shut until the row is committed
        return _add_usage(user, "requests_per_minute", start, 1, limit)


def _read_usages(user: User, windows: Mapping[str, datetime]) -> dict[str, int]:
    """What the database has counted in each of these windows, by name."""
    rows = Usage.objects.filter(user=user, window_start__in=windows.values(), name__in=windows)
    found = {(name, start): used for name, start, used in rows.values_list("name", "window_start", "used")}
    return {name: found.get((name, start), 0) for name, start in windows.items()}


def _requests_counted(user: User, start: datetime, limit: int | None, in_database: int) -> int:
    if settings.REDIS_URL:
        try:
            # The cache has counted the refused ones as well.
            return min(cache.get(_cache_key(user, start), 0), UNLIMITED if limit is None else limit)
        except RedisError:
            pass
    return in_database


def _cache_key(user: User, start: datetime) -> str:
    return f"requests:{user.pk}:{int(start.timestamp())}"


def _window_start(at: datetime, window_s: int) -> datetime:
    moment = int(at.timestamp())
    return datetime.fromtimestamp(moment - moment % window_s, tz=UTC)


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(1, math.ceil((moment - now).total_seconds()))


def _refusal(kind: type[ServiceError], message: str, state: LimitState, retry_after: int) -> ServiceError:
    return kind(
        message,
        retry_after=retry_after,
        policy=state.name,
        limit=state.limit,
        used=state.used,
        reset=retry_after if state.resets_at else None,
    )


def _policy_item(name: str, limit: int) -> str:
    policy = _POLICIES[name]
    window = "" if policy.window_s is None else f";w={policy.window_s}"
    return f'"{name}";q={limit}{window};qu="{policy.unit}"'


def _state_item(name: str, remaining: int, reset_s: int | None) -> str:
    reset = "" if reset_s is None else f";t={reset_s}"
    return f'"{name}";r={remaining}{reset}'
