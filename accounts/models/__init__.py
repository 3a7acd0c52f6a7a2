from accounts.models.api_key import ApiKey
from accounts.models.approval import MoneyDecision, MoneyRequest
from accounts.models.budget import KeyBudget
from accounts.models.ledger import MAX_AMOUNT, ClosedDay, Entry, LedgerAccount, Price, Transfer
from accounts.models.quota import (
    GroupPlan,
    GuestUsage,
    KeyUsage,
    LimitChange,
    Plan,
    Quota,
    SiteLimits,
    SiteUsage,
    StorageHold,
    Usage,
)
from accounts.models.signup import SignupCredit
from accounts.models.user import User

__all__ = [
    "MAX_AMOUNT",
    "ApiKey",
    "ClosedDay",
    "Entry",
    "GroupPlan",
    "GuestUsage",
    "KeyBudget",
    "KeyUsage",
    "LedgerAccount",
    "LimitChange",
    "MoneyDecision",
    "MoneyRequest",
    "Plan",
    "Price",
    "Quota",
    "SignupCredit",
    "SiteLimits",
    "SiteUsage",
    "StorageHold",
    "Transfer",
    "Usage",
    "User",
]
