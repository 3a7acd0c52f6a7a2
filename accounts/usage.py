"""What somebody used in a period, by day and model, from the ledger alone: captures less refunds."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta

from accounts import ledger
from accounts.errors import InvalidInput
from accounts.models import User
from accounts.periods import Period

MAX_DAYS = 366


@dataclass(frozen=True, kw_only=True)
class DayUsage:
    """What one model delivered on one day and what it cost in micro-USD; a refund counts on the day it was given."""

    day: date
    model: str
    unit: str
    pictures: int
    spent: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The days on which something happened, in their order."""

    period: Period
    days: list[DayUsage]

    @property
    def pictures(self) -> int:
        return sum(day.pictures for day in self.days)

    @property
    def spent(self) -> int:
        return sum(day.spent for day in self.days)

    def since(self, day: date) -> "Usage":
        """The part of it from that day on."""
        return replace(self, period=replace(self.period, start=day), days=[row for row in self.days if row.day >= day])


def usage_of(user: User, period: Period) -> Usage:
    """The usage of a period of a year at most, in one query. Raises InvalidInput for a longer or an open one.

    A movement is of the day of its transfer, as on the operators' money page; its line in the statement has that time.
    """
    if not period.start or not period.end or (period.end - period.start).days > MAX_DAYS:
        raise InvalidInput.of("from", f"Send a month, or from and to with at most {MAX_DAYS} days between them.")
    pictures: Counter[tuple[date, str, str]] = Counter()
    spent: Counter[tuple[date, str, str]] = Counter()
    for flow in ledger.flows_of(user, period.days):
        if not flow.model:
            continue  # grants and adjustments have no price
        key = period.start + timedelta(days=flow.day), flow.model, flow.unit
        if flow.way == "out":
            pictures[key] += flow.micros // flow.unit_micros  # captures are for whole pictures at their row's price
        spent[key] += flow.micros if flow.way == "out" else -flow.micros
    return Usage(
        period=period,
        days=[
            DayUsage(day=key[0], model=key[1], unit=key[2], pictures=pictures[key], spent=spent[key])
            for key in sorted(spent)
        ],
    )
