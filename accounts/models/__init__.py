from accounts.models.api_key import ApiKey
from accounts.models.ledger import MAX_AMOUNT, Entry, LedgerAccount, Price, Transfer
from accounts.models.quota import (
    GroupPlan,
    KeyUsage,
    LimitChange,
    Plan,
    Quota,
    SiteLimits,
    SiteUsage,
    StorageHold,
    Usage,
)
from accounts.models.user import User

__all__ = [
    "MAX_AMOUNT",
    "ApiKey",
    "Entry",
    "GroupPlan",
    "KeyUsage",
    "LedgerAccount",
    "LimitChange",
    "Plan",
    "Price",
    "Quota",
    "SiteLimits",
    "SiteUsage",
    "StorageHold",
    "Transfer",
    "Usage",
    "User",
]
