"""A plan's credit: once for each month in which it is held, whoever asks and however often."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group

from accounts import ledger, plans
from accounts.limits import plan_of
from accounts.models import GroupPlan, Plan, Transfer, User

pytestmark = pytest.mark.django_db

NOVEMBER = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
DECEMBER = NOVEMBER + timedelta(seconds=1)
CREDIT = 5_000_000


@pytest.fixture(autouse=True)
def _credit(db):
    Plan.objects.filter(name="free").update(monthly_credit_micros=CREDIT)


def refill(user, at=NOVEMBER):
    return plans.refill(user=user, plan=plan_of(user), at=at)


def refills(user):
    keys = Transfer.objects.filter(key__startswith=f"plan-credit:{user.public_id}:").order_by("key")
    return [(transfer.key[-7:], transfer.amount_micros) for transfer in keys]


def test_a_month_brings_its_credit_once_and_the_next_month_again(alice):
    before = ledger.balance_of(alice).available
    assert (refill(alice), refill(alice), refill(User.objects.get(pk=alice.pk))) == (True, False, False)
    assert refill(alice, DECEMBER)
    assert refills(alice) == [("2026-11", CREDIT), ("2026-12", CREDIT)]
    assert ledger.balance_of(alice).available == before + 2 * CREDIT
    assert Transfer.objects.get(key__endswith="2026-11").reason == "free plan, credit for 2026-11"


def test_months_that_nobody_asked_in_are_not_made_up_for(alice):
    refill(alice, DECEMBER)
    assert refills(alice) == [("2026-12", CREDIT)]


def test_a_clock_that_jumps_back_and_forth_over_the_month_grants_each_once(alice):
    for at in (DECEMBER, NOVEMBER, DECEMBER, NOVEMBER):
        refill(alice, at)
    assert refills(alice) == [("2026-11", CREDIT), ("2026-12", CREDIT)]


def test_another_plan_in_the_same_month_brings_no_second_credit(alice):
    refill(alice)
    Plan.objects.filter(name="standard").update(monthly_credit_micros=2 * CREDIT)
    User.objects.filter(pk=alice.pk).update(plan=Plan.objects.get(name="standard"), credited_month="")
    again = User.objects.get(pk=alice.pk)
    assert not refill(again)
    assert refills(alice) == [("2026-11", CREDIT)]
    assert refill(again, DECEMBER)
    assert refills(alice)[1] == ("2026-12", 2 * CREDIT)


def test_a_plan_without_credit_and_an_account_that_is_switched_off_get_none(alice, bob):
    User.objects.filter(pk=alice.pk).update(plan=Plan.objects.get(name="unlimited"))
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert not refill(User.objects.get(pk=alice.pk))
    assert not refill(User.objects.get(pk=bob.pk))
    assert plans.refill_due(at=NOVEMBER) == 0
    assert (refills(alice), refills(bob)) == ([], [])


def test_of_64_threads_one_grants(race, alice):
    before = ledger.balance_of(alice).available
    outcomes = race(64, lambda _: refill(User.objects.get(pk=alice.pk)))
    assert set(outcomes) <= {True, False}
    assert refills(alice) == [("2026-11", CREDIT)]
    assert ledger.balance_of(alice).available == before + CREDIT


def test_the_sweeper_grants_to_everybody_who_is_due_also_by_their_group(alice, bob, staff, monkeypatch):
    monkeypatch.setattr(plans, "BATCH", 1)
    club = Plan.objects.create(name="club", rank=90, monthly_credit_micros=7)
    group = Group.objects.create(name="club")
    GroupPlan.objects.create(group=group, plan=club)
    bob.groups.add(group)
    refill(alice)
    User.objects.filter(pk=staff.pk).update(plan=Plan.objects.get(name="unlimited"))
    assert plans.refill_due(at=NOVEMBER) == 1
    assert plans.refill_due(at=NOVEMBER) == 0
    assert (refills(alice), refills(bob), refills(staff)) == ([("2026-11", CREDIT)], [("2026-11", 7)], [])
