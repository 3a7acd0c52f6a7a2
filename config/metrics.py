"""/metrics in the text format of Prometheus, read from the database at each scrape: any process tells the same.

Figures are gauges over the last hour, day and month, so that a restart or a second process cannot make them jump.
"""

from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from gallery.review import figures as review_figures
from gallery.review.figures import ReviewFigures
from generations import health
from generations.health import Figures, Health, UpstreamHealth

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KEPT_S = 10
BREAKER = {"closed": 0, "half-open": 1, "open": 2}
OF_UPSTREAM = ["upstream", "model"]
IN_WINDOW = [*OF_UPSTREAM, "window"]


def metrics(request: HttpRequest) -> HttpResponse:
    """Open in development; everywhere else, and wherever METRICS_TOKEN is set, only with it as a Bearer token."""
    token = settings.METRICS_TOKEN
    if not token and settings.ENVIRONMENT != "development":
        text = "Set METRICS_TOKEN, and send it as a Bearer token.\n"
        return HttpResponse(text, status=404, content_type=CONTENT_TYPE)
    given = request.headers.get("Authorization", "")
    if token and not constant_time_compare(given, f"Bearer {token}"):
        return HttpResponse(
            "Send METRICS_TOKEN as a Bearer token.\n",
            status=401,
            content_type=CONTENT_TYPE,
            headers={"WWW-Authenticate": "Bearer"},
        )
    body: bytes | None = cache.get("metrics")
    if body is None:
        registry = CollectorRegistry()
        registry.register(Figured(health.health()))
        registry.register(ReviewFigured(review_figures.figures()))
        body = generate_latest(registry)
        cache.set("metrics", body, KEPT_S)
    return HttpResponse(body, content_type=CONTENT_TYPE)


class ReviewFigured:
    """The review's figures as metrics; decisions are those of the last day. Reviewers are in none of them."""

    def __init__(self, figures: ReviewFigures) -> None:
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        found = self.figures
        for name, text, value in (
            ("plantain_review_waiting", "Pictures that wait for a reviewer.", found.waiting),
            ("plantain_review_waiting_high_risk", "Of these, those of high risk.", found.waiting_high_risk),
            ("plantain_review_overdue", "Of these, those that wait longer than promised.", found.overdue),
            ("plantain_review_oldest_seconds", "How long the oldest one has waited.", found.oldest_s),
            ("plantain_review_decisions", "Decisions of the last day.", found.decided),
            ("plantain_review_decisions_late", "Of these, those later than promised.", found.decided_late),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        waits = GaugeMetricFamily(
            "plantain_review_wait_seconds", "From the queue to the decision, within the last day.", labels=["quantile"]
        )
        for quantile, seconds in (("0.5", found.p50_s), ("0.9", found.p90_s)):
            if seconds is not None:
                waits.add_metric([quantile], seconds)
        yield waits
        precision = GaugeMetricFamily(
            "plantain_review_rule_precision_ratio", "Refused of what a rule has marked, 30 days.", labels=["rule"]
        )
        for rule in found.rules:
            precision.add_metric([rule.rule], rule.upheld / rule.marked)
        yield precision


class Figured:
    """The figures as metrics; what has nothing to measure is left out rather than told as 0."""

    def __init__(self, figures: Health) -> None:
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from self._upstreams()
        yield from self._windows()
        yield from self._first_pictures()
        found = self.figures
        for name, text, value in (
            ("plantain_generations_queued", "Generations that wait to be taken.", found.queued),
            ("plantain_generations_running", "Generations in work.", found.running),
            ("plantain_queue_oldest_seconds", "How long the oldest one has waited.", found.oldest_queued_s),
            ("plantain_uncertain_calls", "Calls without a verdict on their cost.", found.uncertain_calls),
            ("plantain_uncertain_cost_usd", "What these cost at most.", found.uncertain_micros / 1_000_000),
        ):
            yield GaugeMetricFamily(name, text, value=value)

    def _upstreams(self) -> Iterable[Metric]:
        in_flight = GaugeMetricFamily("plantain_upstream_in_flight", "Calls under way.", labels=OF_UPSTREAM)
        state = GaugeMetricFamily(
            "plantain_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open.", labels=OF_UPSTREAM
        )
        for each in self.figures.upstreams:
            in_flight.add_metric([each.upstream, each.model], each.in_flight)
            state.add_metric([each.upstream, each.model], BREAKER[each.breaker])
        return in_flight, state

    def _windows(self) -> Iterable[Metric]:
        calls = GaugeMetricFamily(
            "plantain_upstream_calls", "Calls that ended within the window.", labels=[*IN_WINDOW, "outcome"]
        )
        unreadable = GaugeMetricFamily(
            "plantain_unreadable_answers", "Answers that could not be read.", labels=IN_WINDOW
        )
        latency = GaugeMetricFamily(
            "plantain_upstream_latency_seconds", "Of calls that brought pictures.", labels=[*IN_WINDOW, "quantile"]
        )
        rates = {
            "plantain_upstream_success_ratio": ("Calls that brought pictures.", "success_rate"),
            "plantain_upstream_promise_ratio": ("Of these, in less than 20 seconds.", "promise_rate"),
            "plantain_honoured_shape_ratio": ("Pictures in the shape that was asked for.", "shape_rate"),
            "plantain_honoured_size_ratio": ("Pictures in the size that was asked for.", "size_rate"),
        }
        ratios = {name: GaugeMetricFamily(name, text, labels=IN_WINDOW) for name, (text, _) in rates.items()}
        for each, window, found in self._by_window():
            labels = [each.upstream, each.model, window]
            unreadable.add_metric(labels, found.unreadable)
            for outcome, count in sorted(found.outcomes.items()):
                calls.add_metric([*labels, outcome], count)
            for quantile, ms in (("0.5", found.p50_ms), ("0.95", found.p95_ms)):
                if ms is not None:
                    latency.add_metric([*labels, quantile], ms / 1000)
            for name, (_, attribute) in rates.items():
                if (rate := getattr(found, attribute)) is not None:
                    ratios[name].add_metric(labels, rate)
        return calls, unreadable, latency, *ratios.values()

    def _by_window(self) -> Iterator[tuple[UpstreamHealth, str, Figures]]:
        for each in self.figures.upstreams:
            for window, found in each.windows.items():
                yield each, window, found

    def _first_pictures(self) -> Iterable[Metric]:
        accounts = GaugeMetricFamily(
            "plantain_new_accounts", "Accounts made within the window.", labels=["window", "has_picture"]
        )
        waits = GaugeMetricFamily(
            "plantain_first_picture_seconds",
            "From signing up to the first picture, of accounts made within the window.",
            labels=["window", "quantile"],
        )
        for window, found in self.figures.first_picture.items():
            accounts.add_metric([window, "yes"], found.with_picture)
            accounts.add_metric([window, "no"], found.accounts - found.with_picture)
            for quantile, seconds in (("0.5", found.p50_s), ("0.95", found.p95_s)):
                if seconds is not None:
                    waits.add_metric([window, quantile], seconds)
        return accounts, waits
