"""Money that is given away: a budget for each purpose and day in UTC, and what somebody is given out of it.

A budget is an account of the house with a floor of zero, so that of any number of people at once those who come after
it is spent are refused by the same conditional UPDATE that guards wallets.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from django.db import transaction

from accounts.errors import InsufficientCredit
from accounts.ledger.reading import fail_closed
from accounts.ledger.writing import Effect, Kind, apply, check_amount, wallet_and, write
from accounts.models import LedgerAccount, Transfer, User


@dataclass(frozen=True)
class Giveaway:
    """A purpose with budgets of its own; `code` and `reason` are those of its transfers to people."""

    name: str
    code: str
    reason: str


TRIAL = Giveaway("trial", code="trial", reason="trial")
SIGNUP = Giveaway("signup", code="grant", reason="sign-up credit")


class DayBudgetSpent(Exception):
    """Nothing is left of the day's budget, or not enough."""


@fail_closed()
def give(giveaway: Giveaway, *, user: User, amount_micros: int, budget_micros: int, at: datetime) -> Transfer:
    """Give somebody this amount, once, out of the purpose's budget of the day; the first one of a day opens it.

    `budget_micros` is that of a day which begins; one that has begun keeps its own. Raises DayBudgetSpent,
    IdempotencyMismatch when it was given on another day or as another amount, InvalidInput.
    """
    check_amount(amount_micros)
    with transaction.atomic():
        wallet, external = wallet_and(user, Kind.EXTERNAL)
        budget = _budget_of(giveaway, at, budget_micros, external)
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=budget,
            credit=wallet,
            amount_micros=amount_micros,
            key=f"{giveaway.name}:{user.public_id}",
            code=giveaway.code,
            actor="system",
            reason=giveaway.reason,
        )
        take = partial(apply, transfer, budget, Effect(credits=-amount_micros))
        try:
            return write(transfer, wallet, Effect(credits=amount_micros), also=take)
        except InsufficientCredit:
            raise DayBudgetSpent from None


def left_of_day(giveaway: Giveaway, at: datetime, budget_micros: int) -> int:
    """What is left of the budget of that day, in micro-USD; all of it while nobody has come."""
    budget = LedgerAccount.objects.filter(code=_code(giveaway, at)).first()
    return budget.credits_posted if budget else budget_micros


def _budget_of(giveaway: Giveaway, at: datetime, budget_micros: int, external: LedgerAccount) -> LedgerAccount:
    code = _code(giveaway, at)
    defaults = {"kind": Kind.GRANT, "floor": 0, "is_tracked": True}
    # In one transaction with its money: whoever finds the account finds it filled.
    budget, is_new = LedgerAccount.objects.get_or_create(code=code, defaults=defaults)
    if is_new and budget_micros:
        filling = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=external,
            credit=budget,
            amount_micros=budget_micros,
            key=f"budget:{code}",
            code="budget",
            actor="system",
            reason=f"{giveaway.reason}, budget of the day",
        )
        write(filling, budget, Effect(credits=budget_micros))
    return budget


def _code(giveaway: Giveaway, at: datetime) -> str:
    return f"{giveaway.name}:{at.astimezone(UTC):%Y-%m-%d}"
