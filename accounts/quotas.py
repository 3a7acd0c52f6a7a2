"""What may still be done: pictures a day and a month, jobs at once, requests a minute, bytes kept (TRUST 2).

Pictures are counted in the transaction that holds the money, so they are as exact as it. Days and months are UTC's, and
what failed is given back to those it was taken from. Requests are counted in Redis when there is one. Which limits
apply is in limits.py, the counters are in usage.py; what headers, pages and the API tell comes from LimitState.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from accounts import counters
from accounts.counters import (
    SITE,
    add_storage,
    keep_storage,
    owner_of,
    release_dead_storage,
    release_storage,
    window_of,
)
from accounts.errors import ConcurrencyLimit, QuotaExceeded, RateLimited, ServiceError
from accounts.limits import (
    MEASURES,
    PREFIXES,
    UNLIMITED,
    UNLIMITED_BYTES,
    Bound,
    Limits,
    Standing,
    limits_for,
    override_limits,
    standing_of,
    unlimited,
    write_site_limits,
)
from accounts.models import ApiKey, SiteLimits, StorageHold, User

__all__ = [
    "MEASURES",
    "UNLIMITED",
    "UNLIMITED_BYTES",
    "Limits",
    "Standing",
    "add_storage",
    "keep_storage",
    "limits_for",
    "override_limits",
    "release_dead_storage",
    "release_storage",
    "standing_of",
    "unlimited",
]

IMAGES = ("images_per_day", "images_per_month")
# A picture takes about 20 s; with several of them running, one ends sooner than that.
CONCURRENCY_RETRY_S = 5
UNITS = {
    "images_per_day": "images",
    "images_per_month": "images",
    "concurrent": "concurrent-requests",
    "requests_per_minute": "requests",
    "storage_bytes": "content-bytes",
}
STORAGE_REMEDY = "Ask the operator for more storage; waiting does not free any."
OWNERS = {
    "plan": "This is the limit of the {plan} plan.",
    "own": "This limit was set for your account.",
    "key": "This is the limit of this API key.",
    "site": "This is the limit of the whole site.",
}


@dataclass(frozen=True, kw_only=True)
class LimitState:
    """One limit as it stands; `limit` and `remaining` are None when it is unlimited.

    `resets_at` and `window_s` are None when nothing starts again by itself.
    """

    name: str
    limit: int | None
    used: int
    resets_at: datetime | None
    window_s: int | None = None
    source: str = "plan"

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def measure(self) -> str:
        """The name without whose it is."""
        return self.name.removeprefix(PREFIXES.get(self.source, ""))


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Pictures that were counted: `day` is what giving them back asks for, `states` are their limits after it."""

    day: datetime
    states: tuple[LimitState, ...]


@dataclass(frozen=True, kw_only=True)
class Running:
    """How many generations are unfinished: the user's, those asked for by the key, everybody's."""

    user: int
    key: int = 0
    site: int = 0

    def of(self, bound: Bound) -> int:
        return {"key": self.key, "site": self.site}.get(bound.source, self.user)


# --- Verbs ----------------------------------------------------------------------------------------


def limit_site(*, actor: str = "system", reason: str = "", **limits: int | None) -> None:
    """Limit what everybody together may use; None lifts a limit, and what is not named stays. Raises InvalidInput."""
    write_site_limits(actor=actor, reason=reason, limits=limits)
    recount_site()


def recount_site(*, at: datetime | None = None) -> None:
    """Bring the site's counters in line with the users'; costs nothing much while the site has no limit."""
    row = SiteLimits.objects.values(*IMAGES, "storage_bytes").first() or {}
    counters.recount_site([measure for measure, limit in row.items() if limit is not None], at=at)


def take_images(*, standing: Standing, count: int, at: datetime | None = None) -> Taken:
    """Count `count` pictures of this day and month, all or none of them.

    Needs an open transaction. Until that ends it holds the lock of the user's row of the day, unlimited users' too, and
    where the site limits jobs at once the site's, so that what the caller counts afterwards cannot change under it.
    Raises QuotaExceeded.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("take_images needs an open transaction")
    now = at or timezone.now()
    states = []
    with transaction.atomic():
        # Each owner's day before the month, the user before the key before the site: see usage.py.
        for source in (("plan", "own"), ("key",), ("site",)):
            for bound in (bound for name in IMAGES for bound in standing.of(name) if bound.source in source):
                states.append(_take(standing, bound, count, now))
            if "key" in source:
                _count_at_key(standing, count, now)
        if any(bound.source == "site" for bound in standing.of("concurrent")):
            # Not to count anything: its lock puts everybody's submits in a line.
            counters.add(SITE, "concurrent", counters.EPOCH, 0, None)
    return Taken(day=window_of("images_per_day", now).start, states=tuple(states))


def give_back_images(*, user: User, api_key_id: int | None, count: int, day: datetime) -> None:
    """Return pictures that were counted but not made to the day and the month they were taken from."""
    key = [counters.key_owner(api_key_id)] if api_key_id else []
    for owner in (counters.user_owner(user), *key, SITE):
        for measure in IMAGES:
            counters.take_back(owner, measure, window_of(measure, day).start, count)


def check_concurrent(*, standing: Standing, running: Running) -> tuple[LimitState, ...]:
    """Refuse one more when those that run, counted after take_images, reach a limit. Raises ConcurrencyLimit."""
    states = []
    for bound in standing.of("concurrent"):
        state = _state(bound, running.of(bound))
        if state.remaining == 0:
            message = f"{state.used} generations are unfinished, and {state.limit} at once are allowed."
            raise _refusal(ConcurrencyLimit, message, standing, state, CONCURRENCY_RETRY_S)
        states.append(_state(bound, running.of(bound) + 1))
    return tuple(states)


def admit_request(*, user: User, api_key: ApiKey | None = None, at: datetime | None = None) -> tuple[LimitState, ...]:
    """Count one request of this minute. Raises RateLimited."""
    now = at or timezone.now()
    standing = standing_of(user, api_key=api_key, at=now)
    window = window_of("requests_per_minute", now)
    bounds = [bound for bound in standing.of("requests_per_minute") if bound.limit is not None]
    if not bounds:
        return ()
    states = []
    # The key before its user: what the key refuses costs the user's other programs nothing.
    for bound in sorted(bounds, key=lambda bound: bound.source != "key"):
        used = _count_request(standing, bound, window.start)
        if used is None:
            state = _state(bound, bound.limit or 0, now)
            message = f"{bound.limit} requests that ask for work are allowed in a minute."
            raise _refusal(RateLimited, message, standing, state, _seconds_until(window.end, now))
        states.append(_state(bound, used, now))
    return tuple(states)


def check_storage(*, standing: Standing) -> None:
    """Refuse more work when what is kept reaches a limit already. Raises QuotaExceeded."""
    for bound in standing.of("storage_bytes"):
        if bound.limit is not None:
            used = counters.read(owner_of(standing, bound), [("storage_bytes", counters.EPOCH)])["storage_bytes"]
            if used >= bound.limit:
                raise _storage_refusal(standing, bound, used, "")


def reserve_storage(*, standing: Standing, byte_size: int) -> StorageHold:
    """Count the bytes of a file that is about to be kept, or refuse it. Raises QuotaExceeded.

    Whoever calls it ends the hold by keep_storage or release_storage; of a process that dies the sweeper does.
    """
    with transaction.atomic():
        for bound in standing.of("storage_bytes"):
            owner = owner_of(standing, bound)
            if counters.add(owner, "storage_bytes", counters.EPOCH, byte_size, bound.limit) is None:
                used = counters.read(owner, [("storage_bytes", counters.EPOCH)])["storage_bytes"]
                raise _storage_refusal(standing, bound, used, f", and this file needs {byte_size:,} more")
        return StorageHold.objects.create(user=standing.user, byte_size=byte_size)


# --- Telling --------------------------------------------------------------------------------------


def describe_standing(standing: Standing, *, running: int | Running, at: datetime | None = None) -> list[LimitState]:
    """Every limit that applies as it stands: the user's five, then the key's and the site's that are set."""
    now = at or timezone.now()
    counts = running if isinstance(running, Running) else Running(user=running)
    used: dict[str, int] = {}
    for owner in {owner_of(standing, bound): None for bound in standing.bounds}:
        mine = [bound for bound in standing.bounds if owner_of(standing, bound) == owner]
        windows = {
            bound.measure: window_of(bound.measure, now).start for bound in mine if bound.measure != "concurrent"
        }
        counted = counters.read(owner, windows.items())
        for bound in mine:
            if bound.measure == "concurrent":
                used[bound.name] = counts.of(bound)
            elif bound.measure == "requests_per_minute":
                used[bound.name] = _requests_counted(owner, bound, now, counted[bound.measure])
            else:
                used[bound.name] = counted[bound.measure]
    return [_state(bound, used[bound.name], now) for bound in standing.bounds]


def rate_headers(states: Sequence[LimitState], *, at: datetime | None = None) -> dict[str, str]:
    """RateLimit-Policy of each limit, RateLimit of the one nearest to its end; nothing for unlimited users."""
    limited = [state for state in states if state.limit is not None]
    if not limited:
        return {}
    nearest = min(limited, key=lambda state: (state.remaining or 0) / max(state.limit or 0, 1))
    reset_s = None if nearest.resets_at is None else _seconds_until(nearest.resets_at, at or timezone.now())
    return {
        "RateLimit-Policy": ", ".join(
            _policy_item(state.name, state.measure, state.limit or 0, state.window_s) for state in limited
        ),
        "RateLimit": _state_item(nearest.name, nearest.remaining or 0, reset_s),
    }


def refusal_headers(error: ServiceError) -> dict[str, str]:
    """The same two headers for the refusal of a limit, whose `t` is its Retry-After; nothing for other errors."""
    match error.facts:
        case {"policy": str(name), "source": str(source), "limit": int(limit), "used": int(used), "reset": reset_s}:
            measure, window_s = name.removeprefix(PREFIXES.get(source, "")), error.facts.get("window")
            return {
                "RateLimit-Policy": _policy_item(name, measure, limit, window_s),
                "RateLimit": _state_item(name, max(0, limit - used), reset_s),
            }
    return {}


# --- Parts ----------------------------------------------------------------------------------------


def _take(standing: Standing, bound: Bound, count: int, now: datetime) -> LimitState:
    owner, window = owner_of(standing, bound), window_of(bound.measure, now)
    used = counters.add(owner, bound.measure, window.start, count, bound.limit)
    if used is not None:
        return _state(bound, used, now)
    used = counters.read(owner, [(bound.measure, window.start)])[bound.measure]
    span = "day" if bound.measure == "images_per_day" else "month"
    message = f"{used} of the {bound.limit} pictures of this {span} (UTC) are used, and this asks for {count} more."
    raise _refusal(QuotaExceeded, message, standing, _state(bound, used, now), _seconds_until(window.end, now))


def _count_at_key(standing: Standing, count: int, now: datetime) -> None:
    """Count where the key has no limit as well: one that it gets later finds what was used before and comes back."""
    if standing.api_key is None:
        return
    for name in IMAGES:
        if not any(bound.source == "key" for bound in standing.of(name)):
            counters.add(counters.key_owner(standing.api_key.pk), name, window_of(name, now).start, count, None)


def _count_request(standing: Standing, bound: Bound, start: datetime) -> int | None:
    owner = owner_of(standing, bound)
    counted = counters.count_in_cache(owner, start)
    if counted is not None:
        return counted if counted <= (bound.limit or 0) else None
    with transaction.atomic():  # so that SQLite's write gate stays shut until the row is committed
        return counters.add(owner, "requests_per_minute", start, 1, bound.limit)


def _requests_counted(owner: counters.Owner, bound: Bound, now: datetime, in_database: int) -> int:
    counted = counters.read_in_cache(owner, window_of("requests_per_minute", now).start)
    if counted is None:
        return in_database
    # The cache has counted the refused ones as well.
    return counted if bound.limit is None else min(counted, bound.limit)


def _state(bound: Bound, used: int, now: datetime | None = None) -> LimitState:
    window = window_of(bound.measure, now or timezone.now())
    return LimitState(
        name=bound.name,
        limit=bound.limit,
        used=used,
        resets_at=window.end,
        window_s=window.seconds,
        source=bound.source,
    )


def _seconds_until(moment: datetime | None, now: datetime) -> int:
    return 1 if moment is None else max(1, math.ceil((moment - now).total_seconds()))


def _storage_refusal(standing: Standing, bound: Bound, used: int, asks: str) -> ServiceError:
    message = f"{used:,} of {bound.limit:,} bytes of storage are used{asks}."
    return _refusal(QuotaExceeded, message, standing, _state(bound, used), None, remedy=STORAGE_REMEDY)


def _refusal(
    kind: type[ServiceError],
    message: str,
    standing: Standing,
    state: LimitState,
    retry_after: int | None,
    *,
    remedy: str | None = None,
) -> ServiceError:
    return kind(
        f"{message} {OWNERS[state.source].format(plan=standing.plan.name)}",
        remedy=remedy,
        retry_after=retry_after,
        policy=state.name,
        source=state.source,
        limit=state.limit,
        used=state.used,
        reset=retry_after if state.resets_at else None,
        window=state.window_s,
    )


def _policy_item(name: str, measure: str, limit: int, window_s: object) -> str:
    window = f";w={window_s}" if isinstance(window_s, int) else ""
    return f'"{name}";q={limit}{window};qu="{UNITS[measure]}"'


def _state_item(name: str, remaining: int, reset_s: object) -> str:
    reset = f";t={reset_s}" if isinstance(reset_s, int) else ""
    return f'"{name}";r={remaining}{reset}'
