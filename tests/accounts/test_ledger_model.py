"""Random sequences of verbs against a wallet that is a few numbers in a dictionary."""

import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from accounts import ledger
from accounts.audit import audit_ledger
from accounts.errors import Conflict, InsufficientCredit
from accounts.models import Plan, Price, Transfer, User
from tests.accounts.money import grant, make_price, refund, reserve

AMOUNTS = st.integers(min_value=1, max_value=100)


class Wallet(RuleBasedStateMachine):
    """The ledger must agree with `self.model` after every step; amounts are small, so that money runs out."""

    holds = Bundle("holds")
    resolved = Bundle("resolved")
    captures = Bundle("captures")

    def __init__(self):
        super().__init__()
        self.user = User.objects.create_user(f"{uuid.uuid4().hex}@example.com", plan=Plan.objects.first())
        self.price = Price.objects.filter(model="m").first() or make_price()
        self.model = {"available": 0, "held": 0, "spent": 0}
        self.refunded: dict[Transfer, int] = {}

    def move(self, **changes: int) -> None:
        for name, change in changes.items():
            self.model[name] += change

    @rule(amount=AMOUNTS)
    def grant(self, amount):
        transfer = grant(self.user, amount, key=(key := str(uuid.uuid4())))
        assert grant(self.user, amount, key=key) == transfer
        self.move(available=amount)

    @rule(target=holds, amount=AMOUNTS)
    def reserve(self, amount):
        key = str(uuid.uuid4())
        if amount > self.model["available"]:
            with pytest.raises(InsufficientCredit):
                reserve(self.user, self.price, amount, key=key)
            assert not Transfer.objects.filter(key=key).exists()
            amount = self.model["available"]
            if not amount:
                grant(self.user, amount := 1)
                self.move(available=1)
        hold = reserve(self.user, self.price, amount, key=key)
        assert reserve(self.user, self.price, amount, key=key) == hold
        self.move(available=-amount, held=amount)
        return hold

    @rule(target=captures, hold=consumes(holds), share=st.integers(min_value=1, max_value=100))
    def capture(self, hold, share):
        amount = max(1, hold.amount_micros * share // 100)
        post = ledger.capture(hold=hold, amount_micros=amount)
        assert ledger.capture(hold=hold, amount_micros=amount) == post
        with pytest.raises(Conflict):
            ledger.release(hold=hold, reason="late")
        self.move(available=hold.amount_micros - amount, held=-hold.amount_micros, spent=amount)
        self.refunded[post] = 0
        return post

    @rule(target=resolved, hold=consumes(holds))
    def release(self, hold):
        void = ledger.release(hold=hold, reason="failed")
        assert ledger.release(hold=hold, reason="again") == void
        self.move(available=hold.amount_micros, held=-hold.amount_micros)
        return hold

    @rule(hold=resolved)
    def capture_too_late(self, hold):
        with pytest.raises(Conflict):
            ledger.capture(hold=hold)

    @rule(post=captures, amount=AMOUNTS)
    def refund(self, post, amount):
        if self.refunded[post] + amount > post.amount_micros:
            with pytest.raises(Conflict):
                refund(post, amount)
            return
        refund(post, amount)
        self.refunded[post] += amount
        self.move(available=amount, spent=-amount)

    @invariant()
    def the_ledger_agrees(self):
        balance = ledger.balance_of(self.user)
        assert {"available": balance.available, "held": balance.held, "spent": balance.spent} == self.model

    def teardown(self):
        assert audit_ledger() == []


@pytest.mark.django_db
def test_any_sequence_of_verbs_agrees_with_the_model():
    run_state_machine_as_test(
        Wallet,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
