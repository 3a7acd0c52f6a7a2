"""The ledger's verbs in any order, beside a model of a few dictionaries: after each step both must say the same.

What is illegal is tried too, and must be refused by name with nothing changed. A short run is in the suite
(test_ledger_machine.py), one of any length is `python3 run.py bench ledger machine`.
"""

import uuid
from collections import Counter
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts import keys, ledger
from accounts.audit import audit_ledger
from accounts.errors import Conflict, IdempotencyMismatch, InsufficientCredit, InvalidInput, KeyBudgetExceeded
from accounts.models import MAX_AMOUNT, Plan, Transfer, User
from tests.accounts.money import make_price, reserve

AMOUNTS = st.integers(1, 12)  # small, so that limits are met often
NO_AMOUNTS = st.sampled_from([0, -1, MAX_AMOUNT + 1, 0.5, float("nan"), float("inf"), "1", None, True])
INDEX = st.integers(0, 1000)
USERS = st.integers(0, 1)
KEYS = st.integers(-1, 2)  # -1: no key; 0: a total; 1: a month; 2: a key without a budget


class LedgerMachine(RuleBasedStateMachine):
    """Two people with three API keys each; every amount of the real tables has its twin here."""

    def __init__(self) -> None:
        super().__init__()
        self.available, self.held, self.spent = Counter(), Counter(), Counter()  # by person
        self.key_held, self.key_spent = Counter(), Counter()  # by budget
        self.house = Counter()  # by account of the house: what came in less what went out
        self.holds, self.captures, self.suspense = [], [], []  # [transfer, ...] with what the model knows of it
        self.month = 0
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.clock = patch("django.utils.timezone.now", lambda: self.now)
        self.clock.start()

    @property
    def now(self) -> datetime:
        return datetime(2026 + self.month // 12, self.month % 12 + 1, 15, tzinfo=UTC)

    def teardown(self) -> None:
        try:
            self.the_house_agrees()
            assert audit_ledger() == []
        finally:
            self.clock.stop()
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    @initialize()
    def people(self) -> None:
        plan = Plan.objects.first()
        names = [uuid.uuid4().hex for _ in range(2)]
        self.users = [User.objects.create(email=f"{name}@example.com", plan=plan) for name in names]
        self.price = make_price(valid_from=self.now)
        self.keys = [
            [
                keys.create_key(user=user, budget_micros=20, budget_period="total").api_key,
                keys.create_key(user=user, budget_micros=10, budget_period="month").api_key,
                keys.create_key(user=user).api_key,
            ]
            for user in self.users
        ]
        for who, user in enumerate(self.users):
            ledger.grant(user=user, amount_micros=15, reason="to begin with", key=uuid.uuid4().hex)
            self.available[who] += 15
            self.house["external"] -= 15

    # --- What the model expects ---

    def key_of(self, who: int, which: int):
        return None if which < 0 else self.keys[who][which]

    def budget_of(self, who: int, which: int):
        """The budget that a hold of this key names now; None where there is none."""
        api_key = self.key_of(who, which)
        if api_key is None or api_key.budget_micros is None:
            return None
        return (who, which, self.month if api_key.budget_period == "month" else None)

    def refused(self, error: type[Exception]):
        """A refusal in the middle of a transaction that goes on, as a caller would meet it."""
        return pytest.raises(error)

    # --- Verbs ---

    @rule(who=USERS, amount=AMOUNTS)
    def grant(self, who, amount):
        self.available[who] += amount
        self.house["external"] -= amount
        self.repeatable(
            lambda key: ledger.grant(user=self.users[who], amount_micros=amount, reason="gift", key=key),
            lambda key: ledger.grant(user=self.users[who], amount_micros=amount + 1, reason="gift", key=key),
        )

    @rule(who=USERS, amount=AMOUNTS)
    def top_up(self, who, amount):
        self.available[who] += amount
        self.house["external"] -= amount
        fields = {"user": self.users[who], "provider": "stripe"}
        self.repeatable(
            lambda key: ledger.top_up(amount_micros=amount, event_id=key, **fields),
            lambda key: ledger.top_up(amount_micros=amount + 1, event_id=key, **fields),
        )

    @rule(who=USERS, amount=st.integers(-12, 12).filter(bool))
    def adjust(self, who, amount):
        def act(key):
            return ledger.adjust(user=self.users[who], amount_micros=amount, actor="staff", reason="x", key=key)

        if amount < -self.available[who]:
            with self.refused(InsufficientCredit):
                act(uuid.uuid4().hex)
            return
        self.available[who] += amount
        self.house["external"] -= amount
        self.repeatable(act)

    @rule(who=USERS, which=KEYS, amount=AMOUNTS)
    def reserve(self, who, which, amount):
        api_key, budget = self.key_of(who, which), self.budget_of(who, which)

        def act(key):
            return reserve(self.users[who], self.price, amount, key=key, api_key=api_key)

        if amount > self.available[who]:
            with self.refused(InsufficientCredit):
                act(uuid.uuid4().hex)
        elif budget and self.key_held[budget] + self.key_spent[budget] + amount > api_key.budget_micros:
            with self.refused(KeyBudgetExceeded):
                act(uuid.uuid4().hex)
        else:
            self.available[who] -= amount
            self.held[who] += amount
            self.key_held[budget] += amount
            self.holds.append((self.repeatable(act), who, budget))

    @precondition(lambda self: self.holds)
    @rule(index=INDEX, share=st.integers(1, 12))
    def capture(self, index, share):
        hold, who, budget = self.holds.pop(index % len(self.holds))
        amount = min(share, hold.amount_micros)
        with self.refused(InvalidInput):
            ledger.capture(hold=hold, amount_micros=hold.amount_micros + 1)
        post = ledger.capture(hold=hold, amount_micros=amount)
        assert ledger.capture(hold=hold, amount_micros=amount) == post
        with self.refused(Conflict):
            ledger.release(hold=hold, reason="late")
        self.settle(who, budget, hold.amount_micros, amount)
        self.house["revenue"] += amount
        self.captures.append([post, who, budget, 0])

    @precondition(lambda self: self.holds)
    @rule(index=INDEX)
    def release(self, index):
        hold, who, budget = self.holds.pop(index % len(self.holds))
        void = ledger.release(hold=hold, reason="failed")
        assert ledger.release(hold=hold, reason="expired") == void
        with self.refused(Conflict):
            ledger.capture(hold=hold)
        with self.refused(Conflict):
            ledger.refund(transfer=void, amount_micros=1, actor="staff", reason="x", key=uuid.uuid4().hex)
        self.settle(who, budget, hold.amount_micros, 0)

    def settle(self, who, budget, held, spent):
        self.held[who] -= held
        self.available[who] += held - spent
        self.spent[who] += spent
        self.key_held[budget] -= held
        self.key_spent[budget] += spent

    @precondition(lambda self: self.captures)
    @rule(index=INDEX, amount=AMOUNTS)
    def refund(self, index, amount):
        row = self.captures[index % len(self.captures)]
        post, who, budget, refunded = row

        def act(key):
            return ledger.refund(transfer=post, amount_micros=amount, actor="staff", reason="sorry", key=key)

        if refunded + amount > post.amount_micros:
            with self.refused(Conflict):
                act(uuid.uuid4().hex)
            return
        row[3] += amount
        self.available[who] += amount
        self.spent[who] -= amount
        self.key_spent[budget] -= amount
        self.house["revenue"] -= amount
        self.repeatable(act)

    @rule(amount=AMOUNTS, is_certain=st.booleans())
    def record_cost(self, amount, is_certain):
        fields = {"reference": "job", "price": self.price, "is_certain": is_certain}
        cost = self.repeatable(
            lambda key: ledger.record_cost(amount_micros=amount, key=key, **fields),
            lambda key: ledger.record_cost(amount_micros=amount + 1, key=key, **fields),
        )
        self.house["provider"] -= amount
        self.house["expense" if is_certain else "suspense"] += amount
        if not is_certain:
            self.suspense.append(cost)

    @precondition(lambda self: self.suspense)
    @rule(index=INDEX, was_billed=st.booleans())
    def settle_suspense(self, index, was_billed):
        cost = self.suspense.pop(index % len(self.suspense))
        fields = {"cost": cost, "actor": "staff", "reason": "the bill", "key": f"verdict:{cost.pk}"}
        moved = ledger.settle_suspense(was_billed=was_billed, **fields)
        assert ledger.settle_suspense(was_billed=was_billed, **fields) == moved
        with self.refused(Conflict):
            ledger.settle_suspense(was_billed=not was_billed, **fields)
        self.house["suspense"] -= cost.amount_micros
        self.house["expense" if was_billed else "provider"] += cost.amount_micros

    def repeatable(self, act, other=None) -> Transfer:
        """What `act` writes with a new key; with the same key it writes nothing more, and other money is refused."""
        key = uuid.uuid4().hex
        transfer = act(key)
        assert act(key) == transfer
        if other is not None:
            with self.refused(IdempotencyMismatch):
                other(key)
        return transfer

    # --- What changes meanwhile ---

    @rule(who=USERS, which=st.integers(0, 2), limit=st.one_of(st.none(), st.integers(1, 30)))
    def change_budget(self, who, which, limit):
        fields = {"user": self.users[who], "key_id": self.keys[who][which].public_id, "budget_micros": limit}
        self.keys[who][which] = keys.update_key(**fields)

    @rule()
    def next_month(self):
        self.month += 1

    @rule(who=USERS, amount=NO_AMOUNTS)
    def no_amount(self, who, amount):
        user, key = self.users[who], uuid.uuid4().hex
        for act in (
            lambda: ledger.grant(user=user, amount_micros=amount, reason="x", key=key),
            lambda: reserve(user, self.price, amount, api_key=self.keys[who][0]),
            lambda: ledger.record_cost(amount_micros=amount, reference="", key=key, price=self.price, is_certain=True),
            lambda: ledger.top_up(user=user, amount_micros=amount, provider="stripe", event_id=key),
        ):
            with self.refused(InvalidInput):
                act()
        if amount != -1:
            with self.refused(InvalidInput):
                ledger.adjust(user=user, amount_micros=amount, actor="staff", reason="x", key=key)

    # --- Both say the same ---

    def the_house_agrees(self):
        sums = Counter()
        for side, sign in (("credit", 1), ("debit", -1)):
            rows = Transfer.objects.filter(**{f"{side}__owner": None}, kind__in=("direct", "post"))
            for code, total in rows.values_list(f"{side}__code").annotate(total=Sum("amount_micros")):
                sums[code] += sign * total
        assert {code: total for code, total in sums.items() if total} == {
            code: total for code, total in self.house.items() if total
        }

    @invariant()
    def wallets_agree(self):
        for who, user in enumerate(getattr(self, "users", ())):
            expected = ledger.Balance(available=self.available[who], held=self.held[who], spent=self.spent[who])
            assert ledger.balance_of(user) == expected

    @invariant()
    def budgets_agree(self):
        everybody = getattr(self, "keys", ())
        states = ledger.budgets_of([api_key for mine in everybody for api_key in mine], at=self.now)
        for who, mine in enumerate(everybody):
            for which, api_key in enumerate(mine):
                budget, state = self.budget_of(who, which), states.get(api_key.pk)
                if budget is None:
                    assert state is None
                else:
                    assert (state.held, state.spent) == (self.key_held[budget], self.key_spent[budget])
