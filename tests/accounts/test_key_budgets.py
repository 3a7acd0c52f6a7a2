"""The budget of an API key, beside the wallet: exact in a race, and in the period it was taken from."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts import keys, ledger
from accounts.audit import audit_ledger
from accounts.errors import Conflict, InsufficientCredit, KeyBudgetExceeded
from accounts.ledger import Budget
from accounts.models import ApiKey, KeyBudget, Transfer
from tests.accounts.money import IMAGE, columns, grant, make_price, refund, reserve

pytestmark = pytest.mark.django_db

NOVEMBER, DECEMBER = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def price(db):
    return make_price(valid_from=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _audited(db):
    """Whatever a test did, the ledger is sound after it."""
    yield
    assert audit_ledger() == []


def make_key(user, limit=3 * IMAGE, period="total") -> ApiKey:
    return keys.create_key(user=user, budget_micros=limit, budget_period=period).api_key


def budget_of(key) -> Budget:
    return ledger.budgets_of([key])[key.pk]


@pytest.fixture
def clock(monkeypatch):
    def set_clock(at):
        monkeypatch.setattr(timezone, "now", lambda: at)

    return set_clock


def test_a_hold_is_taken_from_the_budget_and_from_the_wallet(alice, price):
    key = make_key(alice)
    hold = reserve(alice, price, api_key=key)
    assert hold.budget_id == f"key:{key.public_id}:total"
    assert budget_of(key) == Budget(limit=3 * IMAGE, period="total", held=IMAGE, spent=0, resets_at=None)
    assert ledger.balance_of(alice).held == IMAGE


def test_a_capture_spends_the_budget_and_gives_the_rest_of_the_hold_back(alice, price):
    key = make_key(alice)
    ledger.capture(hold=reserve(alice, price, 3 * IMAGE, api_key=key), amount_micros=IMAGE)
    assert (budget_of(key).held, budget_of(key).spent, budget_of(key).left) == (0, IMAGE, 2 * IMAGE)


def test_a_release_and_a_refund_give_the_budget_back(alice, price):
    key = make_key(alice)
    ledger.release(hold=reserve(alice, price, api_key=key), reason="failed")
    post = ledger.capture(hold=reserve(alice, price, api_key=key))
    refund(post, IMAGE - 1)
    assert (budget_of(key).held, budget_of(key).spent) == (0, 1)


def test_what_would_exceed_the_budget_is_refused_with_the_figures_and_touches_nothing(alice, price):
    key = make_key(alice)
    ledger.capture(hold=reserve(alice, price, api_key=key))
    reserve(alice, price, api_key=key)
    before, rows = columns(alice), Transfer.objects.count()
    with pytest.raises(KeyBudgetExceeded) as refusal:
        reserve(alice, price, IMAGE + 1, api_key=key)
    assert (refusal.value.status, refusal.value.code) == (402, "key_budget_exceeded")
    assert refusal.value.facts == {
        "limit": "0.174000",
        "spent": "0.058000",
        "held": "0.058000",
        "required": "0.058001",
        "resets_at": None,
    }
    assert (columns(alice), Transfer.objects.count()) == (before, rows)
    reserve(alice, price, IMAGE, api_key=key)
    assert budget_of(key).left == 0


def test_the_first_hold_over_the_budget_is_refused_too_and_leaves_no_row(alice, price):
    key = make_key(alice, IMAGE - 1)
    before = columns(alice)
    with pytest.raises(KeyBudgetExceeded):
        reserve(alice, price, api_key=key)
    assert columns(alice) == before
    assert not KeyBudget.objects.exists()


def test_a_wallet_that_has_too_little_holds_nothing_in_the_budget(alice, price):
    key = make_key(alice, 10_000_000)
    with pytest.raises(InsufficientCredit):
        reserve(alice, price, 2_000_000, api_key=key)
    assert budget_of(key).held == 0
    assert not KeyBudget.objects.exists()


def test_another_key_and_the_owner_without_a_key_are_not_bound_by_it(alice, price):
    key = make_key(alice, IMAGE)
    reserve(alice, price, api_key=key)
    reserve(alice, price, api_key=make_key(alice, IMAGE))
    reserve(alice, price)
    assert budget_of(key).held == IMAGE


def test_a_key_without_a_budget_costs_no_query(alice, price, django_assert_num_queries):
    key = keys.create_key(user=alice).api_key
    assert reserve(alice, price, api_key=key).budget_id is None
    with django_assert_num_queries(0):
        assert ledger.budgets_of([key]) == {}
    assert not KeyBudget.objects.exists()


def test_a_month_begins_again_and_what_comes_back_goes_to_the_month_it_was_taken_from(alice, price, clock):
    key = make_key(alice, 2 * IMAGE, "month")
    clock(NOVEMBER)
    late = reserve(alice, price, api_key=key)
    post = ledger.capture(hold=reserve(alice, price, api_key=key))
    with pytest.raises(KeyBudgetExceeded) as refusal:
        reserve(alice, price, api_key=key)
    assert refusal.value.facts["resets_at"] == "2026-12-01T00:00:00Z"
    clock(DECEMBER)
    reserve(alice, price, 2 * IMAGE, api_key=key)
    ledger.release(hold=late, reason="failed")
    refund(post, IMAGE)
    assert budget_of(key) == Budget(
        limit=2 * IMAGE, period="month", held=2 * IMAGE, spent=0, resets_at=datetime(2027, 1, 1, tzinfo=UTC)
    )
    november = KeyBudget.objects.get(pk=f"key:{key.public_id}:2026-11")
    assert (november.held_micros, november.spent_micros) == (0, 0)


def test_a_clock_that_goes_back_finds_the_earlier_month_as_it_was(alice, price, clock):
    key = make_key(alice, IMAGE, "month")
    for at in (DECEMBER, NOVEMBER):
        clock(at)
        reserve(alice, price, api_key=key)
    clock(DECEMBER + timedelta(days=1))
    with pytest.raises(KeyBudgetExceeded):
        reserve(alice, price, api_key=key)
    assert [row.held_micros for row in KeyBudget.objects.all()] == [IMAGE, IMAGE]


def test_a_budget_that_was_lowered_still_settles_what_is_held(alice, price):
    key = make_key(alice)
    hold = reserve(alice, price, 3 * IMAGE, api_key=key)
    key = keys.update_key(user=alice, key_id=key.public_id, budget_micros=1)
    assert (budget_of(key).held, budget_of(key).left) == (3 * IMAGE, 0)
    ledger.capture(hold=hold)
    assert budget_of(key).spent == 3 * IMAGE
    with pytest.raises(KeyBudgetExceeded):
        reserve(alice, price, 1, api_key=key)


def test_a_repeated_hold_takes_from_the_budget_once(alice, price):
    key = make_key(alice, IMAGE)
    hold = reserve(alice, price, api_key=key, key="h")
    assert reserve(alice, price, api_key=key, key="h") == hold
    assert budget_of(key).held == IMAGE


# --- Races ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("period", ["total", "month"])
def test_of_64_at_once_the_budget_lets_exactly_its_own_through(alice, price, race, period):
    key = make_key(alice, 10 * IMAGE, period)
    results = race(64, lambda index: reserve(alice, price, 1 + IMAGE // 2, api_key=key))
    # Nineteen of half a picture and a micro-dollar fit into ten pictures.
    assert Counter(type(result).__name__ for result in results) == {"KeyBudgetExceeded": 45, "Transfer": 19}
    wallet = ledger.balance_of(alice)
    assert budget_of(key).held == wallet.held == 19 * (1 + IMAGE // 2)


@pytest.mark.django_db(transaction=True)
def test_wallet_and_budget_are_exact_together_when_the_wallet_is_the_tighter_one(alice, price, race):
    key = make_key(alice, 60 * IMAGE)
    results = race(64, lambda index: reserve(alice, price, 100_000, api_key=key))
    assert Counter(type(result).__name__ for result in results) == {"InsufficientCredit": 54, "Transfer": 10}
    assert budget_of(key).held == ledger.balance_of(alice).held == 1_000_000


@pytest.mark.django_db(transaction=True)
def test_holds_captures_releases_and_refunds_of_one_key_at_once_lose_nothing(alice, price, race):
    grant(alice, 100 * IMAGE)
    key = make_key(alice, 64 * IMAGE)
    holds = [reserve(alice, price, api_key=key) for _ in range(24)]
    posts = [ledger.capture(hold=reserve(alice, price, api_key=key)) for _ in range(8)]

    def act(index):
        if index < 16:
            return reserve(alice, price, api_key=key)
        if index < 24:
            return refund(posts[index - 16], IMAGE)
        hold = holds[(index - 24) // 2]
        return ledger.capture(hold=hold) if index % 2 else ledger.release(hold=hold, reason="failed")

    results = race(64, act)
    unexpected = [r for r in results if not isinstance(r, Transfer | Conflict)]
    assert unexpected == []
    captured = Transfer.objects.filter(hold__in=holds, kind="post").count()
    assert (budget_of(key).held, budget_of(key).spent) == ((16 + 4) * IMAGE, captured * IMAGE)
