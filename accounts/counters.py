"""The counters behind the limits: one row for each owner, limit and window, changed by one statement each.

Whoever changes several takes them in this order, so that PostgreSQL finds no deadlock: the user's before the key's
before the site's, and the day's before the month's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Greatest
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.limits import UNLIMITED_BYTES, Bound, Standing
from accounts.models import GuestUsage, KeyUsage, SiteUsage, StorageHold, Usage, User

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STORAGE_HOLD_KEPT = timedelta(hours=1)  # an upload takes seconds


@dataclass(frozen=True)
class Window:
    """A span of time in UTC; without an end it holds everything that was ever counted."""

    start: datetime
    end: datetime | None

    @property
    def seconds(self) -> int | None:
        return None if self.end is None else int((self.end - self.start).total_seconds())


@dataclass(frozen=True)
class Owner:
    """Whose counters: a user's, an API key's, the site's or a network's."""

    model: type[Usage | KeyUsage | SiteUsage | GuestUsage]
    column: str = ""
    pk: int | str = 0

    @property
    def columns(self) -> dict[str, int | str]:
        return {self.column: self.pk} if self.column else {}


SITE = Owner(SiteUsage)


def user_owner(user: User) -> Owner:
    return Owner(Usage, "user_id", user.pk)


def key_owner(key_id: int) -> Owner:
    return Owner(KeyUsage, "api_key_id", key_id)


def owner_of(standing: Standing, bound: Bound) -> Owner:
    """Whose counters a limit is compared with."""
    if bound.source == "site":
        return SITE
    if bound.source == "key" and standing.api_key is not None:
        return key_owner(standing.api_key.pk)
    return user_owner(standing.user)


def window_of(measure: str, at: datetime) -> Window:
    """The window of this limit that holds the moment; UTC has no summer time, so every day has 86,400 seconds."""
    at = at.astimezone(UTC)
    match measure:
        case "images_per_day":
            start = at.replace(hour=0, minute=0, second=0, microsecond=0)
            return Window(start, start + timedelta(days=1))
        case "images_per_month":
            start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            return Window(start, (start + timedelta(days=32)).replace(day=1))
        case "requests_per_minute":
            start = at.replace(second=0, microsecond=0)
            return Window(start, start + timedelta(minutes=1))
    return Window(EPOCH, None)


def add(owner: Owner, measure: str, start: datetime, count: int, limit: int | None) -> int | None:
    """Count `count` more in a window and return the sum, or None when that would pass the limit.

    One statement on both engines: the condition is checked under the row's lock, and the lock is kept whether or not
    it holds.
    """
    limit = UNLIMITED_BYTES if limit is None else limit
    if count > limit:  # the insert of the window's first row has no condition
        return None
    table = connection.ops.quote_name(owner.model._meta.db_table)
    key = ", ".join((*owner.columns, "name", "window_start"))
    places = ", ".join(["%s"] * (len(owner.columns) + 3))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({key}, used) VALUES ({places}) "  # noqa: S608 - names of ours, no input
            f"ON CONFLICT ({key}) DO UPDATE SET used = {table}.used + excluded.used "
            f"WHERE {table}.used <= %s RETURNING used",
            [*owner.columns.values(), measure, _as_column(start), count, limit - count],
        )
        rows = cursor.fetchall()
    return rows[0][0] if rows else None


def take_back(owner: Owner, measure: str, start: datetime, count: int) -> None:
    """Count `count` less in a window, if it is counted at all."""
    rows = owner.model.objects.filter(name=measure, window_start=start, **owner.columns)
    rows.update(used=Greatest(F("used") - count, 0))


def read(owner: Owner, windows: Iterable[tuple[str, datetime]]) -> dict[str, int]:
    """What is counted in each of these windows, by the name of its limit, by one query."""
    wanted = dict(windows)
    if not wanted:
        return {}
    table = connection.ops.quote_name(owner.model._meta.db_table)
    of_owner = "".join(f"{column} = %s AND " for column in owner.columns)
    each = " OR ".join(["name = %s AND window_start = %s"] * len(wanted))
    params = [value for name, start in wanted.items() for value in (name, _as_column(start))]
    with connection.cursor() as cursor:
        # By hand, as `add` is: a refusal asks it while it has the write lock.
        cursor.execute(
            f"SELECT name, used FROM {table} WHERE {of_owner}({each})",  # noqa: S608 - names of ours, no input
            [*owner.columns.values(), *params],
        )
        found = dict(cursor.fetchall())
    return {name: found.get(name, 0) for name in wanted}


def count_in_cache(owner: Owner, start: datetime) -> int | None:
    """Count a request where Redis counts; None when there is none, or it is away, or has dropped the count."""
    if not settings.REDIS_URL:
        return None
    try:
        key = _cache_key(owner, start)
        cache.add(key, 0, timeout=120)
        return cache.incr(key)
    except (RedisError, ValueError):
        return None


def read_in_cache(owner: Owner, start: datetime) -> int | None:
    """What `count_in_cache` has counted, refused requests as well."""
    if not settings.REDIS_URL:
        return None
    try:
        return cache.get(_cache_key(owner, start), 0)
    except RedisError:
        return None


def prune(*, before: datetime) -> int:
    """Delete the counts of windows that began before this moment, not those without an end; returns how many."""
    return sum(
        model.objects.filter(window_start__lt=before, window_start__gt=EPOCH).delete()[0]
        for model in (Usage, KeyUsage, SiteUsage, GuestUsage)
    )


# --- Storage --------------------------------------------------------------------------------------


def add_storage(user: User, byte_size: int) -> None:
    """Count bytes that a user keeps, whatever the limits say; in the transaction that writes down what they are."""
    add(user_owner(user), "storage_bytes", EPOCH, byte_size, None)
    # The site's row is there only while the site has a limit, so this costs nobody a hot row else.
    SiteUsage.objects.filter(name="storage_bytes", window_start=EPOCH).update(used=F("used") + byte_size)


def free_storage(user: User, byte_size: int) -> None:
    """Count bytes less that a user keeps no longer."""
    take_back(user_owner(user), "storage_bytes", EPOCH, byte_size)
    take_back(SITE, "storage_bytes", EPOCH, byte_size)


def keep_storage(hold: StorageHold) -> None:
    """The held bytes are kept for good; in the transaction that writes down what they are."""
    if not StorageHold.objects.filter(pk=hold.pk).delete()[0]:  # it took so long that the sweeper gave them back
        add_storage(hold.user, hold.byte_size)


def release_storage(hold: StorageHold) -> bool:
    """Give held bytes back, once: of the upload that failed and the sweeper, one deletes the row."""
    with transaction.atomic():
        is_first = bool(StorageHold.objects.filter(pk=hold.pk).delete()[0])
        if is_first:
            free_storage(hold.user, hold.byte_size)
        return is_first


def release_dead_storage(at: datetime) -> int:
    """Give back what uploads held whose process died; returns how many."""
    dead = StorageHold.objects.filter(created_at__lt=at - STORAGE_HOLD_KEPT).select_related("user")[:500]
    return sum(release_storage(hold) for hold in dead)


# --- The site -------------------------------------------------------------------------------------


def recount_site(measures: Iterable[str], *, at: datetime | None = None) -> None:
    """Set the site's counters of these limits to the sum of the users', and forget the others.

    A limit that is set in the middle of a month counts what was used before; a submit that was under way at that
    moment is caught by the sweeper's next call. Everybody counts at the user before the site, so under the lock of the
    site's row the sum misses nobody who has counted there.
    """
    now = at or timezone.now()
    wanted = {measure: window_of(measure, now).start for measure in measures}
    SiteUsage.objects.exclude(name__in=[*wanted, "requests_per_minute", "concurrent"]).delete()
    for measure, start in wanted.items():
        with transaction.atomic():
            add(SITE, measure, start, 0, None)  # makes the row, or locks it
        with transaction.atomic():
            rows = SiteUsage.objects.filter(name=measure, window_start=start)
            rows.update(used=F("used"))
            total = Usage.objects.filter(name=measure, window_start=start).aggregate(sum=Sum("used"))["sum"] or 0
            rows.update(used=total)


def _as_column(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _cache_key(owner: Owner, start: datetime) -> str:
    return f"requests:{owner.model._meta.model_name}:{owner.pk}:{int(start.timestamp())}"
