"""A short month of simulated use; the long one is `run.py bench month`."""

import pytest

from generations.audit import audit
from tests.generations import month_books
from tests.generations.month import Month

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_a_month_every_account_of_the_money_says_the_same():
    month = Month(people=5, pictures=120)
    with month.in_force():
        month.live()
        totals, (told, booked) = month.totals(), month.costs()
        assert audit() == []
    assert totals.is_even, totals
    assert totals.wallets > 0
    assert told == booked
    assert month.traces == []
    assert month_books.miscounted() == []
    # Were these not among what happened, the month would prove less than it says.
    happened = {"succeeded", "failed", "canceled", "retries", "refunds", "adjustments", "left lying"}
    refused = {
        *("insufficient_credit", "key_budget_exceeded", "quota_exceeded (images_per_day)"),
        *("quota_exceeded (key_images_per_day)", "quota_exceeded (images_per_month)"),
    }
    assert happened | {f"refused: {reason}" for reason in refused} <= set(month.counts), month.counts
    assert month_books.unseen() == set()
