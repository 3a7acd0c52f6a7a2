"""The ledger: `from accounts import ledger` has every verb and every question that another module may use.

verbs.py moves money, giveaways.py gives it away by the day, reading.py, budgets.py and flows.py tell of it and need no
verb, writing.py is the verbs' alone.
"""

from accounts.ledger.budgets import Budget, budgets_of
from accounts.ledger.flows import Flow, flows_of, house_flows, results_of
from accounts.ledger.giveaways import SIGNUP, TRIAL, DayBudgetSpent, give, left_of_day
from accounts.ledger.reading import (
    Balance,
    balance_of,
    current_price,
    expired_holds,
    left_micros,
    left_of,
    open_holds,
)
from accounts.ledger.verbs import (
    VERDICT_CODES,
    adjust,
    capture,
    expire,
    forfeit,
    grant,
    record_cost,
    refund,
    release,
    reserve,
    settle_suspense,
    top_up,
)
from accounts.ledger.writing import check_reason, open_wallet
from accounts.money import format_usd, parse_usd

__all__ = [
    "SIGNUP",
    "TRIAL",
    "VERDICT_CODES",
    "Balance",
    "Budget",
    "DayBudgetSpent",
    "Flow",
    "adjust",
    "balance_of",
    "budgets_of",
    "capture",
    "check_reason",
    "current_price",
    "expire",
    "expired_holds",
    "flows_of",
    "forfeit",
    "format_usd",
    "give",
    "grant",
    "house_flows",
    "left_micros",
    "left_of",
    "left_of_day",
    "open_holds",
    "open_wallet",
    "parse_usd",
    "record_cost",
    "refund",
    "release",
    "reserve",
    "results_of",
    "settle_suspense",
    "top_up",
]
