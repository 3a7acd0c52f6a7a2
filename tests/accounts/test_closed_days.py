"""Figures kept of days that are over equal the ledger, and the audit says so when they do not."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import call_command

from accounts import closed_days, ledger
from accounts.models import ClosedDay
from generations import sweeper
from generations.audit import audit
from generations.money_report import Period, report
from tests.accounts.money import IMAGE, grant, make_price, reserve

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 3)


def noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


@pytest.fixture
def sales(alice, at):
    """A grant on the first day, nothing on the second, a capture on the third and an open hold."""
    at(noon(FIRST))
    grant(alice, 10 * IMAGE)
    at(noon(LAST))
    price = make_price()
    ledger.capture(hold=reserve(alice, price))


def figures():
    found = report(Period(FIRST, LAST))
    return found.lines, found.total, found.account_revenue


def test_the_report_is_the_same_before_and_after_the_days_are_kept(sales):
    before = figures()
    assert before[1].revenue == before[2] == IMAGE
    assert closed_days.close_due(noon(LAST + timedelta(days=1))) == 3
    assert [row.day.day for row in ClosedDay.objects.order_by("day")] == [1, 2, 3]
    assert figures() == before
    assert closed_days.close_due(noon(LAST + timedelta(days=1))) == 0


def test_a_day_is_kept_an_hour_after_its_end(sales):
    midnight = datetime(2026, 3, 4, tzinfo=UTC)
    assert closed_days.close_due(midnight + timedelta(minutes=59)) == 2
    assert closed_days.close_due(midnight + timedelta(minutes=60)) == 1


def test_a_long_history_is_kept_in_pieces_by_the_sweeper(sales):
    assert sweeper.sweep().days_closed == closed_days.BATCH
    assert ClosedDay.objects.count() == closed_days.BATCH


def test_nothing_is_kept_of_an_empty_ledger(db):
    assert closed_days.close_due(noon(LAST)) == 0


def test_a_kept_day_is_not_read_from_the_ledger_again(sales, monkeypatch):
    before = figures()
    closed_days.close_due(noon(LAST + timedelta(days=1)))
    asked = []
    monkeypatch.setattr("accounts.ledger.house_flows", lambda kinds, days: asked.extend(days) or [])
    assert figures() == before
    assert asked == []


@pytest.mark.parametrize("field", ["flows", "revenue_micros"])
def test_the_audit_names_a_day_that_is_not_the_ledgers_and_a_rebuild_mends_it(sales, field):
    before = figures()
    closed_days.close_due(noon(LAST + timedelta(days=1)))
    assert list(closed_days.wrong_days()) == []
    row = ClosedDay.objects.get(day=LAST)
    if field == "flows":
        row.flows[0][7] += 1
    else:
        row.revenue_micros += 1
    row.save()
    assert [(found.name, found.detail) for found in audit() if "closed" in found.name] == [
        ("closed_day_is_not_the_ledger", "2026-03-03")
    ]
    assert figures() != before
    call_command("rebuilddays")
    assert list(closed_days.wrong_days()) == []
    assert figures() == before
