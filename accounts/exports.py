"""The statement as a file: CSV or JSON of a period, with opening and closing balance, streamed.

That of one API key has its lines only, so there are no balances from which they could follow; each line has the
account's own balance after it.

In CSV an amount is a number with six places and perhaps a minus, which every spreadsheet reads as a number. A text that
a spreadsheet could take for a formula gets an apostrophe in front (as does a text that begins with one, so that taking
one away gives each text back).
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts import statement
from accounts.models import User
from accounts.money import format_usd
from accounts.periods import Period
from accounts.statement import Line, Range

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
COLUMNS = (
    *("line", "time", "kind", "posted_change", "posted_balance", "held_change", "held_balance"),
    *("available_change", "available_balance", "currency", "job", "price", "transfer", "reason"),
    "api_key",
)
CURRENCY = "USD"


@dataclass(frozen=True, kw_only=True)
class Export:
    """A statement that is ready to be sent: what came in and went out is read while it is."""

    user: User
    period: Period
    lines: Range
    opening: tuple[int, int]
    closing: tuple[int, int]
    api_key: UUID | None = None

    @property
    def file_name(self) -> str:
        """Without its ending."""
        return f"statement-{self.period.name}" + (f"-key-{self.api_key}" if self.api_key else "")


def prepare(user: User, period: Period, *, api_key: UUID | None = None) -> Export:
    """Fix the lines and the balances on either side; what is written afterwards belongs to the next export.

    `api_key` is the public id of one of the user's own keys.
    """
    lines = statement.range_of(user, period)
    return Export(
        user=user,
        period=period,
        lines=lines,
        opening=statement.balance_at(user, lines.after),
        closing=statement.balance_at(user, lines.last),
        api_key=api_key,
    )


def stream_csv(export: Export) -> Iterator[bytes]:
    """RFC 4180 in UTF-8: the names, the opening balance, the lines from the oldest on, the closing balance."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def taken() -> bytes:
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text.encode()

    writer.writerow(COLUMNS)
    if not export.api_key:
        writer.writerow(_balance_row("opening", export.opening))
    yield taken()
    for piece in statement.read_range(export.user, export.lines, api_key=export.api_key):
        writer.writerows(_row(line, export) for line in piece)
        yield taken()
    if not export.api_key:
        writer.writerow(_balance_row("closing", export.closing))
        yield taken()


def stream_json(export: Export) -> Iterator[bytes]:
    """One JSON object: period, opening balance, lines from the oldest on, closing balance."""
    period = export.period
    head = {
        "account": str(export.user.public_id),
        "currency": CURRENCY,
        "period": {"from": period.start, "to": period.last_day, "time_zone": period.zone_name},
        "made_at": timezone.now().astimezone(period.zone),
        "api_key": export.api_key,
        "opening": None if export.api_key else _balance(export.opening),
        "closing": None if export.api_key else _balance(export.closing),
    }
    yield orjson.dumps(head)[:-1] + b',"lines":['
    is_first = True
    for piece in statement.read_range(export.user, export.lines, api_key=export.api_key):
        body = b",".join(orjson.dumps(_line(line, export)) for line in piece)
        yield body if is_first else b"," + body
        is_first = False
    yield b"]}\n"


def respond(export: Export, *, form: str) -> StreamingHttpResponse:
    """The answer with which a statement is downloaded; `form` is "csv" or "json"."""
    pieces, content_type = {
        "csv": (stream_csv(export), "text/csv; charset=utf-8; header=present"),
        "json": (stream_json(export), "application/json"),
    }[form]
    response = StreamingHttpResponse(pieces, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{export.file_name}.{form}"'
    response["Cache-Control"] = "private, no-store"
    return response


def guard_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" \u00a0").startswith(FORMULA_STARTS) else text


def _row(line: Line, export: Export) -> tuple[object, ...]:
    return (
        line.number,
        line.created_at.astimezone(export.period.zone).isoformat(),
        line.code,
        format_usd(line.posted_change),
        format_usd(line.posted_after),
        format_usd(line.held_change),
        format_usd(line.held_after),
        format_usd(line.posted_change - line.held_change),
        format_usd(line.posted_after - line.held_after),
        CURRENCY,
        guard_cell(line.reference),
        line.price_id or "",
        line.transfer_id,
        guard_cell(line.reason),
        line.api_key or "",
    )


def _balance_row(kind: str, balance: tuple[int, int]) -> tuple[object, ...]:
    posted, held = balance
    amounts = ("", format_usd(posted), "", format_usd(held), "", format_usd(posted - held))
    return ("", "", kind, *amounts, CURRENCY, "", "", "", "", "")


def _balance(balance: tuple[int, int]) -> dict[str, object]:
    posted, held = balance
    amounts = {"posted": posted, "held": held, "available": posted - held}
    return {name: format_usd(micros) for name, micros in amounts.items()} | {
        f"{name}_micros": micros for name, micros in amounts.items()
    }


def _line(line: Line, export: Export) -> dict[str, object]:
    return {
        "line": line.number,
        "created_at": line.created_at.astimezone(export.period.zone),
        "kind": line.code,
        "posted_change": format_usd(line.posted_change),
        "posted_change_micros": line.posted_change,
        "held_change": format_usd(line.held_change),
        "held_change_micros": line.held_change,
        "balance": _balance((line.posted_after, line.held_after)),
        "job": line.reference or None,
        "price": line.price_id,
        "transfer": line.transfer_id,
        "reason": line.reason,
        "api_key": line.api_key,
    }
