"""A movement is of the same day in the statement, in the usage and in the transfers, also around midnight."""

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from unittest.mock import patch

import pytest

from accounts import ledger, statement
from accounts.models import Entry
from accounts.periods import Period
from accounts.usage import usage_of
from tests.accounts import money
from tests.people import make_person

pytestmark = pytest.mark.django_db

MIDNIGHT = datetime(2030, 5, 2, tzinfo=UTC)
DAYS = (date(2030, 5, 1), date(2030, 5, 2))
TICK = timedelta(seconds=1)


@contextmanager
def clock(*, starts_at, step=TICK):
    """Each look at the time is `step` after the one before."""
    now = starts_at - step

    class Ticking(datetime):
        @classmethod
        def now(cls, tz=None):
            nonlocal now
            now += step
            return now

    with patch("django.utils.timezone.datetime", Ticking):
        yield


def spent_by_statement(user, day):
    lines = statement.range_of(user, Period(start=day, end=day + timedelta(days=1)))
    changes = [line.posted_change for piece in statement.read_range(user, lines) for line in piece]
    return -sum(changes)


def spent_by_usage(user, day):
    return usage_of(user, Period(start=day, end=day + timedelta(days=1))).spent


@pytest.mark.parametrize("ticks", range(16))
def test_a_movement_across_midnight_is_of_one_day_everywhere(alice, ticks):
    price = money.make_price(valid_from=MIDNIGHT - timedelta(days=9))
    with clock(starts_at=MIDNIGHT - ticks * TICK):
        capture = ledger.capture(hold=money.reserve(alice, price))
        money.refund(capture, 8_000)
    days = [(spent_by_statement(alice, day), spent_by_usage(alice, day)) for day in DAYS]
    assert [by_statement for by_statement, _ in days] == [by_usage for _, by_usage in days]
    assert sum(spent for spent, _ in days) == money.IMAGE - 8_000
    for line in Entry.objects.select_related("transfer"):
        assert line.created_at == line.transfer.created_at


def test_a_machine_whose_clock_is_behind_does_not_write_into_yesterday(alice):
    price = money.make_price(valid_from=MIDNIGHT - timedelta(days=9))
    hold, late = money.reserve(alice, price), money.reserve(alice, price)
    with clock(starts_at=MIDNIGHT + TICK, step=timedelta()):
        first = ledger.capture(hold=hold)
    with clock(starts_at=MIDNIGHT - TICK, step=timedelta()):
        second = ledger.capture(hold=late)
    assert first.created_at < second.created_at <= MIDNIGHT + 2 * TICK
    assert [spent_by_statement(alice, day) for day in DAYS] == [0, 2 * money.IMAGE]
    assert [spent_by_usage(alice, day) for day in DAYS] == [0, 2 * money.IMAGE]


def test_a_clock_that_was_an_hour_ahead_dates_nothing_that_comes_after_it(alice):
    with clock(starts_at=MIDNIGHT + timedelta(hours=1), step=timedelta()):
        money.grant(alice, 1)
    with clock(starts_at=MIDNIGHT, step=timedelta()):
        assert money.grant(alice, 1).created_at == MIDNIGHT


def test_the_last_money_may_be_held_twice_by_one_key(db):
    carol, price = make_person("carol", credit_micros=money.IMAGE), money.make_price()
    first = money.reserve(carol, price, key="once")
    assert ledger.balance_of(carol).available == 0
    assert money.reserve(carol, price, key="once") == first
    assert ledger.balance_of(carol).held == money.IMAGE
