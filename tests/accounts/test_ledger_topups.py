"""Money that comes by webhook, and corrections: what each moves, refuses and repeats."""

import pytest

from accounts import ledger
from accounts.audit import audit_ledger
from accounts.errors import IdempotencyMismatch, InsufficientCredit, InvalidInput
from accounts.ledger import Balance
from accounts.models import MAX_AMOUNT
from tests.accounts.money import columns, make_price, reserve

pytestmark = pytest.mark.django_db

CREDIT = 1_000_000  # what alice and bob begin with


@pytest.fixture(autouse=True)
def _audited(db):
    """Whatever a test did, the ledger is sound after it."""
    yield
    assert audit_ledger() == []


# --- Top-up --------------------------------------------------------------------------------------


def top_up(user, amount_micros=5, **fields):
    return ledger.top_up(
        user=user, amount_micros=amount_micros, **{"provider": "stripe", "event_id": "evt_1", **fields}
    )


def test_a_top_up_is_one_grant_for_each_event_of_a_provider(alice):
    first = top_up(alice)
    assert (first.key, first.code, first.actor) == ("topup:stripe:evt_1", "topup", "stripe")
    assert (first.debit.code, first.credit.owner, first.reason) == ("external", alice, "top-up by stripe")
    assert top_up(alice) == first
    assert top_up(alice, provider="paypal") != first
    assert ledger.balance_of(alice) == Balance(available=CREDIT + 10, held=0, spent=0)


@pytest.mark.parametrize("change", [{"amount_micros": 6}, {"user": "bob"}])
def test_an_event_that_comes_again_with_other_money_is_refused(alice, bob, change):
    top_up(alice)
    before = columns(alice), columns(bob)
    with pytest.raises(IdempotencyMismatch):
        top_up(**{"user": alice, **change, **({"user": bob} if "user" in change else {})})
    assert (columns(alice), columns(bob)) == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("provider", value) for value in ("", "Stripe", "a b", "x" * 31, "stripe:evt", "stripe\n", "é")),
        *(("event_id", value) for value in ("", "a b", "x" * 151, "a\0b", "evt\n", "évt")),
        *(("amount_micros", value) for value in (0, -5, 1.5, float("nan"), MAX_AMOUNT + 1, "5", True, None)),
    ],
)
def test_a_bad_top_up_is_refused_by_its_field_and_moves_nothing(alice, field, value):
    before = columns(alice)
    with pytest.raises(InvalidInput) as refusal:
        top_up(**{"user": alice, field: value})
    assert refusal.value.errors[0].field == field
    assert columns(alice) == before


# --- Adjustment ----------------------------------------------------------------------------------


def adjust(user, amount_micros, **fields):
    values = {"actor": "staff", "reason": "a mistake", "key": "a", **fields}
    return ledger.adjust(user=user, amount_micros=amount_micros, **values)


@pytest.mark.parametrize("amount", [5, -5])
def test_an_adjustment_corrects_what_is_available_and_not_what_was_spent(alice, amount):
    transfer = adjust(alice, amount, reference="job")
    accounts = {"external": transfer.debit.code, "wallet": transfer.credit.owner}
    if amount < 0:
        accounts = {"external": transfer.credit.code, "wallet": transfer.debit.owner}
    assert accounts == {"external": "external", "wallet": alice}
    assert (transfer.kind, transfer.code, transfer.amount_micros) == ("direct", "adjustment", 5)
    assert (transfer.actor, transfer.reason, transfer.reference) == ("staff", "a mistake", "job")
    assert ledger.balance_of(alice) == Balance(available=CREDIT + amount, held=0, spent=0)
    assert transfer.entries.get().posted_delta == amount
    assert adjust(alice, amount, reference="job") == transfer
    with pytest.raises(IdempotencyMismatch):
        adjust(alice, -amount, reference="job")


def test_an_adjustment_takes_no_more_than_is_available(alice):
    reserve(alice, make_price(), CREDIT - 10)
    before = columns(alice)
    with pytest.raises(InsufficientCredit) as refusal:
        adjust(alice, -11)
    assert (refusal.value.facts["available"], refusal.value.facts["required"]) == ("0.000010", "0.000011")
    assert columns(alice) == before
    adjust(alice, -10)
    assert ledger.balance_of(alice) == Balance(available=0, held=CREDIT - 10, spent=0)


@pytest.mark.parametrize("amount", [0, 0.5, float("nan"), float("inf"), "5", None, True, 2**53, -(2**53)])
def test_an_adjustment_by_no_whole_amount_is_refused(alice, amount):
    before = columns(alice)
    with pytest.raises(InvalidInput) as refusal:
        adjust(alice, amount)
    assert refusal.value.errors[0].field == "amount_micros"
    assert columns(alice) == before
