"""The spending limits of API keys: what a key holds and has spent in its period, changed beside its owner's wallet.

A row is changed in the transaction of its wallet and after it, so that no two transactions wait for each other. A hold
names its row, so that what comes back goes to the period from which it was taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import F
from django.utils import timezone

from accounts.errors import KeyBudgetExceeded
from accounts.ledger.reading import fail_closed
from accounts.models import ApiKey, KeyBudget, LedgerAccount
from accounts.money import format_usd


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A key's limit as it stands, in micro-USD; `resets_at` is None where it does not begin again."""

    limit: int
    period: str
    held: int
    spent: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        """What may still be held; none when the limit was lowered below what is used."""
        return max(0, self.limit - self.held - self.spent)


@fail_closed()
def budgets_of(api_keys: Iterable[ApiKey], *, at: datetime | None = None) -> dict[int, Budget]:
    """The budgets of those of the keys that have one, by the keys' pk, with one query or none."""
    now = at or timezone.now()
    ids = {key.pk: budget_id for key in api_keys if (budget_id := id_of(key, now))}
    rows = KeyBudget.objects.in_bulk(set(ids.values())) if ids else {}
    return {key.pk: _state(key, rows.get(ids[key.pk]), now) for key in api_keys if key.pk in ids}


def id_of(api_key: ApiKey | None, at: datetime) -> str | None:
    """The budget from which the key takes at that time; None without a key, and for one without a limit."""
    if api_key is None or api_key.budget_micros is None:
        return None
    is_monthly = api_key.budget_period == ApiKey.Period.MONTH
    period = f"{at.astimezone(UTC):%Y-%m}" if is_monthly else "total"
    return f"key:{api_key.public_id}:{period}"


def hold(api_key: ApiKey, *, budget_id: str, amount_micros: int, wallet: LedgerAccount, at: datetime) -> None:
    """Hold the amount in this budget of the key. Raises KeyBudgetExceeded."""
    limit = api_key.budget_micros
    assert limit is not None, "a key without a budget holds nothing in it"
    room = KeyBudget.objects.filter(pk=budget_id, spent_micros__lte=limit - amount_micros - F("held_micros"))

    def take() -> int:
        # One statement, as with the wallet: of many that race for the rest, the late ones find no row to change.
        return room.update(held_micros=F("held_micros") + amount_micros, version=F("version") + 1)

    if take():
        return
    # The first of the period. Of several at once one inserts, the others wait for it and then find the row.
    KeyBudget.objects.bulk_create([KeyBudget(id=budget_id, wallet=wallet)], ignore_conflicts=True)
    if not take():
        raise _refusal(api_key, amount_micros, at)


def settle(budget_id: str, *, held_micros: int = 0, spent_micros: int = 0) -> None:
    """Add what a resolution or a refund changes, whatever the limit has become since."""
    changed = KeyBudget.objects.filter(pk=budget_id).update(
        held_micros=F("held_micros") + held_micros,
        spent_micros=F("spent_micros") + spent_micros,
        version=F("version") + 1,
    )
    assert changed, "a hold names a budget that is not there"


def _state(api_key: ApiKey, row: KeyBudget | None, at: datetime) -> Budget:
    assert api_key.budget_micros is not None
    is_monthly = api_key.budget_period == ApiKey.Period.MONTH
    return Budget(
        limit=api_key.budget_micros,
        period=api_key.budget_period,
        held=row.held_micros if row else 0,
        spent=row.spent_micros if row else 0,
        resets_at=_next_month(at) if is_monthly else None,
    )


def _next_month(at: datetime) -> datetime:
    month = at.astimezone(UTC)
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def _refusal(api_key: ApiKey, amount_micros: int, at: datetime) -> KeyBudgetExceeded:
    budget = budgets_of([api_key], at=at)[api_key.pk]
    span = "a month" if budget.resets_at else "in all"
    return KeyBudgetExceeded(
        f"This costs {format_usd(amount_micros)} USD, and of the {format_usd(budget.limit)} USD that this key may "
        f"spend {span}, {format_usd(budget.left)} USD is left.",
        limit=format_usd(budget.limit),
        spent=format_usd(budget.spent),
        held=format_usd(budget.held),
        required=format_usd(amount_micros),
        resets_at=f"{budget.resets_at:%Y-%m-%dT%H:%M:%SZ}" if budget.resets_at else None,
    )
