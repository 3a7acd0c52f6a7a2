"""Periods of a statement: a month or a range of days in somebody's time zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from accounts.errors import FieldError, InvalidInput

MONTH = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Period:
    """From the first moment of `start` up to the first one of `end`, which is after it; None is open on that side."""

    start: date | None = None
    end: date | None = None
    zone_name: str = "UTC"

    @property
    def zone(self) -> tzinfo:
        return zone_named(self.zone_name)

    @property
    def starts_at(self) -> datetime | None:
        return _midnight(self.start, self.zone)

    @property
    def ends_at(self) -> datetime | None:
        return _midnight(self.end, self.zone)

    @property
    def days(self) -> list[tuple[datetime, datetime]]:
        """The first moment of each day and of the one after it; of a closed period only."""
        assert self.start is not None
        assert self.end is not None
        count = (self.end - self.start).days
        edges = [_midnight(self.start + timedelta(days=number), self.zone) for number in range(count + 1)]
        return [(start, end) for start, end in pairwise(edges) if start and end]

    @property
    def last_day(self) -> date | None:
        """The last day that belongs to it."""
        return self.end - timedelta(days=1) if self.end else None

    @property
    def name(self) -> str:
        """For the name of a file: 2026-11, or two days."""
        if self.start and self.end and self.start.day == 1 and self.end == _next_month(self.start):
            return f"{self.start:%Y-%m}"
        return "-to-".join(str(day) for day in (self.start, self.last_day) if day) or "all"


def parse_period(*, month: str = "", first: str = "", last: str = "", time_zone: str = "") -> Period:
    """A month ("2026-11"), or a first and a last day, each of which may be left out. Raises InvalidInput."""
    problems: list[FieldError] = []

    def read_day(field: str, text: str) -> date | None:
        try:
            return _day(text) if text else None
        except ValueError:
            problems.append(FieldError(field, f"{field} is a day such as 2026-11-30."))
            return None

    name = time_zone or "UTC"
    try:
        zone_named(name)
    except ValueError:
        problems.append(FieldError("time_zone", "time_zone is the name of a time zone, such as Europe/Berlin or UTC."))
    start, until = read_day("from", first), read_day("to", last)
    if month and (first or last):
        problems.append(FieldError("month", "Send a month, or from and to, not both."))
    elif month:
        try:
            start = _month(month)
            until = _next_month(start) - timedelta(days=1)
        except ValueError:
            problems.append(FieldError("month", "month is a month such as 2026-11."))
    if start and until and until < start:
        problems.append(FieldError("to", "to is before from."))
    if problems:
        raise InvalidInput(problems[0].message, errors=tuple(problems))
    return Period(start=start, end=until + timedelta(days=1) if until else None, zone_name=name)


def month_of(moment: datetime, zone_name: str = "UTC") -> Period:
    """The month that a moment belongs to in that zone."""
    first = moment.astimezone(zone_named(zone_name)).date().replace(day=1)
    return Period(start=first, end=_next_month(first), zone_name=zone_name)


def days_before(moment: datetime, days: int) -> Period:
    """The last `days` days in UTC, that of the moment included."""
    today = moment.astimezone(UTC).date()
    return Period(start=today - timedelta(days=days - 1), end=today + timedelta(days=1))


def zone_named(name: str) -> tzinfo:
    """The time zone. Raises ValueError for a name that is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:  # a name that is not known, or that of a directory of them
        raise ValueError(name) from error


def _day(text: str) -> date:
    if not DAY.fullmatch(text):
        raise ValueError(text)
    return _within_reach(date.fromisoformat(text))


def _month(text: str) -> date:
    found = MONTH.fullmatch(text)
    if not found:
        raise ValueError(text)
    return _within_reach(date(int(found[1]), int(found[2]), 1))


def _within_reach(day: date) -> date:
    """Years that stay dates in every zone, and a month later."""
    if not 1970 <= day.year <= 9000:
        raise ValueError(day)
    return day


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(day: date | None, zone: tzinfo) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=zone) if day else None
