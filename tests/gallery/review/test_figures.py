"""The figures of the review, as the page and the metrics tell them."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from gallery.models import Reveal, Review
from gallery.review.figures import Exposure, RuleFigures, figures, quantile
from tests.gallery.review.desk import decide, make_pending, review_of

pytestmark = pytest.mark.django_db


def hit(rule, score=0.8):
    return {"rule": rule, "version": 2, "class": "spam", "start": 0, "end": 1, "score": score, "action": "flag"}


def wait_since(image, **ago):
    since = timezone.now() - timedelta(**ago)
    risk = review_of(image).risk
    due = since + (timedelta(hours=1) if risk >= 70 else timedelta(hours=24))
    Review.objects.filter(image=image).update(queued_at=since, due_at=due)


@pytest.fixture
def busy(alice, ines):
    """Decided after 1, 2 and 30 hours; two more wait, one of them too long."""
    for hours, verb, fields, hits in (
        (1, "reject", {"reason": "spam"}, [hit("ads")]),
        (2, "approve", {}, [hit("ads", 0.2), hit("brands", 0.2)]),
        (30, "approve", {}, []),
    ):
        image = make_pending(alice, rule_hits=hits)
        wait_since(image, hours=hours)
        decide(verb, ines, image, **fields)
    late, _ = make_pending(alice, rule_hits=[hit("ads")]), make_pending(alice)
    wait_since(late, hours=2)
    Reveal.objects.create(user=ines, review=review_of(late))
    Reveal.objects.create(user=ines, review=review_of(late), created_at=timezone.now() - timedelta(hours=2))
    taken_back = make_pending(alice)
    decide("approve", ines, taken_back)
    decide("undo", ines, taken_back)


def test_the_figures_are_exact(busy):
    found = figures()
    assert (found.waiting, found.waiting_high_risk, found.waiting_appeals, found.overdue) == (3, 1, 0, 1)
    assert 7200 <= found.oldest_s < 7260
    assert (found.decided, found.decided_late) == (3, 2), "one of high risk took more than an hour, one 30 hours"
    assert (round(found.p50_s / 3600), round(found.p90_s / 3600)) == (2, 30)
    assert found.rules == [
        RuleFigures(rule="ads v2", marked=2, upheld=1),
        RuleFigures(rule="brands v2", marked=1, upheld=0),
    ]
    assert found.exposure == [Exposure(reviewer="Ines", last_hour=1, last_day=2)]


def test_the_page_and_the_metrics_tell_the_same(busy, ines):
    client = Client()
    client.force_login(ines)
    page = client.get("/review/figures/").content.decode()
    for words in ("<dt>Pictures</dt><dd>3</dd>", "<dt>Longer than promised</dt><dd>1</dd>", "50 %", "Ines"):
        assert words in page
    cache.delete("metrics")
    text = client.get("/metrics").content.decode()
    for line in (
        "plantain_review_waiting 3.0",
        "plantain_review_overdue 1.0",
        "plantain_review_decisions 3.0",
        'plantain_review_rule_precision_ratio{rule="ads v2"} 0.5',
    ):
        assert line in text
    assert "Ines" not in text


def test_nothing_to_measure_is_told_as_nothing(db, ines):
    found = figures()
    assert (found.waiting, found.oldest_s, found.p50_s, found.rules, found.exposure) == (0, 0.0, None, [], [])


@pytest.mark.parametrize(("count", "half", "nine"), [(1, 1, 1), (2, 1, 2), (10, 5, 9), (11, 6, 10)])
def test_a_quantile_is_a_value_that_was_measured(count, half, nine):
    values = list(range(count, 0, -1))
    assert (quantile(values, 0.5), quantile(values, 0.9)) == (half, nine)
