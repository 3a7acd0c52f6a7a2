"""Amounts as people write them, to and from integer micro-USD; no float is ever involved."""

import re
from decimal import Decimal

from accounts.errors import InvalidInput
from accounts.models import MAX_AMOUNT

MICROS = 1_000_000
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII)


def format_usd(micros: int) -> str:
    """Six places and the sign: 58000 is "0.058000"."""
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // MICROS}.{abs(micros) % MICROS:06d}"


def parse_usd(value: str | Decimal, *, field: str = "amount", allow_negative: bool = False) -> int:
    """An amount in USD as micro-USD. Raises InvalidInput naming `field`; a seventh place is refused, not rounded."""
    text = f"{value:f}" if isinstance(value, Decimal) else value.strip()
    if not DECIMAL.fullmatch(text):
        raise InvalidInput.of(field, "Enter an amount in USD, such as 12.50.")
    negative = text.startswith("-")
    whole, _, fraction = text.lstrip("+-").partition(".")
    if len(fraction) > 6:
        raise InvalidInput.of(field, "An amount has at most six decimal places.")
    # A text of a million digits is too long to be small, unless they are zeros in front.
    whole = whole.lstrip("0")
    micros = int(whole or "0") * MICROS + int(fraction.ljust(6, "0")) if len(whole) <= 16 else MAX_AMOUNT + 1
    if micros > MAX_AMOUNT:
        raise InvalidInput.of(field, f"The largest amount is {format_usd(MAX_AMOUNT)} USD.")
    if negative and micros and not allow_negative:
        raise InvalidInput.of(field, "The amount must not be negative.")
    return -micros if negative else micros
