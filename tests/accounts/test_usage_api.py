"""GET account/usage: pictures and money by day and model, from the ledger alone."""

from datetime import UTC, datetime

import pytest

from accounts import ledger
from accounts.models import Transfer
from accounts.periods import parse_period
from accounts.usage import usage_of
from tests.accounts import money
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/account/usage"


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


@pytest.fixture
def history(alice, guards_off):
    """Three of four pictures of one model and one of another on 30 October; on 1 November 1 cent of it comes back."""
    small, large = money.make_price(), money.make_price(134_000, model="pro", size="4K")
    capture = ledger.capture(hold=money.reserve(alice, small, 4 * money.IMAGE), amount_micros=3 * money.IMAGE)
    ledger.capture(hold=money.reserve(alice, large, 134_000))
    ledger.release(hold=money.reserve(alice, small), reason="failed")
    money.refund(capture, 10_000)
    with guards_off():
        Transfer.objects.update(created_at=datetime(2026, 10, 30, 23, 30, tzinfo=UTC))
        Transfer.objects.filter(code="refund").update(created_at=datetime(2026, 11, 1, tzinfo=UTC))


def test_days_and_models_and_their_sums(api, alice, history):
    body = api.get(PATH, {"from": "2026-10-01", "to": "2026-11-30"}).json()
    assert body == {
        "period": {"from": "2026-10-01", "to": "2026-11-30", "time_zone": "UTC"},
        "pictures": 4,
        "spent": "0.298000",
        "spent_micros": 298_000,
        "currency": "USD",
        "days": [
            day("2026-10-30", "m", 3, "0.174000", 174_000),
            day("2026-10-30", "pro", 1, "0.134000", 134_000),
            day("2026-11-01", "m", 0, "-0.010000", -10_000),
        ],
    }
    assert body["spent_micros"] == ledger.balance_of(alice).spent


def day(date, model, pictures, spent, micros):
    return {"day": date, "model": model, "unit": "image", "pictures": pictures, "spent": spent, "spent_micros": micros}


def test_days_are_those_of_the_zone(api, history):
    body = api.get(PATH, {"month": "2026-10", "time_zone": "Europe/Berlin"}).json()
    assert [(row["day"], row["pictures"]) for row in body["days"]] == [("2026-10-31", 3), ("2026-10-31", 1)]


def test_without_a_period_it_is_the_last_30_days(api, alice):
    ledger.capture(hold=money.reserve(alice, money.make_price()))
    body = api.get(PATH).json()
    assert (body["pictures"], body["spent"], len(body["days"])) == (1, "0.058000", 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2024-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "2024-01-01"}, "from"),
        ({"month": "x"}, "month"),
        ({"model": "m"}, "model"),
    ],
)
def test_what_it_cannot_answer_is_refused_by_name(api, query, field):
    response = api.get(PATH, query)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_usage_is_its_owners_alone_and_needs_the_scope(history, bob_key, alice, stranger):
    assert client_with(bob_key).get(PATH, {"month": "2026-10"}).json()["pictures"] == 0
    assert client_with(make_key(alice, "read", "generate")).get(PATH).status_code == 403
    assert stranger.get(PATH).status_code == 401


def test_it_costs_the_same_queries_whatever_there_is(api, alice, django_assert_num_queries):
    api.get(PATH)
    for _ in range(2):
        ledger.capture(hold=money.reserve(alice, money.make_price()))
        with django_assert_num_queries(2):  # the key and its user; the sums
            api.get(PATH)


def test_movements_without_pictures_are_not_in_it_and_the_rest_is_what_was_spent(alice, bob, guards_off):
    """Days of 23 and 25 hours too: every movement is on one day, whatever the zone does."""
    price = money.make_price()
    moments = [datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC)]
    moments += [datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)]
    ledger.adjust(user=alice, amount_micros=-1_000, actor="staff", reason="a correction", key="correction")
    captures = [ledger.capture(hold=money.reserve(alice, price)) for _ in moments]
    with guards_off():
        for capture, moment in zip(captures, moments, strict=True):
            Transfer.objects.filter(pk=capture.pk).update(created_at=moment)
    ledger.capture(hold=money.reserve(bob, price))
    found = usage_of(alice, parse_period(month="2026-03", time_zone="Europe/Berlin"))
    assert [(row.day.day, row.pictures) for row in found.days] == [(29, 3), (30, 1)]
    assert found.spent == ledger.balance_of(alice).spent == 4 * money.IMAGE
    assert usage_of(alice, parse_period(month="2026-03")).pictures == 4
