"""The house's money, for operators who close the month: a sentence, the figures, a chart, the table, and as CSV."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import date
from math import ceil

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.exports import guard_cell
from accounts.ledger import format_usd
from accounts.templatetags.plantain import usd
from generations import money_report
from generations.money_report import Line, Period, Report, month_of
from generations.views.costs import for_operators

ROWS = 90  # of the table; the CSV has all
BARS = 31
WIDTH, HEIGHT, LEFT = 690, 200, 56
COLUMNS = (
    *("day", "model", "price", "captures", "captured_usd", "refunds", "refunded_usd"),
    *("revenue_usd", "cost_usd", "margin_usd", "suspense_usd", "granted_usd"),
)


@dataclass(frozen=True)
class Bar:
    """Money that came in and that went out in a few days, in the pixels of the drawing."""

    x: float
    width: float
    revenue_y: float
    revenue_height: float
    cost_x: float
    cost_y: float
    cost_height: float
    label: str


@for_operators
@never_cache
@require_safe
def money(request: HttpRequest) -> HttpResponse:
    """The figures of a month or of some days; this month if nothing is asked for."""
    found = money_report.report(_period(request))
    period, today = found.period, timezone.now().date()
    context = {
        "report": found,
        "name": _name(period),
        "verdict": _verdict(found, today),
        "earlier": month_of(date.fromordinal(month_of(period.first).first.toordinal() - 1)).first,
        "later": date.fromordinal(month_of(period.last).last.toordinal() + 1),
        "has_later": month_of(period.last).last < today,
        "lines": found.lines[-ROWS:],
        "chart": _chart(found),
        "query": request.GET.urlencode(),
    }
    return render(request, "generations/money.html", context)


@for_operators
@never_cache
@require_safe
def money_csv(request: HttpRequest) -> HttpResponse:
    """The lines of the same report, with six decimals."""
    found = money_report.report(_period(request))
    name = f"money-{found.period.first}-{found.period.last}.csv"
    answer = HttpResponse(
        content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
    writer = csv.writer(answer)
    writer.writerow(COLUMNS)
    writer.writerows(_row(line) for line in found.lines)
    return answer


def _row(line: Line) -> Iterator[object]:
    sums = line.sums
    yield line.day.isoformat()
    yield guard_cell(line.model)
    yield ("placeholder" if line.is_placeholder else "set") if line.model else ""
    yield from (sums.captures, format_usd(sums.captured), sums.refunds, format_usd(sums.refunded))
    yield from map(format_usd, (sums.revenue, sums.cost, sums.margin, sums.suspense, sums.granted))


def _period(request: HttpRequest) -> Period:
    given = {name: request.GET.get(name, "").strip() for name in ("month", "from", "to")}
    return money_report.parse_period(month=given["month"], first=given["from"], last=given["to"])


def _name(period: Period) -> str:
    if period.is_month:
        return date_format(period.first, "F Y")
    if period.first == period.last:
        return date_format(period.first, "j F Y")
    return f"{date_format(period.first, 'j M Y')} to {date_format(period.last, 'j M Y')}"


def _verdict(found: Report, today: date) -> tuple[str, str, str]:
    """How it is: "good", "warn" or "bad", a sentence, and another one."""
    total = found.total
    if not found.is_even:
        return "bad", "The table and the ledger disagree", "Run verifyledger before anybody relies on these figures."
    so_far = " so far" if found.period.last >= today else ""
    result = f"{usd(total.margin)} is left" if total.margin >= 0 else f"{usd(-total.margin)} is missing"
    sentence = f"{_name(found.period)}{so_far}: {usd(total.revenue)} came in, {usd(total.cost)} went out, {result}"
    if found.uncertain_calls:
        calls = "One call" if found.uncertain_calls == 1 else f"{found.uncertain_calls} calls"
        return "warn", sentence, f"{calls} may have cost {usd(found.uncertain_micros)} more."
    if found.placeholders:
        return "warn", sentence, "Some of it was sold at a placeholder's price."
    return "good", sentence, "Nothing is uncertain."


def _chart(found: Report) -> dict[str, object]:
    """Pairs of bars; so many days share one that there are at most BARS."""
    days = list(found.by_day)
    step = ceil(len(days) / BARS)
    groups = [days[start : start + step] for start in range(0, len(days), step)]
    sums = [
        (sum(found.by_day[day].revenue for day in group), sum(found.by_day[day].cost for day in group))
        for group in groups
    ]
    top = max([1, *(amount for pair in sums for amount in pair)])
    room = (WIDTH - LEFT) / len(groups)
    width = round(min(24.0, room * 0.36), 1)

    def height(amount: int) -> float:
        return round(max(0, amount) / top * (HEIGHT - 16), 1)

    bars = []
    for place, (group, (revenue, cost)) in enumerate(zip(groups, sums, strict=True)):
        x = round(LEFT + place * room + (room - 2 * width) / 2, 1)
        up, out = height(revenue), height(cost)
        label = str(group[0].day)
        bars.append(Bar(x, width, round(HEIGHT - up, 1), up, round(x + width, 1), round(HEIGHT - out, 1), out, label))
    every = ceil(len(bars) / 16)
    return {
        "width": WIDTH,
        "height": HEIGHT + 22,
        "base": HEIGHT,
        "text_y": HEIGHT + 16,
        "left": LEFT,
        "lines": [(round(HEIGHT - height(top * part // 2), 1), usd(top * part // 2)) for part in (0, 1, 2)]
        if top > 1
        else [],
        "bars": bars,
        "labels": [(round(bar.x + bar.width, 1), bar.label) for bar in bars[::every]],
        "is_empty": not any(any(astuple(each)) for each in found.by_day.values()),
    }
