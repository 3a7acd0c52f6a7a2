"""Personal data: what is found to the character, what only looks like it, and what may be kept of it."""

import pytest

from gallery.screening.verdicts import Ruleset
from tests.gallery.screening.asking import ask, detector, found, only

EVERY = [detector(name) for name in ("iban", "card", "email", "national_id", "phone")]

REAL = {
    "email": [
        "a.person@example.com",
        "x+tag@mail.example.co.uk",
        "jörg@müller.de",
        "person (at) example (dot) com",
        "ｐｅｒｓｏｎ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    ],
    "phone": [
        "+49 171 2345678",
        "+1 (415) 555-2671",
        "0044 20 7946 0958",
        "(415) 555-2671",
        "415-555-2671",
        "0171 2345678",
        "06 12 34 56 78",
        "020 7946 0958",
        "+٤٩ ١٧١ ٢٣٤٥٦٧٨",
    ],
    "card": [
        "4242424242424242",
        "4242 4242 4242 4242",
        "4000-0566-5566-5556",
        "3782 822463 10005",
        "378282246310005",
        "6011111111111117",
        "5555 5555 5555 4444",
        "4222222222222",
        "４２４２ ４２４２ ４２４２ ４２４２",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "NO93 8601 1117 947",
        "FR1420041010050500013M02606",
        "MT84MALT011000012345MTLCAST001S",
        "de89370400440532013000",
    ],
    "national_id": ["078-05-1120", "12345678Z", "X1234567L", "1 84 12 76 451 089 46", "184127645108946"],
}
FALSE = {
    "email": ["@home", "a@b", "me@", "a@.com", "a@b..com", "a@b.c", "@@@@"],
    "phone": ["1920x1080", "12345678901", "2026-11-27", "10 000 000", "0.5K", "+5", "f/1.8 1/250 s"],
    "card": [
        "4242 4242 4242 4241",  # Luhn
        "0000 0000 0000 0000",
        "1234567812345670",  # right, but no card begins so
        "424242424242",  # too short
        "42424242424242424242",  # too long
        "4242424242424242x",
        "4242  4242  4242  4242",
    ],
    "iban": [
        "DE88 3704 0044 0532 0130 00",  # mod 97
        "DE89 3704 0044 0532 0130 0",
        "DE89 3704 0044 0532 0130 000",
        "XX89370400440532013000",
        "ADE89370400440532013000",
    ],
    "national_id": [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "078-00-1120",
        "078-05-0000",
        "12345678A",
        "X1234567A",
        "184127645108947",
    ],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, all_of_it in REAL.items() for data in all_of_it])
def test_what_is_real_is_found_exactly_and_as_what_it_is(name, data):
    text = f"Ruf an: {data}. Danke, é"
    hit = only(ask(text, *EVERY))
    assert (hit.detector, text[hit.start : hit.end]) == (name, data)


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, all_of_it in FALSE.items() for data in all_of_it])
def test_what_only_looks_like_it_is_none(name, data):
    assert found(f"so {data} it is", detector(name)) == []


def test_a_wrong_digit_anywhere_in_a_card_is_noticed():
    digits = "4000056655665556"
    for place, digit in enumerate(digits):
        for other in "0123456789":
            text = digits[:place] + other + digits[place + 1 :]
            assert found(text, detector("card")) == ([text] if other == digit else [])


def test_a_wrong_or_swapped_character_in_an_iban_is_noticed():
    account = "GB82WEST12345698765432"
    for place in range(2, len(account)):
        other = "7" if account[place] != "7" else "1"
        assert found(account[:place] + other + account[place + 1 :], detector("iban")) == []
    for place in range(4, len(account) - 1):
        swapped = account[:place] + account[place + 1] + account[place] + account[place + 2 :]
        assert found(swapped, detector("iban")) == ([account] if swapped == account else [])


def test_a_card_is_found_beside_its_date_and_a_second_one():
    text = "4242 4242 4242 4242 12/27 and 5555 5555 5555 4444 123"
    assert found(text, detector("card")) == ["4242 4242 4242 4242", "5555 5555 5555 4444"]


def test_what_is_kept_is_too_little_to_use():
    text = "a.person@example.com, 4242424242424242, DE89370400440532013000, +49 171 2345678, 078-05-1120"
    kept = [hit["masked"] for hit in ask(text, *EVERY).kept()]
    assert sorted(kept) == sorted(["a…@….com", "…4242", "DE…00", "…78", "…20"])
    assert not any(each in str(ask(text, *EVERY).kept()) for each in ("person", "example", "424242", "3704", "171"))


def test_masking_takes_out_exactly_the_data_and_leaves_nothing_to_find():
    ruleset = Ruleset(EVERY)
    texts = {
        "prompt": "Für ü a.person@example.com, Karte 4242 4242 4242 4242!",
        "styles.0": "call +49 171 2345678",
    }
    masked = ruleset.screen(texts).mask(texts)
    assert masked == {"prompt": "Für ü [email], Karte [card number]!", "styles.0": "call [phone number]"}
    assert ruleset.screen(masked).hits == ()


def test_what_overlaps_is_masked_together():
    texts = {"prompt": "tel 0171 2345678@example.com"}
    masked = Ruleset(EVERY).screen(texts).mask(texts)["prompt"]
    assert "2345678" not in masked
    assert "example" not in masked
