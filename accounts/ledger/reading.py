"""What the ledger says: balances, prices, holds. It moves nothing and needs no verb."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import BigIntegerField, F, Func, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest, Least
from django.utils import timezone

from accounts.errors import PriceUnknown, ServiceUnavailable
from accounts.models import LedgerAccount, Price, Transfer, User
from accounts.models.ledger import TransferQuerySet


@dataclass(frozen=True)
class Balance:
    """A wallet in micro-USD; `spent` is what was captured less what was refunded."""

    available: int
    held: int
    spent: int


@contextmanager
def fail_closed() -> Iterator[None]:
    """A database that cannot be reached refuses the verb; it never lets it pass unpaid."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise ServiceUnavailable("The ledger does not answer just now. Nothing was charged.") from error


@fail_closed()
def balance_of(user: User) -> Balance:
    """What the user has, from one row however long the history; all zero without a wallet."""
    row = LedgerAccount.objects.filter(owner=user).first()
    if row is None:
        return Balance(available=0, held=0, spent=0)
    return Balance(
        available=row.credits_posted - row.debits_posted - row.debits_pending,
        held=row.debits_pending,
        spent=row.debits_posted - row.refunds_posted,
    )


@fail_closed()
def left_of(granted: Transfer) -> int:
    """What is left of a grant in micro-USD: all that its wallet has paid, lost or holds since is taken from it first.

    A refund of what was captured since gives back to it. Never more than the wallet has.
    """
    return Transfer.objects.annotate(left=left_micros()).get(pk=granted.pk).left


def left_micros(path: str = "") -> Func:
    """The same as a column, for rows that lead to a grant by this path, such as "grant__"."""
    wallet, began = OuterRef(f"{path}credit"), OuterRef(f"{path}created_at")
    # The database finds both by the wallet's side of the index: what went out of it, and what of that came back.
    out = Transfer.objects.filter(kind__in=["direct", "post"], debit=wallet, created_at__gt=began)
    back = Transfer.objects.filter(refunds__debit=wallet, refunds__created_at__gt=began)
    gone = _sum_of(out.values("debit")) - _sum_of(back.values("refunds__debit"))
    held = F(f"{path}credit__debits_pending")
    available = F(f"{path}credit__credits_posted") - F(f"{path}credit__debits_posted") - held
    return Greatest(Least(F(f"{path}amount_micros") - gone - held, available), Value(0), output_field=BigIntegerField())


def _sum_of(transfers: QuerySet[Transfer, Any]) -> Coalesce:
    """The sum of transfers that are grouped by their account."""
    total = transfers.annotate(sum=Sum("amount_micros")).values("sum")
    return Coalesce(Subquery(total), Value(0), output_field=BigIntegerField())


@fail_closed()
def current_price(*, model: str, size: str, unit: str = "image", at: datetime | None = None) -> Price:
    """The newest price that has begun (by default: by now). Raises PriceUnknown; a price is never taken to be 0."""
    price = Price.objects.current(model=model, size=size, unit=unit, at=at or timezone.now())
    if price is None:
        raise PriceUnknown(f"No price is set for {model} at {size}, so it cannot be sold. Nothing was charged.")
    return price


def open_holds(user: User) -> TransferQuerySet:
    """The user's holds that are neither captured nor released."""
    return Transfer.objects.open_holds().filter(debit__owner=user)


def expired_holds(at: datetime, *, since: datetime | None = None) -> TransferQuerySet:
    """Open holds whose time limit passed by `at`, oldest first.

    Resolved holds stay in the table, so a caller that comes often names in `since` the time limit up to which it has
    seen everything resolved.
    """
    holds = Transfer.objects.open_holds().filter(expires_at__lte=at).order_by("expires_at")
    return holds.filter(expires_at__gte=since) if since else holds
