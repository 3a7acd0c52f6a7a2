"""How the upstreams do, for everybody who is signed in; the probe button is for staff."""

from collections import Counter
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import Forbidden, ServiceError
from accounts.staff import may_enter
from generations import catalog
from generations.health import Figures, Health, Hour, UpstreamHealth, health
from generations.outcomes import OUTCOMES
from generations.probing import probe
from generations.views.access import person, signed_in

PERIODS = {"1h": "1 hour", "24h": "24 hours", "30d": "30 days"}
PROMISED = 0.95  # of the pictures come within the 20 s
FEW = 5  # calls that tell nothing about a rate
CHART_HEIGHT, CHART_WIDTH, CHART_TOP_S = 220, 690, 30.0


@dataclass(frozen=True)
class Trouble:
    """One way in which calls ended without a picture; `percent` is of the most frequent one."""

    title: str
    code: str
    count: int
    percent: int


@dataclass(frozen=True)
class Tick:
    """One hour of one model: "good", "slow", "failing" or "none"."""

    kind: str


@dataclass(frozen=True)
class Row:
    label: str
    health: UpstreamHealth
    figures: Figures
    ticks: tuple[Tick, ...]

    @property
    def summary(self) -> str:
        """The ticks in words."""
        kinds = Counter(tick.kind for tick in self.ticks)
        return f"{len(self.ticks)} hours, {kinds['slow']} slow, {kinds['failing']} failing"


@signed_in
@require_GET
def status(request: HttpRequest) -> HttpResponse:
    """One sentence, four numbers, the last day, what went wrong, and each model."""
    period = request.GET.get("period", "24h")
    period = period if period in PERIODS else "24h"
    now = health()
    figures = _total(now, period)
    context = {
        "period": period,
        "periods": PERIODS,
        "health": now,
        "figures": figures,
        "verdict": _verdict(now, figures),
        "failed": figures.calls - figures.succeeded,
        "in_flight": sum(each.in_flight for each in now.upstreams),
        "troubles": _troubles(figures),
        "rows": [_row(each, period) for each in now.upstreams],
        "chart": _chart(now),
        "models": catalog.offered_models(catalog.MODELS),
        "may_probe": may_enter(person(request)),
    }
    return render(request, "generations/status.html", context)


@signed_in
@require_POST
def probe_upstream(request: HttpRequest) -> HttpResponse:
    """One small picture on the operator's key; says what came."""
    if not may_enter(person(request)):
        raise Forbidden("Only operators may probe the upstream.", remedy="Ask the operator.")
    try:
        found = probe(request.POST.get("model", ""))
        words = f"A picture of {found.width} × {found.height} in {found.latency_ms / 1000:.1f} s"
        messages.success(request, f"{words}, request {found.request_id}.")
    except ServiceError as error:
        messages.error(request, f"{error.message} {error.remedy}")
    return redirect("generations:status")


def _total(now: Health, period: str) -> Figures:
    total = Figures()
    for each in now.upstreams:
        window = each.windows[period]
        total.outcomes.update(window.outcomes)
        total.latencies.update(window.latencies)
        total.pictures += window.pictures
        total.shape_honoured += window.shape_honoured
        total.size_honoured += window.size_honoured
    return total


def _verdict(now: Health, figures: Figures) -> tuple[str, str, str]:
    """How it is: "good", "warn" or "bad", a sentence, and another one."""
    resting = [each for each in now.upstreams if each.breaker != "closed"]
    if resting:
        names = ", ".join(sorted({each.model for each in resting}))
        return "bad", "An upstream is left alone for a moment", f"It failed again and again: {names}."
    if figures.calls < FEW:
        return "good", "Nothing is known to be wrong", "Too few pictures were asked for to say more."
    if (figures.success_rate or 0) < PROMISED:
        return "warn", "More calls than usual end without a picture", "What does not arrive is not charged."
    if (figures.promise_rate or 0) < PROMISED:
        return "warn", "Pictures take longer than promised", "They still arrive."
    return "good", "Pictures are arriving as promised", ""


def _troubles(figures: Figures) -> list[Trouble]:
    ends = Counter({name: count for name, count in figures.outcomes.items() if not OUTCOMES[name].has_pictures})
    most = max(ends.values(), default=1)
    return [
        Trouble(OUTCOMES[name].title, name, count, round(100 * count / most)) for name, count in ends.most_common(6)
    ]


def _row(each: UpstreamHealth, period: str) -> Row:
    labels = {route.upstream_id: model.label for model in catalog.MODELS.values() for route in model.routes}
    ticks = tuple(Tick(_kind(hour)) for hour in each.hours)
    return Row(labels.get(each.model, each.model), each, each.windows[period], ticks)


def _kind(hour: Hour) -> str:
    if not hour.calls:
        return "none"
    if hour.succeeded < hour.calls / 2:
        return "failing"
    is_slow = hour.mean_ms is not None and hour.mean_ms > 20_000
    return "slow" if is_slow or hour.succeeded < PROMISED * hour.calls else "good"


def _chart(now: Health) -> dict[str, object]:
    """The mean latency of each of the last hours as points of a line, in the pixels of the drawing."""
    hours: dict[str, list[tuple[int, int]]] = {}
    for each in now.upstreams:
        for hour in each.hours:
            if hour.mean_ms is not None and hour.succeeded:
                hours.setdefault(hour.began_at.isoformat(), []).append((hour.mean_ms, hour.succeeded))
    moments = sorted({hour.began_at for each in now.upstreams for hour in each.hours})
    means = [
        sum(ms * count for ms, count in rows) / sum(count for _, count in rows) / 1000
        if (rows := hours.get(moment.isoformat()))
        else None
        for moment in moments
    ]
    top = max([CHART_TOP_S, *(mean * 1.1 for mean in means if mean is not None)])

    def y(seconds: float) -> float:
        return round(CHART_HEIGHT - seconds / top * (CHART_HEIGHT - 16), 1)

    step = (CHART_WIDTH - 40) / max(1, len(moments) - 1)
    points = [(round(36 + place * step, 1), y(mean)) for place, mean in enumerate(means) if mean is not None]
    return {
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT + 24,
        "points": " ".join(f"{x},{height}" for x, height in points),
        "dots": points,
        "promise_y": y(20),
        "lines": [(y(seconds), seconds) for seconds in (0, 10, 20, 30)],
        "labels": [(round(36 + place * step, 1), moments[place]) for place in range(0, len(moments), 6)],
        "base_y": CHART_HEIGHT + 16,
    }
