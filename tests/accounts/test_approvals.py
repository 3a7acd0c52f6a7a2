"""Grants, refunds and adjustments by the staff: at once up to the threshold, above it when a second person approves."""

import uuid
from collections import Counter

import pytest
from django.db import IntegrityError, transaction

from accounts import approvals, ledger
from accounts.audit import audit_ledger
from accounts.errors import Conflict, Forbidden, InsufficientCredit, InvalidInput
from accounts.models import MoneyDecision, MoneyRequest, Transfer
from tests import people
from tests.accounts.money import IMAGE, columns, grant, make_price, refund, reserve

pytestmark = pytest.mark.django_db

CREDIT, LARGE = 1_000_000, 50_000_001


@pytest.fixture
def colleague(db):
    return people.make_person("colleague", is_staff=True)


@pytest.fixture(autouse=True)
def _audited(db):
    """Whatever a test did, the ledger is sound after it."""
    yield
    assert audit_ledger() == []


def ask(user, staff, amount=LARGE, verb=approvals.grant, **fields):
    return verb(user=user, amount_micros=amount, actor=staff, **{"reason": "prize", "token": uuid.uuid4(), **fields})


def decide(request, actor, is_approved=True, reason="as agreed"):
    return approvals.decide(request=request, actor=actor, is_approved=is_approved, reason=reason)


def test_up_to_the_threshold_the_verb_runs_at_once(alice, staff):
    made = ask(alice, staff, LARGE - 1)
    assert (made.code, made.actor, made.reason) == ("grant", str(staff.public_id), "prize")
    assert ledger.balance_of(alice).available == CREDIT + LARGE - 1
    assert not MoneyRequest.objects.exists()


def test_above_it_nothing_moves_until_a_second_person_approves(alice, staff, colleague):
    before = columns(alice)
    request = ask(alice, staff)
    assert (columns(alice), list(MoneyRequest.objects.waiting())) == (before, [request])
    transfer = decide(request, colleague)
    assert (transfer.amount_micros, transfer.actor, transfer.reason) == (LARGE, str(staff.public_id), "prize")
    assert ledger.balance_of(alice).available == CREDIT + LARGE
    decision = MoneyDecision.objects.get()
    assert (decision.request, decision.decided_by, decision.reason) == (request, colleague, "as agreed")
    assert not MoneyRequest.objects.waiting().exists()


@pytest.mark.parametrize("threshold", ["0", "0.000001"])
def test_the_threshold_is_the_operators(alice, staff, settings, threshold):
    settings.LEDGER_SECOND_PERSON_USD = threshold
    assert isinstance(ask(alice, staff, 2), MoneyRequest)


def test_what_is_declined_moves_nothing_and_stays_declined(alice, staff, colleague):
    before = columns(alice)
    request = ask(alice, staff)
    assert decide(request, colleague, is_approved=False) is None
    with pytest.raises(Conflict, match="declined before"):
        decide(request, people.make_person("third", is_staff=True))
    assert (columns(alice), MoneyDecision.objects.count()) == (before, 1)


def test_who_asked_cannot_decide(alice, staff):
    before = columns(alice)
    request = ask(alice, staff)
    for is_approved in (True, False):
        with pytest.raises(Forbidden, match="somebody else must decide"):
            decide(request, staff, is_approved=is_approved)
    assert (columns(alice), MoneyDecision.objects.exists()) == (before, False)


def test_the_database_does_not_take_a_decision_by_who_asked(alice, staff):
    request = ask(alice, staff)
    with pytest.raises(IntegrityError, match="money_decision_by_a_second_person"), transaction.atomic():
        MoneyDecision.objects.create(
            request=request, is_approved=True, asked_by=staff, decided_by=staff, reason="I am sure"
        )


def test_it_takes_staff_with_the_permission(alice, bob, staff, colleague):
    request = ask(alice, staff)
    before = columns(alice)
    colleague.groups.clear()
    for actor in (bob, people.make_person("gone", is_staff=True, credit_micros=0)):
        actor.is_active = actor == bob
        with pytest.raises(Forbidden):
            decide(request, actor)
        with pytest.raises(Forbidden):
            ask(alice, actor, 5)
    with pytest.raises(Forbidden):
        decide(request, type(colleague).objects.get(pk=colleague.pk))
    assert columns(alice) == before


@pytest.mark.parametrize("reason", ["", " ", "x" * 201, "a\0b"])
def test_a_request_and_a_decision_need_a_reason(alice, staff, colleague, reason):
    with pytest.raises(InvalidInput):
        ask(alice, staff, reason=reason)
    assert not MoneyRequest.objects.exists()
    request = ask(alice, staff)
    with pytest.raises(InvalidInput):
        decide(request, colleague, reason=reason)
    assert not MoneyDecision.objects.exists()


def test_one_form_sent_twice_is_one_request_and_with_other_money_it_is_refused(alice, staff, colleague):
    token = uuid.uuid4()
    assert ask(alice, staff, token=token) == ask(alice, staff, token=token)
    with pytest.raises(Conflict, match="something else in it"):
        ask(alice, staff, LARGE + 1, token=token)
    assert MoneyRequest.objects.get().amount_micros == LARGE


def test_what_cannot_be_done_is_not_asked_for(alice, staff):
    before = columns(alice)
    with pytest.raises(InsufficientCredit):
        ask(alice, staff, -LARGE, approvals.adjust)
    with pytest.raises(InvalidInput):
        ask(alice, staff, 2**53)
    with pytest.raises(InvalidInput):
        ask(alice, staff, -LARGE)
    assert (columns(alice), MoneyRequest.objects.exists()) == (before, False)


def test_what_has_become_impossible_goes_on_waiting(alice, staff, colleague, settings):
    settings.LEDGER_SECOND_PERSON_USD = "0"
    request = ask(alice, staff, -CREDIT, approvals.adjust)
    hold = reserve(alice, make_price(), 1)
    before = columns(alice)
    with pytest.raises(InsufficientCredit):
        decide(request, colleague)
    assert (columns(alice), list(MoneyRequest.objects.waiting())) == (before, [request])
    ledger.release(hold=hold, reason="failed")
    decide(request, colleague)
    assert ledger.balance_of(alice).available == 0


def test_a_refund_above_the_threshold_names_its_capture(alice, staff, colleague, settings):
    settings.LEDGER_SECOND_PERSON_USD = "0"
    post = ledger.capture(hold=reserve(alice, make_price()))
    ask_refund = {"capture": post, "actor": staff, "reason": "sorry"}
    request = approvals.refund(amount_micros=IMAGE, token=uuid.uuid4(), **ask_refund)
    refund(post, 1)
    with pytest.raises(Conflict, match="is refunded already"):
        decide(request, colleague)
    decide(request, colleague, is_approved=False)
    decide(approvals.refund(amount_micros=IMAGE - 1, token=uuid.uuid4(), **ask_refund), colleague)
    assert ledger.balance_of(alice).spent == 0
    with pytest.raises(Conflict, match="Only a capture"):
        approvals.refund(amount_micros=1, token=uuid.uuid4(), **{**ask_refund, "capture": grant(alice, 5)})


@pytest.mark.django_db(transaction=True)
def test_of_many_decisions_at_once_one_counts_and_the_verb_runs_once(alice, staff, colleague, race):
    request = ask(alice, staff)
    others = [colleague, *(people.make_person(f"staff-{n}", is_staff=True) for n in range(2))]
    deciders = [*others, staff]
    results = race(16, lambda n: decide(request, deciders[n % 4], is_approved=n % 3 != 0))
    kinds = Counter(type(result).__name__ for result in results)
    decision = MoneyDecision.objects.get()
    assert decision.decided_by in others
    assert (kinds["Forbidden"], kinds["Conflict"]) == (4, 11)
    granted = Transfer.objects.filter(key__startswith="request:")
    assert granted.count() == int(decision.is_approved)
    assert ledger.balance_of(alice).available == CREDIT + LARGE * granted.count()


@pytest.mark.django_db(transaction=True)
def test_one_form_sent_16_times_at_once_is_one_request(alice, staff, race):
    token = uuid.uuid4()
    results = race(16, lambda _: ask(alice, staff, token=token))
    assert {result.pk for result in results} == {token}
    assert MoneyRequest.objects.count() == 1
