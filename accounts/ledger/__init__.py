"""The ledger: `from accounts import ledger` has every verb and every question that another module may use.

verbs.py moves money, reading.py, budgets.py and flows.py tell of it and need no verb, writing.py is the verbs' alone.
"""

from accounts.ledger.budgets import Budget, budgets_of
from accounts.ledger.flows import Flow, flows_of, house_flows, results_of
from accounts.ledger.reading import (
    Balance,
    balance_of,
    current_price,
    expired_holds,
    open_holds,
)
from accounts.ledger.trials import TrialBudgetSpent, grant_trial, trial_left
from accounts.ledger.verbs import (
    VERDICT_CODES,
    adjust,
    capture,
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
    "VERDICT_CODES",
    "Balance",
    "Budget",
    "Flow",
    "TrialBudgetSpent",
    "adjust",
    "balance_of",
    "budgets_of",
    "capture",
    "check_reason",
    "current_price",
    "expired_holds",
    "flows_of",
    "forfeit",
    "format_usd",
    "grant",
    "grant_trial",
    "house_flows",
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
    "trial_left",
]
