"""The verbs one at a time: what each moves, refuses and repeats."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts import ledger
from accounts.audit import audit_ledger
from accounts.errors import (
    Conflict,
    IdempotencyMismatch,
    InsufficientCredit,
    InvalidInput,
    PriceUnknown,
    ServiceUnavailable,
)
from accounts.ledger import Balance
from accounts.models import MAX_AMOUNT, Entry, LedgerAccount, Price, Transfer, User
from tests.accounts.money import IMAGE, columns, grant, make_price, refund, reserve

pytestmark = pytest.mark.django_db

CREDIT = 1_000_000  # what alice and bob begin with


@pytest.fixture
def price(db):
    return make_price()


@pytest.fixture(autouse=True)
def _audited(db):
    """Whatever a test did, the ledger is sound after it."""
    yield
    assert list(audit_ledger()) == []


# --- Grant ---------------------------------------------------------------------------------------


def test_a_grant_moves_money_from_outside_into_the_wallet(alice):
    transfer = ledger.grant(user=alice, amount_micros=5, reason="gift", key="g", actor="staff-1", code="topup")
    assert (transfer.kind, transfer.debit.code, transfer.credit.owner) == ("direct", "external", alice)
    assert (transfer.amount_micros, transfer.actor, transfer.reason, transfer.code) == (5, "staff-1", "gift", "topup")
    assert ledger.balance_of(alice) == Balance(available=CREDIT + 5, held=0, spent=0)


def test_a_line_of_the_statement_tells_the_change_and_the_balance_after_it(alice):
    line = grant(alice, 5).entries.get()
    assert (line.account.owner, line.version, line.posted_delta, line.pending_delta) == (alice, 2, 5, 0)
    assert (line.posted_after, line.pending_after) == (CREDIT + 5, 0)


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1, 1.0, "1", None])
def test_an_amount_that_is_no_count_of_micro_dollars_is_refused(alice, amount):
    before = columns(alice)
    with pytest.raises(InvalidInput) as refusal:
        grant(alice, amount)
    assert refusal.value.errors[0].field == "amount_micros"
    assert columns(alice) == before


def test_a_wallet_never_holds_more_than_json_can_count(alice):
    before = columns(alice)
    with pytest.raises(InvalidInput):
        grant(alice, MAX_AMOUNT)
    assert columns(alice) == before
    assert Transfer.objects.count() == 1


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "a\0b"])
def test_a_grant_needs_a_reason_that_can_be_stored(alice, reason):
    with pytest.raises(InvalidInput) as refusal:
        grant(alice, 5, reason=reason)
    assert refusal.value.errors[0].field == "reason"
    assert ledger.balance_of(alice).available == CREDIT


def test_a_user_without_a_wallet_has_nothing_and_gets_one_with_the_first_money(alice):
    carol = User.objects.create_user("carol@example.com", plan=alice.plan)
    assert ledger.balance_of(carol) == Balance(available=0, held=0, spent=0)
    grant(carol, 7)
    assert ledger.balance_of(carol) == Balance(available=7, held=0, spent=0)


def test_opening_a_wallet_twice_gives_the_same_one(alice):
    wallet = ledger.open_wallet(alice)
    assert wallet == ledger.open_wallet(alice)
    assert (wallet.kind, wallet.floor, wallet.is_tracked) == ("wallet", 0, True)
    assert wallet.code == f"wallet:{alice.public_id}"


# --- Reserve -------------------------------------------------------------------------------------


def test_a_hold_takes_from_what_is_available_and_is_not_spent(alice, price):
    hold = reserve(alice, price)
    assert (hold.kind, hold.code, hold.debit.owner, hold.credit.code) == ("pending", "hold", alice, "revenue")
    assert (hold.price, hold.reference) == (price, "job")
    assert ledger.balance_of(alice) == Balance(available=CREDIT - IMAGE, held=IMAGE, spent=0)


def test_the_whole_balance_can_be_held_and_not_a_micro_dollar_more(alice, price):
    reserve(alice, price, CREDIT)
    before = columns(alice)
    with pytest.raises(InsufficientCredit) as refusal:
        reserve(alice, price, 1)
    assert refusal.value.facts == {"available": "0.000000", "required": "0.000001", "held": "1.000000"}
    assert columns(alice) == before
    assert Transfer.objects.holds().count() == 1
    assert Entry.objects.filter(account__owner=alice).count() == 2


def test_a_refused_hold_leaves_the_callers_transaction_usable(alice, price):
    with transaction.atomic():
        with pytest.raises(InsufficientCredit):
            reserve(alice, price, CREDIT + 1)
        reserve(alice, price, CREDIT)
    assert ledger.balance_of(alice).held == CREDIT


def test_the_constraint_behind_the_condition_is_insufficient_credit_too(alice, price, monkeypatch):
    from django.db.models import Q

    monkeypatch.setattr("accounts.ledger.writing._has_room", lambda effect: Q())
    before = columns(alice)
    with pytest.raises(InsufficientCredit) as refusal:
        reserve(alice, price, CREDIT + 1)
    assert refusal.value.facts["required"] == "1.000001"
    assert columns(alice) == before


def test_another_users_money_is_not_touched(alice, bob, price):
    reserve(alice, price)
    assert ledger.balance_of(bob) == Balance(available=CREDIT, held=0, spent=0)
    assert not ledger.open_holds(bob).exists()


@pytest.mark.django_db(transaction=True)
def test_a_hold_outside_a_transaction_is_a_bug_that_is_told(alice, price):
    with pytest.raises(AssertionError, match="outside a transaction"):
        ledger.reserve(user=alice, amount_micros=1, reference="job", key="k", price=price, expires_at=timezone.now())
    assert not Transfer.objects.holds().exists()


# --- Capture and release -------------------------------------------------------------------------


def test_a_capture_spends_the_hold(alice, price):
    hold = reserve(alice, price)
    post = ledger.capture(hold=hold)
    assert (post.kind, post.hold, post.amount_micros, post.reference) == ("post", hold, IMAGE, "job")
    assert ledger.balance_of(alice) == Balance(available=CREDIT - IMAGE, held=0, spent=IMAGE)
    assert not ledger.open_holds(alice).exists()


def test_a_capture_of_a_part_gives_the_rest_back_at_once(alice, price):
    post = ledger.capture(hold=reserve(alice, price, 4 * IMAGE), amount_micros=3 * IMAGE)
    assert post.amount_micros == 3 * IMAGE
    assert ledger.balance_of(alice) == Balance(available=CREDIT - 3 * IMAGE, held=0, spent=3 * IMAGE)
    line = post.entries.get()
    assert (line.posted_delta, line.pending_delta) == (-3 * IMAGE, -4 * IMAGE)


@pytest.mark.parametrize("amount", [0, -1, IMAGE + 1])
def test_a_capture_of_nothing_or_of_more_than_the_hold_is_refused(alice, price, amount):
    hold = reserve(alice, price)
    before = columns(alice)
    with pytest.raises(InvalidInput):
        ledger.capture(hold=hold, amount_micros=amount)
    assert columns(alice) == before
    assert ledger.open_holds(alice).get() == hold


def test_a_release_gives_everything_back(alice, price):
    hold = reserve(alice, price)
    void = ledger.release(hold=hold, reason="failed")
    assert (void.kind, void.hold, void.amount_micros, void.reason) == ("void", hold, 0, "failed")
    assert ledger.balance_of(alice) == Balance(available=CREDIT, held=0, spent=0)


def test_a_second_capture_or_release_is_the_first_one_again(alice, price):
    captured, released = reserve(alice, price), reserve(alice, price)
    post, void = ledger.capture(hold=captured), ledger.release(hold=released, reason="failed")
    before = columns(alice)
    assert ledger.capture(hold=captured) == post
    assert ledger.release(hold=released, reason="expired") == void
    assert columns(alice) == before


def test_a_hold_is_resolved_once_and_in_one_way(alice, price):
    captured, released = reserve(alice, price), reserve(alice, price)
    ledger.capture(hold=captured)
    ledger.release(hold=released, reason="failed")
    before = columns(alice)
    with pytest.raises(Conflict, match="already captured"):
        ledger.release(hold=captured, reason="late")
    with pytest.raises(Conflict, match="already released"):
        ledger.capture(hold=released)
    with pytest.raises(IdempotencyMismatch):
        ledger.capture(hold=captured, amount_micros=1)
    assert columns(alice) == before
    assert Transfer.objects.filter(hold__isnull=False).count() == 2


def test_only_a_hold_can_be_captured_or_released(alice, price):
    post = ledger.capture(hold=reserve(alice, price))
    before = columns(alice)
    with pytest.raises(Conflict, match="Only a hold"):
        ledger.capture(hold=post)
    with pytest.raises(Conflict, match="Only a hold"):
        ledger.release(hold=grant(alice, 1), reason="no")
    assert columns(alice)["debits_posted"] == before["debits_posted"]


def test_a_new_price_between_hold_and_capture_changes_nothing_for_the_hold(alice, price):
    hold = reserve(alice, price)
    dearer = make_price(2 * IMAGE)
    post = ledger.capture(hold=hold)
    assert (post.amount_micros, post.price) == (IMAGE, price)
    assert ledger.current_price(model="m", size="1K") == dearer


def test_a_price_that_starts_before_a_hold_was_captured_changes_nothing_that_was_sold(alice, price):
    hold = reserve(alice, price)
    post = ledger.capture(hold=reserve(alice, price))
    backdated = make_price(3 * IMAGE, valid_from=price.valid_from - timedelta(days=1), cost_micros=1)
    assert ledger.current_price(model="m", size="1K") == price
    assert ledger.current_price(model="m", size="1K", at=price.valid_from - timedelta(hours=1)) == backdated
    assert ledger.capture(hold=hold).amount_micros == IMAGE
    post.refresh_from_db()
    assert (post.amount_micros, post.price) == (IMAGE, price)


# --- Refund --------------------------------------------------------------------------------------


def test_a_refund_is_a_new_transfer_back_that_names_the_capture(alice, price):
    post = ledger.capture(hold=reserve(alice, price))
    back = refund(post, IMAGE, actor="staff-1", reason="the picture was empty")
    assert (back.kind, back.debit, back.credit.owner) == ("direct", post.credit, alice)
    assert (back.refunds, back.actor, back.reason) == (post, "staff-1", "the picture was empty")
    assert ledger.balance_of(alice) == Balance(available=CREDIT, held=0, spent=0)


def test_refunds_in_parts_stop_at_what_was_captured(alice, price):
    post = ledger.capture(hold=reserve(alice, price))
    refund(post, IMAGE - 1)
    before = columns(alice)
    with pytest.raises(Conflict, match=r"Of 0\.058000 USD captured, 0\.057999 USD is refunded already"):
        refund(post, 2)
    assert columns(alice) == before
    refund(post, 1)
    assert ledger.balance_of(alice).spent == 0


def test_a_refund_repeated_with_its_key_pays_once(alice, price):
    post = ledger.capture(hold=reserve(alice, price))
    first = refund(post, IMAGE, key="r")
    assert refund(post, IMAGE, key="r") == first
    assert ledger.balance_of(alice).available == CREDIT
    with pytest.raises(IdempotencyMismatch):
        refund(post, IMAGE - 1, key="r")


def test_only_a_capture_can_be_refunded(alice, price):
    hold = reserve(alice, price)
    for transfer in (hold, ledger.release(hold=hold, reason="failed"), grant(alice, 5)):
        with pytest.raises(Conflict, match="Only a capture"):
            refund(transfer, 1)
    assert ledger.balance_of(alice).available == CREDIT + 5


# --- Costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_certain", "account"), [(True, "expense"), (False, "suspense")])
def test_a_cost_touches_no_wallet(alice, price, is_certain, account):
    before = columns(alice)
    cost = ledger.record_cost(amount_micros=30_000, reference="job", key="cost:1", price=price, is_certain=is_certain)
    assert (cost.debit.code, cost.credit.code, cost.amount_micros) == ("provider", account, 30_000)
    assert columns(alice) == before
    assert not cost.entries.exists()


def test_cost_and_margin_of_a_job_are_found_by_its_reference(alice, price):
    ledger.capture(hold=reserve(alice, price, reference="job-7"))
    ledger.record_cost(amount_micros=30_000, reference="job-7", key="cost:7", price=price, is_certain=True)
    amounts = dict(Transfer.objects.filter(reference="job-7").values_list("code", "amount_micros"))
    assert amounts == {"hold": IMAGE, "capture": IMAGE, "cost": 30_000}


# --- Keys ----------------------------------------------------------------------------------------


def test_the_same_key_with_the_same_money_is_the_same_transfer(alice, price):
    first = grant(alice, 5, key="g")
    assert grant(alice, 5, key="g", reason="told otherwise") == first
    hold = reserve(alice, price, key="h")
    assert reserve(alice, price, key="h", expires_at=timezone.now()) == hold
    assert ledger.balance_of(alice) == Balance(available=CREDIT + 5 - IMAGE, held=IMAGE, spent=0)


def test_a_replay_is_answered_even_when_the_money_is_gone(alice, price):
    hold = reserve(alice, price, CREDIT, key="h")
    assert reserve(alice, price, CREDIT, key="h") == hold


@pytest.mark.parametrize("change", [{"amount_micros": 6}, {"user": "bob"}, {"code": "topup"}])
def test_the_same_key_with_other_money_is_refused(alice, bob, change):
    request = {"user": alice, "amount_micros": 5, "reason": "gift", "key": "g"}
    ledger.grant(**request)
    before = columns(alice), columns(bob)
    with pytest.raises(IdempotencyMismatch):
        ledger.grant(**{**request, **change, **({"user": bob} if "user" in change else {})})
    assert (columns(alice), columns(bob)) == before


# --- Holds in time -------------------------------------------------------------------------------


def test_expired_holds_are_the_open_ones_whose_time_has_come(alice, price):
    now = timezone.now()
    past, future = now - timedelta(seconds=1), now + timedelta(seconds=1)
    expired = reserve(alice, price, 1, expires_at=past)
    older = reserve(alice, price, 2, expires_at=past - timedelta(hours=1))
    reserve(alice, price, 3, expires_at=future)
    ledger.release(hold=reserve(alice, price, 4, expires_at=past), reason="failed")
    assert list(ledger.expired_holds(now)) == [older, expired]
    assert list(ledger.expired_holds(now, since=past)) == [expired]
    assert set(ledger.open_holds(alice).values_list("amount_micros", flat=True)) == {1, 2, 3}


# --- Prices --------------------------------------------------------------------------------------


def test_the_current_price_is_the_newest_that_has_begun(db):
    now = timezone.now()
    make_price(1, valid_from=now - timedelta(days=2))
    current = make_price(2, valid_from=now - timedelta(days=1))
    future = make_price(3, valid_from=now + timedelta(days=1))
    make_price(4, valid_from=now - timedelta(hours=1), size="4K")
    assert ledger.current_price(model="m", size="1K") == current
    assert ledger.current_price(model="m", size="1K", at=future.valid_from) == future


def test_in_force_is_one_price_of_each_thing_that_is_sold(db):
    now = timezone.now()
    make_price(1, valid_from=now - timedelta(days=2))
    current = make_price(2, valid_from=now - timedelta(days=1))
    make_price(3, valid_from=now + timedelta(days=1))
    clip = make_price(4, valid_from=now - timedelta(days=1), unit="video")
    make_price(5, valid_from=now - timedelta(days=2), size="2K")
    make_price(5, valid_from=now - timedelta(days=1), size="2K", is_offered=False)
    assert set(Price.objects.in_force(now).filter(model="m")) == {current, clip}


@pytest.mark.parametrize("question", [{"model": "other"}, {"size": "2K"}, {"unit": "second"}])
def test_what_has_no_price_cannot_be_sold(price, question):
    with pytest.raises(PriceUnknown) as refusal:
        ledger.current_price(**{"model": "m", "size": "1K", **question})
    assert (refusal.value.status, refusal.value.code) == (503, "price_unknown")


def test_a_price_that_begins_tomorrow_is_no_price_today(db):
    make_price(valid_from=timezone.now() + timedelta(days=1))
    with pytest.raises(PriceUnknown):
        ledger.current_price(model="m", size="1K")


# --- Fail closed ---------------------------------------------------------------------------------


VERBS = {
    "grant": lambda alice, price, hold, post: grant(alice, 5),
    "reserve": lambda alice, price, hold, post: reserve(alice, price),
    "capture": lambda alice, price, hold, post: ledger.capture(hold=hold),
    "release": lambda alice, price, hold, post: ledger.release(hold=hold, reason="failed"),
    "refund": lambda alice, price, hold, post: refund(post, 1),
    "record_cost": lambda alice, price, hold, post: ledger.record_cost(
        amount_micros=1, reference="job", key="c", price=price, is_certain=True
    ),
    "balance_of": lambda alice, price, hold, post: ledger.balance_of(alice),
    "current_price": lambda alice, price, hold, post: ledger.current_price(model="m", size="1K"),
    "open_wallet": lambda alice, price, hold, post: ledger.open_wallet(alice),
}


@pytest.mark.parametrize(
    ("verb", "statement"),
    [(verb, "SELECT") for verb in VERBS]
    + [(verb, "INSERT") for verb in ("grant", "reserve", "capture", "release", "refund", "record_cost")]
    + [(verb, "UPDATE") for verb in ("grant", "reserve", "capture", "release", "refund")],
)
def test_a_database_that_fails_at_any_statement_refuses_the_verb_and_leaves_nothing_half(alice, price, verb, statement):
    hold, post = reserve(alice, price), ledger.capture(hold=reserve(alice, price))
    before = columns(alice), Transfer.objects.count(), Entry.objects.count()

    def fail(execute, sql, params, many, context):
        if sql.startswith(statement):
            raise OperationalError("the server closed the connection")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(ServiceUnavailable) as refusal:
        VERBS[verb](alice, price, hold, post)
    assert refusal.value.status == 503
    assert (columns(alice), Transfer.objects.count(), Entry.objects.count()) == before


def test_the_accounts_of_the_house_carry_no_balance(alice, price):
    refund(ledger.capture(hold=reserve(alice, price)), 1)
    house = LedgerAccount.objects.filter(owner__isnull=True)
    assert set(house.values_list("code", "is_tracked", "version", "credits_posted")) == {
        ("external", False, 0, 0),
        ("revenue", False, 0, 0),
    }
