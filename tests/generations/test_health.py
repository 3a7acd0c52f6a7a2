"""The figures of the upstreams: exact counts, percentiles, windows, and the same few queries however much there is."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from generations import health
from generations.models import Attempt, Generation
from generations.providers import breaker
from tests.generations.fakes import picture, png, reply

pytestmark = pytest.mark.django_db

MODEL = "gemini-3.1-flash-image-preview"


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.delete_many(["health", "health:30d", "metrics"])


@pytest.fixture
def calls(alice, submit):
    """Write down calls as they would have ended, `ago` before now."""
    generation = submit(alice)

    def write(outcome="ok", *, count=1, elapsed_ms=8000, ago=timedelta(minutes=5), upstream="wisgate", **fields):
        number = generation.attempts.count()
        for step in range(count):
            Attempt.objects.create(
                generation=generation,
                run=1,
                number=number + step + 1,
                fence=1,
                upstream=upstream,
                upstream_model=MODEL,
                outcome=outcome,
                elapsed_ms=elapsed_ms,
                sent_at=timezone.now() - ago,
                **fields,
            )

    return write


def of(figures, upstream="wisgate", model=MODEL):
    return next(each for each in figures.upstreams if (each.upstream, each.model) == (upstream, model))


def test_without_a_call_every_configured_upstream_is_there_with_nothing_to_measure():
    found = health.measure()
    assert {(each.upstream, each.model) for each in found.upstreams} >= {("wisgate", MODEL), ("wisgate-chat", MODEL)}
    figures = of(found).windows["24h"]
    assert (figures.calls, figures.success_rate, figures.p50_ms, figures.p95_ms) == (0, None, None, None)
    assert (figures.promise_rate, figures.shape_rate, figures.size_rate) == (None, None, None)
    assert of(found).breaker == "closed"


def test_calls_are_counted_by_outcome_and_window(calls):
    calls("ok", count=3)
    calls("partial")
    calls("unknown", elapsed_ms=None)
    calls("blocked", ago=timedelta(hours=2))
    calls("malformed", ago=timedelta(days=3))
    calls("truncated", ago=timedelta(days=31))
    windows = of(health.measure()).windows
    assert windows["1h"].outcomes == {"ok": 3, "partial": 1, "unknown": 1}
    assert windows["24h"].outcomes == {"ok": 3, "partial": 1, "unknown": 1, "blocked": 1}
    assert windows["30d"].outcomes == {"ok": 3, "partial": 1, "unknown": 1, "blocked": 1, "malformed": 1}
    assert windows["1h"].success_rate == 4 / 5
    assert [windows[name].unreadable for name in health.WINDOWS] == [0, 0, 1]


def test_latency_is_of_pictures_only_and_by_nearest_rank(calls):
    for second in range(1, 21):
        calls("ok", elapsed_ms=second * 1000)
    calls("unknown", elapsed_ms=60_000, count=5)
    figures = of(health.measure()).windows["1h"]
    assert (figures.p50_ms, figures.p95_ms) == (10_000, 19_000)
    assert figures.promise_rate == 19 / 20  # 20.0 s is not less than 20 s


def test_calls_under_way_are_in_flight_and_not_among_the_ended(calls):
    calls(Attempt.SENT, count=2, elapsed_ms=None)
    found = of(health.measure())
    assert (found.in_flight, found.windows["1h"].calls) == (2, 0)


def test_upstreams_do_not_mix(calls):
    calls("ok")
    calls("unknown", upstream="wisgate-chat")
    found = health.measure()
    assert of(found).windows["1h"].outcomes == {"ok": 1}
    assert of(found, "wisgate-chat").windows["1h"].outcomes == {"unknown": 1}


def test_the_breaker_is_told():
    for _ in range(settings.UPSTREAM_BREAKER_FAILURES):
        breaker.record(breaker.admit("wisgate", MODEL), "unavailable")
    assert of(health.measure()).breaker == "open"


def test_the_chart_has_24_hours_the_last_one_at_the_end(calls):
    calls("ok", count=2, elapsed_ms=4000)
    calls("unknown", ago=timedelta(minutes=90))
    hours = of(health.measure()).hours
    assert len(hours) == 24
    assert (hours[-1].calls, hours[-1].succeeded, hours[-1].mean_ms) == (2, 2, 4000)
    assert (hours[-2].calls, hours[-2].succeeded, hours[-2].mean_ms) == (1, 0, None)
    assert sum(hour.calls for hour in hours) == 3


@pytest.mark.django_db(transaction=True)
def test_honoured_pictures_are_counted_where_the_call_is_concluded(alice, upstream, submit, work):
    upstream.says(reply(picture(png(size=(1024, 1024)))))
    work(submit(alice))
    upstream.says(reply(picture(png(size=(640, 320)))))
    work(submit(alice))
    figures = of(health.measure()).windows["1h"]
    assert (figures.pictures, figures.shape_honoured, figures.size_honoured) == (2, 1, 1)
    assert (figures.shape_rate, figures.size_rate) == (0.5, 0.5)


@pytest.mark.django_db(transaction=True)
def test_the_time_to_the_first_picture_is_from_signing_up(alice, bob, upstream, submit, work):
    first, second = work(submit(alice)), work(submit(alice))
    joined = timezone.now() - timedelta(hours=2)
    User.objects.filter(pk=alice.pk).update(created_at=joined)
    Generation.objects.filter(pk=first.pk).update(finished_at=joined + timedelta(seconds=90))
    Generation.objects.filter(pk=second.pk).update(finished_at=joined + timedelta(seconds=9))
    found = health.measure().first_picture
    assert (found["24h"].accounts, found["24h"].with_picture) == (2, 1)
    assert (found["24h"].p50_s, found["24h"].p95_s) == (90.0, 90.0)
    assert (found["1h"].accounts, found["1h"].with_picture, found["1h"].p50_s) == (1, 0, None)


def test_the_queue_and_the_uncertain_costs_are_told(alice, submit, calls):
    calls("unknown", cost_verdict="open", cost_micros=58_000)
    found = health.measure()
    assert (found.queued, found.running) == (1, 0)
    assert (found.uncertain_calls, found.uncertain_micros) == (1, 58_000)


def queries(work):
    cache.delete_many(["health", "health:30d"])
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def test_the_number_of_queries_is_the_same_however_much_there_is(calls):
    few = queries(health.measure)
    for outcome in ("ok", "unknown", "blocked"):
        for upstream in ("wisgate", "wisgate-chat", "another"):
            calls(outcome, upstream=upstream, count=3)
    assert queries(health.measure) == few == 7


def test_the_figures_are_kept_for_a_moment(calls):
    health.health()
    assert queries_of_health() == 0


def queries_of_health():
    with CaptureQueriesContext(connection) as captured:
        health.health()
    return len(captured)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the plan is read in SQLite's words")
@pytest.mark.parametrize("query", ["_day", "_month"])
def test_the_windows_are_read_from_an_index_alone(query, calls):
    calls("ok", count=5)
    with CaptureQueriesContext(connection) as captured:
        list(getattr(health, query)(timezone.now()))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {captured[0]['sql']}")
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "attempt_health" in plan
