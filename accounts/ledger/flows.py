"""What went into accounts and out of them, by day and price: the sums behind usage and the operators' money page.

Of each account, day and price the database reads one run of an index that holds the amounts as well, and sorts nothing:
that is why the sums are written by hand and not grouped. Holds have moved nothing yet and are not among them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from django.db import connection
from django.db.models import Sum

from accounts.models import LedgerAccount, Price, Transfer, User

# The indexes of Transfer; SQLite, which would take another one, is told their names.
WAYS = {"in": ("credit_id", "transfer_in"), "out": ("debit_id", "transfer_out")}
PRICE = "price.model AS model, price.unit AS unit, price.amount_micros AS unit_micros, price.is_placeholder AS is_draft"
NO_PRICE = "'', '', 0, FALSE"


class Flow(NamedTuple):
    """What moved `way` an account of this kind on the day with this number, for one price row or for none.

    Amounts are in micro-USD; `unit_micros` is what the row asks for one unit.
    """

    kind: str
    way: Literal["in", "out"]
    day: int
    model: str
    unit: str
    unit_micros: int
    is_placeholder: bool
    micros: int
    many: int  # transfers


def flows_of(user: User, days: Sequence[tuple[datetime, datetime]]) -> list[Flow]:
    """What moved into a user's wallet and out of it between the two moments of each day; one query."""
    return _flows("owner_id = %s", [user.pk], days)


def house_flows(kinds: Sequence[LedgerAccount.Kind], days: Sequence[tuple[datetime, datetime]]) -> list[Flow]:
    """The same of accounts of the house."""
    places = ", ".join(["%s"] * len(kinds))
    return _flows(f"owner_id IS NULL AND kind IN ({places})", [kind.value for kind in kinds], days)


def results_of(kind: LedgerAccount.Kind, days: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """What accounts of this kind received less what they gave on each day, whatever the transfers were for."""

    def moved(side: str, begins_at: datetime, ends_at: datetime) -> int:
        rows = Transfer.objects.filter(
            **{f"{side}__in": accounts},
            created_at__gte=begins_at,
            created_at__lt=ends_at,
            kind__in=(Transfer.Kind.DIRECT, Transfer.Kind.POST),
        )
        return int(rows.aggregate(sum=Sum("amount_micros", default=0))["sum"])

    accounts = list(LedgerAccount.objects.filter(kind=kind).values_list("pk", flat=True))
    return [moved("credit", *day) - moved("debit", *day) for day in days]


def _flows(which: str, parameters: Sequence[int | str], days: Sequence[tuple[datetime, datetime]]) -> list[Flow]:
    if not days:
        return []
    quoted = (connection.ops.quote_name(model._meta.db_table) for model in (Transfer, LedgerAccount, Price))
    transfers, accounts, prices = quoted
    moments = ", ".join(["(%s, %s, %s)"] * len(days))
    adapt = connection.ops.adapt_datetimefield_value
    limits = [value for number, (start, end) in enumerate(days) for value in (number, adapt(start), adapt(end))]
    parts = []
    for way, (side, index) in WAYS.items():
        indexed = f"INDEXED BY {index}" if connection.vendor == "sqlite" else ""
        for price, source, condition in (
            (PRICE, f", {prices} price", "moved.price_id = price.id"),
            (NO_PRICE, "", "moved.price_id IS NULL"),
        ):
            found = (
                f"FROM {transfers} moved {indexed} WHERE moved.{side} = account.id AND {condition}"
                " AND moved.kind IN ('direct', 'post')"
                " AND moved.created_at >= day.starts_at AND moved.created_at < day.ends_at"
            )
            parts.append(
                f"SELECT account.kind AS kind, '{way}' AS way, day.number AS day, {price},"  # noqa: S608
                f" (SELECT SUM(moved.amount_micros) {found}) AS micros, (SELECT COUNT(*) {found}) AS many"
                f" FROM account, day{source}"
            )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH day (number, starts_at, ends_at) AS (VALUES {moments}),"  # noqa: S608 - names of ours, no input
            f" account (id, kind) AS (SELECT id, kind FROM {accounts} WHERE {which})"
            f" SELECT * FROM ({' UNION ALL '.join(parts)}) flow WHERE micros > 0",
            [*limits, *parameters],
        )
        return [Flow._make((*row[:6], bool(row[6]), int(row[7]), row[8])) for row in cursor.fetchall()]
