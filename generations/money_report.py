"""The house's money in a period of days: what came in, what the upstreams cost, what is left, by model and day.

Every figure is a sum of transfers, told apart by the accounts that they moved, in micro-USD and days in UTC. Those of
days that are over are kept (accounts/closed_days.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from django.db.models import Sum
from django.utils import timezone

from accounts import closed_days
from accounts.audit import snapshot
from accounts.closed_days import DayFigures
from accounts.errors import InvalidInput
from accounts.ledger import Flow
from accounts.models import LedgerAccount
from generations import catalog, reconciliation
from generations.models import Generation

MAX_DAYS = 366

Kind = LedgerAccount.Kind


@dataclass(frozen=True)
class Period:
    """From the first day to the last one, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def is_month(self) -> bool:
        return self == month_of(self.first)


@dataclass(kw_only=True)
class Sums:
    """Micro-USD. `suspense` is what was put there less what was taken out, by a bill or without one."""

    captures: int = 0  # how many
    captured: int = 0
    refunds: int = 0  # how many
    refunded: int = 0
    cost: int = 0
    suspense: int = 0
    granted: int = 0

    @property
    def revenue(self) -> int:
        return self.captured - self.refunded

    @property
    def margin(self) -> int:
        return self.revenue - self.cost

    @property
    def margin_percent(self) -> int | None:
        return round(100 * self.margin / self.revenue) if self.revenue > 0 else None

    def add(self, other: "Sums") -> None:
        for name in ("captures", "captured", "refunds", "refunded", "cost", "suspense", "granted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, kw_only=True)
class Line:
    """One model on one day; without a model: money that was given to people, or taken back."""

    day: date
    model: str
    label: str
    is_placeholder: bool
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Held:
    """What people's jobs hold at this moment, and the job that has held for longest."""

    micros: int
    oldest: Generation | None


@dataclass(frozen=True, kw_only=True)
class Report:
    period: Period
    lines: list[Line]
    by_model: list[Line]  # one for each, with the first day of the period
    by_day: dict[date, Sums]
    total: Sums
    account_revenue: int  # what the revenue account itself received less what it gave back
    held: Held
    uncertain_calls: int
    uncertain_micros: int
    placeholders: list[str] = field(default_factory=list)

    @property
    def is_even(self) -> bool:
        """Whether the table adds up to the account."""
        return self.total.revenue == self.account_revenue


def month_of(day: date) -> Period:
    first = day.replace(day=1)
    return Period(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))


def parse_period(*, month: str = "", first: str = "", last: str = "") -> Period:
    """A month as 2026-11, or two days; this month without any. Raises InvalidInput."""
    if not (month or first or last):
        return month_of(timezone.now().date())
    if month:
        return month_of(_day("month", f"{month}-01"))
    period = Period(_day("from", first or last), _day("to", last or first))
    if not 0 <= (period.last - period.first).days < MAX_DAYS:
        raise InvalidInput.of("to", f"The last day is not before the first one, and at most {MAX_DAYS} days are shown.")
    return period


def _day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput.of(name, "A day is written as 2026-11-27, a month as 2026-11.") from None
    if not 2000 <= day.year <= 2999:
        raise InvalidInput.of(name, "The year is from 2000 to 2999.")
    return day


def report(period: Period) -> Report:
    """The figures of a period, and what is held and uncertain now, of one moment of the database, by few queries."""
    with snapshot():
        in_wallets = LedgerAccount.objects.filter(kind=Kind.WALLET).aggregate(held=Sum("debits_pending", default=0))
        figures = closed_days.read(period.days)
        held = Held(micros=int(in_wallets["held"]), oldest=_oldest_job())
        calls, uncertain = reconciliation.uncertain_total()
    lines = _lines(period, figures)
    total, by_day = Sums(), {day: Sums() for day in period.days}
    models: dict[str, Line] = {}
    for line in lines:
        total.add(line.sums)
        by_day[line.day].add(line.sums)
        known = models.get(line.model)
        is_placeholder = line.is_placeholder or (known is not None and known.is_placeholder)
        sums = known.sums if known else Sums()
        sums.add(line.sums)
        models[line.model] = Line(
            day=period.first, model=line.model, label=line.label, is_placeholder=is_placeholder, sums=sums
        )
    return Report(
        period=period,
        lines=lines,
        by_model=[models[name] for name in sorted(models) if name],
        by_day=by_day,
        total=total,
        account_revenue=sum(each.revenue_micros for each in figures),
        held=held,
        uncertain_calls=calls,
        uncertain_micros=uncertain,
        placeholders=sorted({line.label for line in lines if line.is_placeholder}),
    )


def _lines(period: Period, figures: Sequence[DayFigures]) -> list[Line]:
    lines: dict[tuple[date, str], Line] = {}
    placeholders = set()
    for day, flow in ((day, flow) for day, each in zip(period.days, figures, strict=True) for flow in each.flows):
        key = day, flow.model
        line = lines.get(key)
        if line is None:
            model = catalog.MODELS.get(key[1])
            label = model.label if model else key[1]
            line = lines[key] = Line(day=key[0], model=key[1], label=label, is_placeholder=False, sums=Sums())
        if flow.is_placeholder:
            placeholders.add(key)
        _book(line.sums, flow)
    return [
        Line(day=line.day, model=line.model, label=line.label, is_placeholder=key in placeholders, sums=line.sums)
        for key, line in sorted(lines.items())
    ]


def _book(sums: Sums, flow: Flow) -> None:
    """Transfers are told apart by the account that they moved, so that no new code escapes."""
    match flow.kind, flow.way:
        case Kind.REVENUE, "in":
            sums.captured += flow.micros
            sums.captures += flow.many
        case Kind.REVENUE, "out":
            sums.refunded += flow.micros
            sums.refunds += flow.many
        case Kind.EXPENSE, "in":  # certain at once, or by a verdict
            sums.cost += flow.micros
        case Kind.EXPENSE, "out":
            sums.cost -= flow.micros
        case Kind.SUSPENSE, "in":
            sums.suspense += flow.micros
        case Kind.SUSPENSE, "out":
            sums.suspense -= flow.micros
        case ((Kind.EXTERNAL | Kind.GRANT), "out"):  # a budget is only given when it goes on into a wallet
            sums.granted += flow.micros
        case ((Kind.EXTERNAL | Kind.GRANT), "in"):
            sums.granted -= flow.micros


def _oldest_job() -> Generation | None:
    """The job whose money has been held for longest."""
    jobs = Generation.objects.unfinished().paid_for().select_related("hold", "user")
    return jobs.order_by("hold__created_at").first()
