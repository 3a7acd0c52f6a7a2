"""The trial's money: a budget for each day in UTC, and what a guest is given out of it.

The budget is an account of the house with a floor of zero, so that of any number of guests at once those who come after
it is spent are refused by the same conditional UPDATE that guards wallets.
"""

from datetime import UTC, datetime
from functools import partial

from django.db import transaction

from accounts.errors import InsufficientCredit
from accounts.ledger.reading import fail_closed
from accounts.ledger.writing import Effect, Kind, apply, check_amount, wallet_and, write
from accounts.models import LedgerAccount, Transfer, User


class TrialBudgetSpent(Exception):
    """Nothing is left of the day's budget."""


@fail_closed()
def grant_trial(*, guest: User, amount_micros: int, budget_micros: int, at: datetime) -> Transfer:
    """Give a guest the trial's money, once, out of the budget of the day; the first guest of a day opens it.

    `budget_micros` is that of a day which begins; one that has begun keeps its own. Raises TrialBudgetSpent,
    InvalidInput.
    """
    check_amount(amount_micros)
    with transaction.atomic():
        wallet, external = wallet_and(guest, Kind.EXTERNAL)
        budget = _budget_of(at, budget_micros, external)
        transfer = Transfer(
            kind=Transfer.Kind.DIRECT,
            debit=budget,
            credit=wallet,
            amount_micros=amount_micros,
            key=f"trial:{guest.public_id}",
            code="trial",
            actor="system",
            reason="trial",
        )
        take = partial(apply, transfer, budget, Effect(credits=-amount_micros))
        try:
            return write(transfer, wallet, Effect(credits=amount_micros), also=take)
        except InsufficientCredit:
            raise TrialBudgetSpent from None


def trial_left(at: datetime, budget_micros: int) -> int:
    """What is left of the budget of that day, in micro-USD; all of it while nobody has come."""
    budget = LedgerAccount.objects.filter(code=_code(at)).first()
    return budget.credits_posted if budget else budget_micros


def _budget_of(at: datetime, budget_micros: int, external: LedgerAccount) -> LedgerAccount:
    code = _code(at)
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
            reason="the trial's budget of the day",
        )
        write(filling, budget, Effect(credits=budget_micros))
    return budget


def _code(at: datetime) -> str:
    return f"trial:{at.astimezone(UTC):%Y-%m-%d}"
