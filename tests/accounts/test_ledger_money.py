"""Amounts as text."""

from decimal import Decimal

import pytest

from accounts.errors import InvalidInput
from accounts.ledger import format_usd, parse_usd
from accounts.models import MAX_AMOUNT


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.000000"),
        (1, "0.000001"),
        (58_000, "0.058000"),
        (-58_000, "-0.058000"),
        (-1_000_001, "-1.000001"),
        (MAX_AMOUNT, "9007199254.740991"),
    ],
)
def test_amounts_have_six_places_and_their_sign(micros, text):
    assert format_usd(micros) == text
    assert parse_usd(text, allow_negative=True) == micros


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("1", 1_000_000),
        ("1.", 1_000_000),
        (".5", 500_000),
        ("+2.50", 2_500_000),
        (" 0.058 ", 58_000),
        ("0000000000000000000001", 1_000_000),
        ("-0", 0),
        (Decimal("0.134"), 134_000),
        (Decimal("1E+3"), 1_000_000_000),
    ],
)
def test_amounts_are_read_exactly(value, micros):
    assert parse_usd(value) == micros


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ".", "-", "abc", "1,5", "1_000", "0x1", "1e3", "1 2", "$1", "١", "1.2.3", "1\n2"),
        *("nan", "NaN", "inf", "-Infinity", Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
        *("0.0000001", "0.0000000", Decimal("1E-7"), "-1", "-0.000001", Decimal("-5")),
        *("9007199254.740992", "9" * 10_000, Decimal("1E+300")),
    ],
)
def test_what_is_no_amount_is_refused_by_the_name_of_its_field(value):
    with pytest.raises(InvalidInput) as refusal:
        parse_usd(value, field="credit")
    assert [error.field for error in refusal.value.errors] == ["credit"]


def test_a_negative_amount_is_read_where_it_is_allowed():
    assert parse_usd("-0.5", allow_negative=True) == -500_000
