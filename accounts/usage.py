"""What somebody used in a period, by day and model, from the ledger alone: captures less refunds."""

from dataclasses import dataclass, replace
from datetime import date

from django.db.models import F, Q, Sum
from django.db.models.functions import TruncDate

from accounts import statement
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
    """The usage of a period of a year at most, in one query. Raises InvalidInput for a longer or an open one."""
    if not period.start or not period.end or (period.end - period.start).days > MAX_DAYS:
        raise InvalidInput.of("from", f"Send a month, or from and to with at most {MAX_DAYS} days between them.")
    lines = statement.within(statement.entries_of(user), user, period)
    captured = Q(transfer__code="capture")
    each = F("transfer__amount_micros") / F("transfer__price__amount_micros")  # whole pictures at their row's price
    rows = (
        lines.filter(captured | Q(transfer__code="refund"))
        .annotate(
            day=TruncDate("created_at", tzinfo=period.zone),
            model=F("transfer__price__model"),
            unit=F("transfer__price__unit"),
        )
        .values("day", "model", "unit")
        .annotate(
            pictures=Sum(each, filter=captured, default=0),
            spent=-Sum("posted_delta"),
        )
        .order_by("day", "model", "unit")
    )
    return Usage(period=period, days=[DayUsage(**row) for row in rows])
