"""What the house's accounts moved on days that are over: kept, so that nobody adds up the same long history twice.

The ledger stays the truth. It is append-only and a transfer's time is its writing time, so a day that is over does not
change. These figures can be thrown away and made again (`rebuild`), and the audit compares them with the ledger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Max, Min

from accounts import ledger
from accounts.ledger import Flow
from accounts.models import ClosedDay, LedgerAccount, Transfer

Kind = LedgerAccount.Kind
TELLING = (Kind.REVENUE, Kind.EXPENSE, Kind.SUSPENSE, Kind.EXTERNAL, Kind.GRANT)
MARGIN = timedelta(hours=1)  # for transactions that were open at midnight, and clocks that differ
BATCH = 31  # days: so much is read and written at once


@dataclass(frozen=True)
class DayFigures:
    """What moved on a day by account and price, and the revenue account's own result, in micro-USD."""

    flows: list[Flow]
    revenue_micros: int


def read(days: Sequence[date]) -> list[DayFigures]:
    """The figures of each of these days, one after the other: kept ones as they are, the others from the ledger."""
    kept = {row.day: _kept(row) for row in ClosedDay.objects.filter(day__in=days)}
    live = [day for day in days if day not in kept]
    figures = kept | dict(zip(live, of_ledger(live), strict=True))
    return [figures[day] for day in days]


def of_ledger(days: Sequence[date]) -> list[DayFigures]:
    """The same, of the ledger alone."""
    limits = [_limits(day) for day in days]
    flows: list[list[Flow]] = [[] for _ in days]
    for flow in ledger.house_flows(TELLING, limits):
        flows[flow.day].append(flow._replace(day=0))
    revenue = ledger.results_of(Kind.REVENUE, limits)
    return [DayFigures(sorted(found), result) for found, result in zip(flows, revenue, strict=True)]


def close_due(now: datetime) -> int:
    """Keep the figures of days that are over and follow the last kept one, at most BATCH of them; returns how many."""
    last = ClosedDay.objects.aggregate(last=Max("day"))["last"]
    if last is None:
        began = Transfer.objects.aggregate(began=Min("created_at"))["began"]
        if began is None:
            return 0
        last = began.astimezone(UTC).date() - timedelta(days=1)
    over = (now - MARGIN).astimezone(UTC).date()
    return _keep([last + timedelta(days=number) for number in range(1, min(BATCH, (over - last).days - 1) + 1)])


def rebuild(now: datetime) -> int:
    """Throw all away and make it again from the ledger; returns how many days are kept."""
    with transaction.atomic():
        ClosedDay.objects.all().delete()
        closed = 0
        while added := close_due(now):
            closed += added
    return closed


def wrong_days() -> Iterator[date]:
    """Days whose kept figures are not those of the ledger."""
    rows = list(ClosedDay.objects.order_by("day"))
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        for row, figures in zip(some, of_ledger([row.day for row in some]), strict=True):
            if _kept(row) != figures:
                yield row.day


def _keep(days: Sequence[date]) -> int:
    rows = [
        ClosedDay(day=day, flows=[list(flow) for flow in figures.flows], revenue_micros=figures.revenue_micros)
        for day, figures in zip(days, of_ledger(days), strict=True)
    ]
    ClosedDay.objects.bulk_create(rows, ignore_conflicts=True)  # another sweeper may have been first
    return len(rows)


def _kept(row: ClosedDay) -> DayFigures:
    return DayFigures([Flow._make(flow) for flow in row.flows], row.revenue_micros)


def _limits(day: date) -> tuple[datetime, datetime]:
    begins_at = datetime.combine(day, time.min, UTC)
    return begins_at, begins_at + timedelta(days=1)
