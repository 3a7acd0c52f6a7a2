"""Many at once against the same money; `python3 run.py bench ledger` repeats it as often as is wanted."""

import uuid
from collections import Counter

import pytest

from accounts import ledger
from accounts.audit import audit_ledger
from accounts.ledger import Balance
from accounts.models import LedgerAccount, Plan, Transfer, User
from tests.accounts.money import IMAGE, grant, make_price, refund, reserve
from tests.accounts.spender import spend_together
from tests.conftest import alone_on_the_server
from tests.processes import child_environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

THREADS = 64


@pytest.fixture
def price(transactional_db):
    return make_price()


@pytest.fixture
def carol(transactional_db):
    """Somebody with an empty wallet; no account of the house exists yet."""
    carol = User.objects.create_user("carol@example.com", plan=Plan.objects.first())
    ledger.open_wallet(carol)
    return carol


def outcomes(results: list) -> Counter:
    return Counter(type(result).__name__ for result in results)


@pytest.mark.parametrize("money_for", [1, 32, 63])
def test_64_threads_get_exactly_as_many_holds_as_there_is_money(race, carol, price, money_for):
    grant(carol, money_for * IMAGE + IMAGE - 1)  # the change of almost one more picture must not buy one
    results = race(THREADS, lambda index: reserve(carol, price))
    assert outcomes(results) == {"Transfer": money_for, "InsufficientCredit": THREADS - money_for}
    assert ledger.balance_of(carol) == Balance(available=IMAGE - 1, held=money_for * IMAGE, spent=0)
    assert ledger.open_holds(carol).count() == money_for
    assert list(audit_ledger()) == []


def test_4_processes_of_16_threads_get_exactly_as_many_holds_as_there_is_money(carol, price, tmp_path):
    grant(carol, 40 * IMAGE)
    with alone_on_the_server():
        env = child_environment(tmp_path)
        spree = spend_together(carol, price, processes=4, threads=16, rounds=2, env=env)
    assert spree.outcomes == {"Transfer": 40, "InsufficientCredit": 4 * 16 * 2 - 40}
    assert ledger.balance_of(carol) == Balance(available=0, held=40 * IMAGE, spent=0)
    assert list(audit_ledger()) == []


def test_capture_and_release_race_to_one_resolution(race, alice, price):
    hold = reserve(alice, price)

    def resolve(index):
        return ledger.capture(hold=hold) if index % 2 else ledger.release(hold=hold, reason="failed")

    results = race(THREADS, resolve)
    assert outcomes(results) == {"Transfer": THREADS // 2, "Conflict": THREADS // 2}
    winner = Transfer.objects.get(hold=hold)
    assert {result for result in results if isinstance(result, Transfer)} == {winner}
    spent = IMAGE if winner.kind == Transfer.Kind.POST else 0
    assert ledger.balance_of(alice) == Balance(available=1_000_000 - spent, held=0, spent=spent)
    assert list(audit_ledger()) == []


def test_64_holds_with_one_key_are_one_hold(race, alice, price):
    results = race(THREADS, lambda index: reserve(alice, price, key="same"))
    assert outcomes(results) == {"Transfer": THREADS}
    assert set(results) == {ledger.open_holds(alice).get()}
    assert ledger.balance_of(alice).held == IMAGE
    assert list(audit_ledger()) == []


def test_64_grants_with_one_key_are_one_grant_even_when_the_house_has_no_account_yet(race, carol):
    assert not LedgerAccount.objects.filter(owner__isnull=True).exists()
    results = race(THREADS, lambda index: grant(carol, 5, key="same"))
    assert outcomes(results) == {"Transfer": THREADS}
    assert ledger.balance_of(carol).available == 5


def test_refunds_race_to_no_more_than_was_captured(race, alice, price):
    post = ledger.capture(hold=reserve(alice, price))
    third = IMAGE // 3 + 1
    results = race(THREADS, lambda index: refund(post, third, key=str(uuid.uuid4())))
    assert outcomes(results) == {"Transfer": 2, "Conflict": THREADS - 2}
    assert ledger.balance_of(alice).spent == IMAGE - 2 * third
    assert list(audit_ledger()) == []


def test_holds_captures_releases_and_grants_of_one_wallet_at_once_keep_every_invariant(race, carol, price):
    grant(carol, 20 * IMAGE)

    def live(index):
        hold = reserve(carol, price, reference=f"job-{index}")
        if index % 3 == 0:
            return ledger.release(hold=hold, reason="failed")
        return refund(ledger.capture(hold=hold), IMAGE)

    results = race(THREADS, live)
    assert set(outcomes(results)) <= {"Transfer", "InsufficientCredit"}
    assert ledger.balance_of(carol) == Balance(available=20 * IMAGE, held=0, spent=0)
    assert list(audit_ledger()) == []


def test_64_webhooks_of_one_event_are_one_top_up(race, carol):
    results = race(
        THREADS, lambda _: ledger.top_up(user=carol, amount_micros=5_000_000, provider="stripe", event_id="evt_1")
    )
    assert {result.pk for result in results} == {Transfer.objects.get(code="topup").pk}
    assert ledger.balance_of(carol) == Balance(available=5_000_000, held=0, spent=0)
    assert list(audit_ledger()) == []


def test_adjustments_and_holds_that_race_for_the_last_money_do_not_overdraw(race, carol, price):
    grant(carol, 10 * IMAGE)

    def take(index):
        if index % 2:
            return reserve(carol, price)
        return ledger.adjust(user=carol, amount_micros=-IMAGE, actor="staff", reason="mistake", key=f"adjust:{index}")

    assert outcomes(race(THREADS, take)) == {"Transfer": 10, "InsufficientCredit": THREADS - 10}
    assert ledger.balance_of(carol).available == 0
    assert list(audit_ledger()) == []
