"""What went into accounts and out of them, by day and price: the sums behind usage and the operators' money page.

Of each account, day and price the database reads one run of an index that holds the amounts as well, and sorts nothing:
that is why the sums are written by hand and not grouped. Holds have moved nothing yet and are not among them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from django.db import connection

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
    """What accounts of this kind received less what they gave on each day, in micro-USD, whatever it was for."""
    if not days:
        return []
    transfers, accounts = (connection.ops.quote_name(model._meta.db_table) for model in (Transfer, LedgerAccount))
    # SQLite would read all of the account's history for each day instead.
    indexed = "INDEXED BY transfer_by_time" if connection.vendor == "sqlite" else ""
    moments, limits = _values_of(days)
    results = [0] * len(days)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH day (number, starts_at, ends_at) AS (VALUES {moments})"  # noqa: S608 - names of ours, no input
            " SELECT day.number,"
            " SUM(CASE WHEN moved.credit_id = account.id THEN moved.amount_micros ELSE -moved.amount_micros END)"
            f" FROM day CROSS JOIN {transfers} moved {indexed}"
            f" JOIN {accounts} account ON account.id IN (moved.credit_id, moved.debit_id)"
            " WHERE moved.kind IN ('direct', 'post') AND account.kind = %s"
            " AND moved.created_at >= day.starts_at AND moved.created_at < day.ends_at GROUP BY day.number",
            [*limits, kind.value],
        )
        for number, micros in cursor.fetchall():
            results[number] = int(micros)
    return results


def _values_of(days: Sequence[tuple[datetime, datetime]]) -> tuple[str, list[int | str | None]]:
    """Days as the rows of VALUES (number, starts_at, ends_at), and what stands in them."""
    adapt = connection.ops.adapt_datetimefield_value
    limits = [value for number, (start, end) in enumerate(days) for value in (number, adapt(start), adapt(end))]
    return ", ".join(["(%s, %s, %s)"] * len(days)), limits


def _flows(which: str, parameters: Sequence[int | str], days: Sequence[tuple[datetime, datetime]]) -> list[Flow]:
    if not days:
        return []
    quoted = (connection.ops.quote_name(model._meta.db_table) for model in (Transfer, LedgerAccount, Price))
    transfers, accounts, prices = quoted
    moments, limits = _values_of(days)
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
