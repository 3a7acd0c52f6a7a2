"""The chart of the last month on the account page: pictures a day, a colour for each model."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from accounts.usage import DayUsage, Usage
from generations.cards import model_label

DAYS = 30
SERIES = 3  # colours; the models that were used least share the last one
OTHERS = "Others"
WIDTH, HEIGHT = 1100, 230
LEFT, TOP, BASE = 28.0, 8.0, 206.0
SLOT = (WIDTH - LEFT) / DAYS
GAP = 4.0  # on either side of a day
BAR_WIDTH = round(SLOT - 2 * GAP, 1)
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
LINES = 4


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One colour of one day."""

    series: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Column:
    """One day: its bars from the bottom up, and in words; `label_x` where its date is written."""

    day: date
    label_x: float | None
    pictures: int
    spent: int
    words: str
    bars: list[Bar]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Everything that the template draws; `lines` are heights with their number of pictures."""

    pictures: int
    spent: int
    legend: list[tuple[int, str]]
    lines: list[tuple[float, int]]
    columns: list[Column]
    busiest: Column
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def used(self) -> list[Column]:
        """The days on which something was charged or refunded, newest first."""
        return [column for column in reversed(self.columns) if column.pictures or column.spent]


def draw(usage: Usage) -> Chart:
    """A chart of a period of 30 days."""
    assert usage.period.start is not None
    names = _series_names(usage.days)
    by_day: dict[date, list[DayUsage]] = defaultdict(list)
    for row in usage.days:
        by_day[row.day].append(row)
    most = max((sum(row.pictures for row in rows) for rows in by_day.values()), default=0)
    step = next((step for step in STEPS if step * LINES >= most), STEPS[-1])
    scale = (BASE - TOP) / (step * LINES)
    days = [usage.period.start + timedelta(days=number) for number in range(DAYS)]
    columns = [_column(number, day, by_day[day], names, scale) for number, day in enumerate(days)]
    return Chart(
        pictures=usage.pictures,
        spent=usage.spent,
        legend=list(enumerate(names, start=1)),
        lines=[(round(BASE - number * step * scale, 1), number * step) for number in range(LINES + 1)],
        columns=columns,
        busiest=max(columns, key=lambda column: column.pictures),
    )


def _series_names(days: Iterable[DayUsage]) -> list[str]:
    """The models that were used most; with more of them than colours, the rest together."""
    counts: Counter[str] = Counter()
    for row in days:
        counts[model_label(row.model)] += row.pictures
    names = [name for name, _ in counts.most_common()]
    return names if len(names) <= SERIES else [*names[: SERIES - 1], OTHERS]


def _column(number: int, day: date, rows: list[DayUsage], names: list[str], scale: float) -> Column:
    counts: Counter[str] = Counter()
    for row in rows:
        label = model_label(row.model)
        counts[label if label in names else OTHERS] += row.pictures
    x, y, bars = LEFT + number * SLOT + GAP, BASE, []
    for series, name in enumerate(names, start=1):
        height = counts[name] * scale
        if height:
            y -= height
            bars.append(Bar(series=series, x=round(x, 1), y=round(y, 1), width=BAR_WIDTH, height=round(height, 1)))
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    return Column(
        day=day,
        label_x=round(x + SLOT / 2 - GAP, 1) if number % 7 == 1 else None,
        pictures=sum(row.pictures for row in rows),
        spent=sum(row.spent for row in rows),
        words=told or "refunds only",
        bars=bars,
    )
