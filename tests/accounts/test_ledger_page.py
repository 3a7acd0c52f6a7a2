"""/account/ledger/: every line of one's money, in pages that all cost the same."""

import re
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import ledger
from accounts.models import Entry
from tests import people
from tests.accounts import money

pytestmark = pytest.mark.django_db

PATH = "/account/ledger/"


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


def rows(page):
    """What the rows say, without tags, newest first."""
    body = page.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in body.split("</tr>")[:-1]]


def amounts(row):
    return row.split()[-3:]


def test_a_stranger_is_sent_to_sign_in(stranger):
    answer = stranger.get(PATH)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={PATH}")


def test_without_a_line_it_says_what_the_first_one_will_be():
    client = Client()
    client.force_login(people.make_person("penniless", credit_micros=0))
    html = client.get(PATH).content.decode()
    assert "Nothing has moved yet" in html
    assert "<table" not in html


def test_a_hold_never_looks_like_a_charge(client, alice):
    hold = money.reserve(alice, money.make_price())
    assert amounts(rows(client.get(PATH))[0]) == ["–", "+$0.058", "$0.942"]
    ledger.capture(hold=hold, amount_micros=money.IMAGE)
    assert amounts(rows(client.get(PATH))[0]) == ["-$0.058", "-$0.058", "$0.942"]


def test_a_release_gives_the_money_back_and_charges_nothing(client, alice):
    ledger.release(hold=money.reserve(alice, money.make_price()), reason="failed")
    assert amounts(rows(client.get(PATH))[0]) == ["–", "-$0.058", "$1.000"]


def test_money_that_comes_in_has_a_sign(client, alice):
    money.grant(alice, 500_000, reason="for the poster")
    row = rows(client.get(PATH))[0]
    assert "Grant for the poster" in row
    assert amounts(row) == ["+$0.500", "–", "$1.500"]


def test_a_line_for_a_job_leads_to_it_and_one_for_anything_else_does_not(client, alice):
    price, job = money.make_price(), uuid4()
    money.reserve(alice, price, reference=str(job))
    money.reserve(alice, price, reference="x" * 36)
    html = client.get(PATH).content.decode()
    assert re.findall(r'<a class="mono" href="([^"]+)"', html) == [f"/generations/{job}/"]
    assert "x" * 36 in html


def test_what_was_written_is_text(client, alice):
    money.grant(alice, 1, reason="<script>alert(1)</script>")
    html = client.get(PATH).content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_the_lines_of_others_are_not_there(client, bob):
    money.grant(bob, 1, reason="a secret of Bob")
    assert rows(client.get(PATH)) != []
    assert "a secret of Bob" not in client.get(PATH).content.decode()
    assert Entry.objects.filter(transfer__reason="a secret of Bob").exists()


def test_following_the_pages_shows_every_line_once(client, alice):
    for number in range(65):
        money.grant(alice, 1, reason=f"line {number}.")
    seen, address = [], PATH
    while address:
        page = client.get(address)
        seen += re.findall(r"line (\d+)\.", page.content.decode())
        older = re.search(r'href="(\?before=\d+)" rel="next"', page.content.decode())
        address = older and PATH + older[1]
        money.grant(alice, 1, reason="meanwhile")  # a line that comes in shifts nothing
    assert seen == [str(number) for number in range(64, -1, -1)]


@pytest.mark.slow
def test_the_last_page_of_a_thousand_lines_costs_what_the_first_one_does(client, alice):
    for _ in range(1_000):
        money.grant(alice, 1)
    statements = []
    for address in (PATH, f"{PATH}?before=130"):  # page 1 and page 30
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = client.get(address)
        assert len(rows(page)) == 30
        assert len(page.content) < 50_000
        statements.append([query["sql"] for query in queries])
    assert len(statements[0]) == len(statements[1]) <= 8
    assert not [sql for sql in statements[1] if "OFFSET" in sql or "COUNT(" in sql]


@pytest.mark.parametrize("before", ["", "x", "-1", "²", "9" * 40, "1 OR 1=1"])
def test_a_made_up_place_is_the_first_page(client, before):
    page = client.get(PATH, {"before": before})
    assert page.status_code == 200
    assert len(rows(page)) == 1


def test_before_the_first_line_there_is_nothing(client):
    html = client.get(f"{PATH}?before=1").content.decode()
    assert "There is nothing older" in html
    assert f'href="{PATH}">Newest' in html


def test_it_only_answers_reading(client):
    assert client.post(PATH).status_code == 405
