"""A user's statement: pages of lines with filters, and which lines belong to a period of time.

Lines are numbered without gaps and never change, so a place is a number and page 10,000 costs what page 1 does. A
period is a run of such numbers, whatever the clock did: each line belongs to one month, and a month's closing balance
is the next one's opening balance.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import BigIntegerField, F, Q, QuerySet, Subquery, Value
from django.db.models.expressions import RawSQL

from accounts.errors import InvalidInput
from accounts.models import Entry, LedgerAccount, Transfer, User
from accounts.periods import Period

CHUNK = 2_000  # lines that an export reads at once
MOST_OF_A_JOB = 1_000  # movements

# What each kind of line does to a wallet. It is asked of the line itself, where indexes find the rare kinds.
ADDED, CHARGED = Q(posted_delta__gt=0), Q(posted_delta__lt=0)
KINDS: dict[str, Q] = {
    "grant": ADDED & Q(transfer__refunds=None),
    "hold": Q(pending_delta__gt=0),
    "capture": CHARGED,
    "release": Q(posted_delta=0, pending_delta__lt=0),
    "refund": ADDED & Q(transfer__refunds__isnull=False),
}
SIGNS = {"added": ADDED, "charged": CHARGED}


class Range(NamedTuple):
    """Lines after number `after`, up to and including number `last`."""

    after: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which lines: of a kind of KINDS, "added" or "charged", of one job, of jobs that one API key has
    asked for (its public id), of a period; empty is any."""

    kind: str = ""
    sign: str = ""
    reference: str = ""
    api_key: UUID | None = None
    period: Period = field(default_factory=Period)

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("sign", SIGNS)):
            value = getattr(self, name)
            if value and value not in allowed:
                raise InvalidInput.of(name, f"{name} is one of {', '.join(allowed)}.")
        if len(self.reference) > 100 or "\x00" in self.reference:
            raise InvalidInput.of("reference", "reference is the id of a generation.")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Lines, newest first; `newer` and `older` are the numbers to go on from, None at an end."""

    lines: list[Entry]
    newer: int | None
    older: int | None


class Line(NamedTuple):
    """One line as an export has it; amounts in micro-USD."""

    number: int
    created_at: datetime
    code: str
    posted_change: int
    posted_after: int
    held_change: int
    held_after: int
    reference: str
    price_id: int | None
    transfer_id: str
    reason: str
    api_key: UUID | None


def entries_of(user: User) -> QuerySet[Entry]:
    """The lines of the user's account.

    The account is a scalar here, not a join: once SQLite has statistics of a table with few accounts, it would read all
    lines of the table and sort them rather than follow the index on (account, version).
    """
    return Entry.objects.filter(account=Subquery(LedgerAccount.objects.filter(owner=user).values("pk")[:1]))


def lines_of(user: User, filters: Filters) -> QuerySet[Entry]:
    """The lines that fit, each with `available_change` and `available_after`; the caller orders them by `version`."""
    lines = (
        entries_of(user)
        .select_related("transfer", "account")
        .annotate(
            available_change=F("posted_delta") - F("pending_delta"),
            available_after=F("posted_after") - F("pending_after"),
        )
    )
    if filters.kind:
        lines = lines.filter(KINDS[filters.kind])
    if filters.sign:
        lines = lines.filter(SIGNS[filters.sign])
    if filters.reference:
        # Found first, of a job that has a handful: by a join they would be looked for in all lines of the account.
        moves = Transfer.objects.filter(reference=filters.reference).values_list("pk", flat=True)[:MOST_OF_A_JOB]
        lines = lines.filter(transfer__in=list(moves))
    if filters.api_key:
        lines = lines.filter(api_key=filters.api_key)
    return within(lines, user, filters.period)


def page_of(user: User, filters: Filters, *, limit: int, before: int | None = None, after: int | None = None) -> Page:
    """`limit` lines before a number, or the ones next after it, or the newest."""
    lines = lines_of(user, filters)
    if after is not None:
        found = list(lines.filter(version__gt=after).order_by("version")[: limit + 1])
        page = found[:limit][::-1]
        return Page(
            lines=page,
            newer=page[0].version if len(found) > limit else None,
            older=page[-1].version if page else None,
        )
    if before is not None:
        lines = lines.filter(version__lt=before)
    found = list(lines.order_by("-version")[: limit + 1])
    page = found[:limit]
    newer = page[0].version if page else (before or 1) - 1
    return Page(
        lines=page,
        newer=newer if before is not None else None,
        older=page[-1].version if len(found) > limit else None,
    )


def within(lines: QuerySet[Entry], user: User, period: Period) -> QuerySet[Entry]:
    """Those of the user's lines that belong to a period; costs no query of its own."""
    if period.starts_at:
        lines = lines.filter(version__gt=_count_before(user, period.starts_at))
    if period.ends_at:
        lines = lines.filter(version__lte=_count_before(user, period.ends_at))
    return lines


def range_of(user: User, period: Period) -> Range:
    """The numbers of the lines that belong to a period."""
    after = _count_before(user, period.starts_at) if period.starts_at else Value(0, BigIntegerField())
    last = _count_before(user, period.ends_at) if period.ends_at else F("version")
    found = LedgerAccount.objects.filter(owner=user).values_list(after, last).first()
    return Range(*found) if found else Range(0, 0)


def read_range(user: User, lines: Range, *, api_key: UUID | None = None) -> Iterator[list[Line]]:
    """The lines of a range, those of a key only if one is named, oldest first, in pieces.

    No transaction is open between two pieces.

    A line is never changed and none comes in between, so the pieces are of one moment all the same.
    """
    rows = (
        entries_of(user)
        .order_by("version")
        .values_list(
            *("version", "created_at", "transfer__code", "posted_delta", "posted_after"),
            *("pending_delta", "pending_after", "transfer__reference", "transfer__price_id"),
            *("transfer_id", "transfer__reason", "api_key"),
        )
    )
    if api_key:
        rows = rows.filter(api_key=api_key)
    after = lines.after
    while after < lines.last:
        piece = [Line(*row) for row in rows.filter(version__gt=after, version__lte=lines.last)[:CHUNK]]
        if not piece:  # the last lines are not the key's
            return
        yield piece
        after = piece[-1].number


def balance_at(user: User, number: int) -> tuple[int, int]:
    """What was posted and what was held after the line of this number; nothing before the first line."""
    rows = entries_of(user).filter(version=number)
    return rows.values_list("posted_after", "pending_after").first() or (0, 0)


def _count_before(user: User, moment: datetime) -> RawSQL:
    """How many of a user's lines were written before a moment: a binary search over their numbers.

    About 20 look-ups in the index on (account, version); an index on the time would cost every hold. A clock that once
    jumped back puts the lines around that moment into one of two neighbouring periods, never into both: the search for
    a later moment ends at the same number or at a higher one.
    """
    account, entry = (connection.ops.quote_name(model._meta.db_table) for model in (LedgerAccount, Entry))
    at = connection.ops.adapt_datetimefield_value(moment)
    return RawSQL(  # noqa: S611 - the names are our own tables'
        f"(WITH RECURSIVE search(account, low, high) AS ("  # noqa: S608
        f" SELECT wallet.id, CAST(0 AS BIGINT), wallet.version FROM {account} wallet WHERE wallet.owner_id = %s"
        f" UNION ALL"
        f" SELECT account, CASE WHEN line.created_at < %s THEN line.version ELSE low END,"
        f" CASE WHEN line.created_at < %s THEN high ELSE line.version - 1 END"
        f" FROM search JOIN {entry} line ON line.account_id = account AND line.version = (low + high + 1) / 2"
        f" WHERE low < high)"
        f" SELECT COALESCE(MAX(low), 0) FROM search)",
        [user.pk, at, at],
        output_field=BigIntegerField(),
    )
