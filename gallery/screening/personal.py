"""Personal data in a text: email addresses, telephone numbers, card numbers, IBANs and national numbers.

Each detector reads the plain view and yields spans. What has a check digit is only found when it is right. All of them
are linear: RE2 for the patterns, and walks that are bounded by the length of what is looked for.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import re2

Spans = Iterator[tuple[int, int]]

MAX_LOCAL_CHARS = 64  # of an email address, before the @
MAX_DOMAIN_CHARS = 253
CARD_DIGITS = range(13, 20)
CARD_STARTS = "23456"
PHONE_DIGITS = range(7, 16)

# Length of an IBAN by country, from the registry of ISO 13616.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_NIE_STARTS = {"X": "0", "Y": "1", "Z": "2"}

_WRITTEN_EMAIL = re2.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+\-]{0,40}\s?[\[(]\s?(?i:at)\s?[\])]\s?"
    r"[A-Za-z0-9\-]{1,30}(?:(?:\.|\s?[\[(]\s?(?i:dot)\s?[\])]\s?)[A-Za-z0-9\-]{1,30}){1,3}"
)
_PHONES = (
    re2.compile(r"(?:\+|\b00)[1-9](?:[ .\-/()]{0,2}[0-9]){6,14}"),
    re2.compile(r"\(?\b[2-9][0-9]{2}\)?[ .\-]{1,2}[2-9][0-9]{2}[ .\-][0-9]{4}\b"),
    re2.compile(r"\(?\b0[1-9][0-9]{0,4}\)?[ \-/][0-9]{2,8}(?:[ \-]?[0-9]{2,4}){1,4}\b"),
    re2.compile(
        r"\b(?i:tel|telephone|phone|call|mobile|whatsapp|sms)\b\.?:?(?: me| us)?(?: at| on)? ?"
        r"(\+?[0-9](?:[ .\-/]?[0-9]){5,14})"  # the number is the last group, here and where there is none
    ),
)
_NATIONAL = re2.compile(
    r"\b(?:([0-9]{3})-([0-9]{2})-([0-9]{4})"
    r"|([0-9XYZxyz][0-9]{7})-?([A-Za-z])"
    r"|([12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3}) ?([0-9]{2}))\b"
)
_DIGITS = re.compile("[0-9]+")
_IBAN_START = re.compile("[A-Za-z]{2}[0-9]{2}")


def find_emails(text: str) -> Spans:
    """Addresses such as a.b@example.com, and those that are written with (at) and (dot)."""
    at = text.find("@")
    after = 0  # what is left of it belongs to an earlier address
    while at >= 0:
        start, end = at, at + 1
        while start > max(after, at - MAX_LOCAL_CHARS) and (text[start - 1].isalnum() or text[start - 1] in "._%+-"):
            start -= 1
        while end < min(len(text), at + MAX_DOMAIN_CHARS) and (text[end].isalnum() or text[end] in ".-"):
            end += 1
        while end > at + 1 and text[end - 1] in ".-":  # the end of a sentence
            end -= 1
        while start < at and text[start] in "._%+-":
            start += 1
        *labels, top = text[at + 1 : end].split(".")
        if start < at and labels and all(labels) and len(top) >= 2 and top.isalpha():
            yield start, end
            after = end
        at = text.find("@", at + 1)
    for match in _WRITTEN_EMAIL.finditer(text):
        yield match.span()


def find_phones(text: str) -> Spans:
    """Numbers with a country code, and national ones that are written as such: a bare row of digits is none."""
    for pattern in _PHONES:
        for match in pattern.finditer(text):
            start, end = match.span(pattern.groups)
            digits = sum(character.isdigit() for character in text[start:end])
            if digits in PHONE_DIGITS and _stands_alone(text, start, end):
                yield start, end


def find_cards(text: str) -> Spans:
    """Rows of 13 to 19 digits with the right last one (Luhn), in groups if they are in groups."""
    row: list[tuple[int, int]] = []
    for match in _DIGITS.finditer(text):
        if row and not (match.start() - row[-1][1] == 1 and text[row[-1][1]] in " -"):
            yield from _cards_of(text, row)
            row = []
        row.append(match.span())
    yield from _cards_of(text, row)


def _cards_of(text: str, row: list[tuple[int, int]]) -> Spans:
    """The cards in groups of digits that follow one another, the longest first; no digit belongs to two."""
    digits = "".join(text[start:end] for start, end in row)
    if len(digits) < CARD_DIGITS.start:
        return
    sums = _luhn_sums(digits)
    places = [0, *accumulate(end - start for start, end in row)]  # of each group in `digits`
    index = 0
    while index < len(row):
        first, found = places[index], 0
        if digits[first] in CARD_STARTS and not text[max(0, row[index][0] - 1) : row[index][0]].isalnum():
            for after in range(index + 1, min(len(row), index + CARD_DIGITS.stop) + 1):
                last = places[after]
                if last - first >= CARD_DIGITS.stop:
                    break
                total = sums[last % 2][last] - sums[last % 2][first]
                if last - first in CARD_DIGITS and total % 10 == 0 and _stands_alone(text, *row[after - 1]):
                    found = after
        if found:
            yield row[index][0], row[found - 1][1]
        index = found or index + 1


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """The sums of all beginnings, with every even digit doubled and with every odd one.

    Of any part of the digits that ends before place n, the sum of Luhn is a difference within list n % 2.
    """
    values = list(map(int, digits))
    doubled = [2 * value - 9 if value > 4 else 2 * value for value in values]
    even, odd = (
        [0, *accumulate(doubled[place] if place % 2 == parity else value for place, value in enumerate(values))]
        for parity in (0, 1)
    )
    return even, odd


def find_ibans(text: str) -> Spans:
    """Account numbers of the right length for their country and with the right check digits (mod 97)."""
    for match in _IBAN_START.finditer(text):
        start = match.start()
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None or (start and text[start - 1].isalnum()):
            continue
        taken, end = "", start
        while end < len(text) and len(taken) < length:
            character = text[end]
            if character.isascii() and character.isalnum():
                taken += character
            elif character not in " -" or text[end - 1] in " -":
                break
            end += 1
        if len(taken) == length and _is_iban(taken) and not text[end : end + 1].isalnum():
            yield start, end


def _is_iban(account: str) -> bool:
    """Whether the check digits of an account number without spaces are right."""
    moved = account[4:] + account[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def find_national_ids(text: str) -> Spans:
    """Social security numbers of the United States, DNI and NIE of Spain, NIR of France."""
    for match in _NATIONAL.finditer(text):
        area, group, serial, dni, letter, nir, key = match.groups()
        is_found = (
            area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
            if area
            else _DNI_LETTERS[int(_NIE_STARTS.get(dni[0].upper(), dni[0]) + dni[1:]) % 23] == letter.upper()
            if dni
            else 97 - int(nir.replace(" ", "")) % 97 == int(key)
        )
        if is_found and _stands_alone(text, *match.span()):
            yield match.span()


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether it is no part of a longer word or number."""
    return not text[max(0, start - 1) : start].isalnum() and not text[end : end + 1].isalnum()


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of personal data: how it is called, found, and written when it is taken out of a text."""

    label: str
    placeholder: str
    find: Callable[[str], Spans]


# The surest first: of two that find the same digits, the first one is right.
DETECTORS = {
    "iban": Detector("IBAN", "[IBAN]", find_ibans),
    "card": Detector("Card number", "[card number]", find_cards),
    "email": Detector("Email address", "[email]", find_emails),
    "national_id": Detector("National number", "[national number]", find_national_ids),
    "phone": Detector("Telephone number", "[phone number]", find_phones),
}


def masked(detector: str, text: str) -> str:
    """What may be kept of it: enough to know it again, too little to use it."""
    match detector:
        case "email":
            return f"{text[0]}…@…{text[text.rfind('.') :] if '.' in text else ''}"
        case "card":
            return f"…{text[-4:]}"
        case "iban":
            return f"{text[:2].upper()}…{text[-2:]}"
    return f"…{text[-2:]}"
