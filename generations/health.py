"""How the upstreams do: calls, outcomes, latency against the promise, honoured wishes; figures for operators.

Each call of `measure` makes the same few queries, over windows of time that one index serves.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from django.core.cache import cache
from django.db.models import Case, Count, F, IntegerField, Min, OuterRef, Q, Subquery, Sum, When
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import User
from generations import catalog, reconciliation
from generations.models import Attempt, Generation, Status
from generations.outcomes import OUTCOMES, UNREADABLE
from generations.providers import breaker
from generations.providers.breaker import State
from generations.providers.current import PROTOCOLS

PROMISE_MS = 20_000  # the articles': a picture in 20 seconds
WINDOWS: Mapping[str, timedelta] = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "30d": timedelta(days=30)}
STEP_MS = 100  # latencies are told apart to this
HOURS = 24  # of the chart
NEW_ACCOUNTS = 5000  # the newest ones, at most
KEPT_S = 10
MONTH_KEPT_S = 300  # the figures of a month hardly change in a minute, and are read from many rows


@dataclass(kw_only=True)
class Figures:
    """Of one upstream and model in one window. Rates are 0..1, None without anything to measure."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)  # of the calls that brought pictures, in STEP_MS
    pictures: int = 0
    shape_honoured: int = 0
    size_honoured: int = 0

    @property
    def calls(self) -> int:
        return self.outcomes.total()

    @property
    def succeeded(self) -> int:
        return sum(count for name, count in self.outcomes.items() if OUTCOMES[name].has_pictures)

    @property
    def unreadable(self) -> int:
        """Answers that could not be read (SF011)."""
        return sum(count for name, count in self.outcomes.items() if name in UNREADABLE)

    @property
    def success_rate(self) -> float | None:
        return _rate(self.succeeded, self.calls)

    @property
    def p50_ms(self) -> int | None:
        return _percentile(self.latencies, 0.5)

    @property
    def p95_ms(self) -> int | None:
        return _percentile(self.latencies, 0.95)

    @property
    def promise_rate(self) -> float | None:
        """The share of pictures that came in less than PROMISE_MS."""
        kept = sum(count for step, count in self.latencies.items() if step * STEP_MS < PROMISE_MS)
        return _rate(kept, self.latencies.total())

    @property
    def shape_rate(self) -> float | None:
        return _rate(self.shape_honoured, self.pictures)

    @property
    def size_rate(self) -> float | None:
        return _rate(self.size_honoured, self.pictures)

    def add(self, row: Mapping[str, int | str | None], suffix: str = "") -> None:
        count = int(row[f"calls{suffix}"] or 0)
        if not count:
            return
        outcome = str(row["outcome"])
        self.outcomes[outcome] += count
        if row["step"] is not None and OUTCOMES[outcome].has_pictures:
            self.latencies[int(row["step"])] += count
        self.pictures += int(row[f"pictures{suffix}"] or 0)
        self.shape_honoured += int(row[f"shapes{suffix}"] or 0)
        self.size_honoured += int(row[f"sizes{suffix}"] or 0)


@dataclass(frozen=True, kw_only=True)
class Hour:
    """One bar of the chart."""

    began_at: datetime
    calls: int
    succeeded: int
    mean_ms: int | None


@dataclass(kw_only=True)
class UpstreamHealth:
    upstream: str
    model: str
    breaker: State = "closed"
    in_flight: int = 0
    windows: dict[str, Figures] = field(default_factory=lambda: {name: Figures() for name in WINDOWS})
    hours: list[Hour] = field(default_factory=list)  # the last 24, oldest first


@dataclass(frozen=True, kw_only=True)
class FirstPicture:
    """New accounts of a window: how many have a picture by now, and how long the first one took from signing up."""

    accounts: int
    with_picture: int
    p50_s: float | None
    p95_s: float | None


@dataclass(frozen=True, kw_only=True)
class Health:
    measured_at: datetime
    upstreams: tuple[UpstreamHealth, ...]
    first_picture: Mapping[str, FirstPicture]
    queued: int
    running: int
    oldest_queued_s: float
    uncertain_calls: int
    uncertain_micros: int


def health() -> Health:
    """The figures, at most KEPT_S seconds old (those of 30 days MONTH_KEPT_S)."""
    known: Health | None = cache.get("health")
    if known is None:
        known = measure()
        cache.set("health", known, KEPT_S)
    return known


def measure() -> Health:
    """The figures of this moment."""
    now = timezone.now()
    found = {key: UpstreamHealth(upstream=key[0], model=key[1]) for key in _configured()}

    def of(row: Mapping[str, object]) -> UpstreamHealth:
        key = (str(row["upstream"]), str(row["upstream_model"]))
        return found.setdefault(key, UpstreamHealth(upstream=key[0], model=key[1]))

    for row in _day(now):
        of(row).windows["24h"].add(row)
        of(row).windows["1h"].add(row, "_1h")
    for row in _month(now):
        of(row).windows["30d"].add(row)
    in_flight = Attempt.objects.filter(outcome=Attempt.SENT).order_by().values("upstream", "upstream_model")
    for under_way in in_flight.annotate(calls=Count("pk")):
        of(under_way).in_flight = under_way["calls"]
    _add_hours(found.values(), now)
    for each in found.values():
        each.breaker = breaker.state_of(each.upstream, each.model)
    waiting = Generation.objects.unfinished().aggregate(
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        running=Count("pk", filter=Q(status=Status.RUNNING)),
        oldest=Min("queued_at", filter=Q(status=Status.QUEUED)),
    )
    uncertain_calls, uncertain_micros = reconciliation.uncertain_total()
    return Health(
        measured_at=now,
        upstreams=tuple(found[key] for key in sorted(found)),
        first_picture=_first_pictures(now),
        queued=waiting["queued"],
        running=waiting["running"],
        oldest_queued_s=(now - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0.0,
        uncertain_calls=uncertain_calls,
        uncertain_micros=uncertain_micros,
    )


def _configured() -> list[tuple[str, str]]:
    """Every upstream and model that may be asked, so that one without calls is shown too."""
    routes = [route for model in catalog.offered_models(()) for route in model.routes]
    return [(PROTOCOLS[route.protocol].name, route.upstream_id) for route in routes]


def _day(now: datetime) -> Iterable[Mapping[str, int | str | None]]:
    last_hour = Q(sent_at__gte=now - WINDOWS["1h"])
    return _grouped(now - WINDOWS["24h"]).annotate(
        calls_1h=Count("pk", filter=last_hour),
        pictures_1h=Sum("picture_count", filter=last_hour),
        shapes_1h=Sum("shape_count", filter=last_hour),
        sizes_1h=Sum("size_count", filter=last_hour),
    )


def _month(now: datetime) -> Iterable[Mapping[str, int | str | None]]:
    rows: list[Mapping[str, int | str | None]] | None = cache.get("health:30d")
    if rows is None:
        rows = list(_grouped(now - WINDOWS["30d"]))
        cache.set("health:30d", rows, MONTH_KEPT_S)
    return rows


def _grouped(since: datetime) -> Any:  # a queryset of values; its type has no name
    ended = Attempt.objects.filter(sent_at__gte=since).exclude(outcome=Attempt.SENT).order_by()
    step = Cast(F("elapsed_ms") / STEP_MS, IntegerField())
    return (
        ended.annotate(step=step)
        .values("upstream", "upstream_model", "outcome", "step")
        .annotate(calls=Count("pk"), pictures=Sum("picture_count"), shapes=Sum("shape_count"), sizes=Sum("size_count"))
    )


def _add_hours(upstreams: Iterable[UpstreamHealth], now: datetime) -> None:
    """24 bars for each, by one query; no engine can truncate times as fast as it compares them."""
    starts = [now - timedelta(hours=hours) for hours in range(HOURS, 0, -1)]
    latest_first = reversed(list(enumerate(starts)))
    hour = Case(*(When(sent_at__gte=start, then=index) for index, start in latest_first), output_field=IntegerField())
    ended = Attempt.objects.filter(sent_at__gte=starts[0]).exclude(outcome=Attempt.SENT).order_by()
    grouped = (
        ended.annotate(hour=hour)
        .values("upstream", "upstream_model", "hour", "outcome")
        .annotate(calls=Count("pk"), ms=Sum("elapsed_ms", default=0))
    )
    rows: dict[tuple[str, str, int], list[Any]] = defaultdict(list)
    for row in grouped:
        rows[row["upstream"], row["upstream_model"], row["hour"]].append(row)
    for each in upstreams:
        each.hours = [_hour(start, rows[each.upstream, each.model, index]) for index, start in enumerate(starts)]


def _hour(began_at: datetime, rows: list[Any]) -> Hour:
    good = [row for row in rows if OUTCOMES[row["outcome"]].has_pictures]
    succeeded = sum(row["calls"] for row in good)
    return Hour(
        began_at=began_at,
        calls=sum(row["calls"] for row in rows),
        succeeded=succeeded,
        mean_ms=round(sum(row["ms"] for row in good) / succeeded) if succeeded else None,
    )


def _first_pictures(now: datetime) -> dict[str, FirstPicture]:
    first = Generation.objects.filter(user=OuterRef("pk"), status=Status.SUCCEEDED).order_by("pk")
    new = (
        User.objects.filter(created_at__gte=now - WINDOWS["30d"])
        .order_by("-pk")
        .values_list("created_at", Subquery(first.values("finished_at")[:1]))[:NEW_ACCOUNTS]
    )
    accounts = list(new)
    return {name: _first_picture(accounts, now - length) for name, length in WINDOWS.items()}


def _first_picture(accounts: list[tuple[datetime, datetime | None]], since: datetime) -> FirstPicture:
    new = [(created, finished) for created, finished in accounts if created >= since]
    waits = sorted(max(0.0, (finished - created).total_seconds()) for created, finished in new if finished)
    return FirstPicture(
        accounts=len(new), with_picture=len(waits), p50_s=_nearest(waits, 0.5), p95_s=_nearest(waits, 0.95)
    )


def _nearest(ordered: list[float], share: float) -> float | None:
    return round(ordered[ceil(share * len(ordered)) - 1], 1) if ordered else None


def _percentile(steps: Counter[int], share: float) -> int | None:
    """Nearest rank, to STEP_MS, in milliseconds."""
    rank, seen = ceil(share * steps.total()), 0
    for step in sorted(steps):
        seen += steps[step]
        if seen >= rank:
            return step * STEP_MS
    return None


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
