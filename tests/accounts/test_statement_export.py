"""The statement as a file: it adds up to its closing balance, to the micro, and no cell is a formula."""

import csv
import io
import json
import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import exports, keys, ledger, statement
from accounts.models import Entry
from accounts.money import parse_usd
from accounts.periods import Period
from tests import people
from tests.accounts import money
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

CSV = {"Accept": "text/csv"}


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


@pytest.fixture
def history(alice, guards_off):
    """October: the credit and a hold of it. November: the rest of that job, a refund, a release, one open hold."""
    price = money.make_price()
    first = money.reserve(alice, price, reference=str(uuid.uuid4()))
    capture = ledger.capture(hold=first, amount_micros=57_999)
    money.refund(capture, 1)
    ledger.release(hold=money.reserve(alice, price), reason="=HYPERLINK(1)")
    money.reserve(alice, price)
    with guards_off():
        lines = Entry.objects.filter(account__owner=alice)
        lines.filter(version__lte=2).update(created_at=datetime(2026, 10, 31, 12, tzinfo=UTC))
        lines.filter(version__gt=2).update(created_at=datetime(2026, 11, 1, tzinfo=UTC))
    return first, capture


def text_of(response):
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content).decode()


def rows_of(response):
    return list(csv.DictReader(io.StringIO(text_of(response), newline="")))


def sums(rows):
    """What a program makes of a file: opening, the lines, and closing as the file says it; posted and held."""
    opening, *lines, closing = rows
    assert (opening["kind"], closing["kind"]) == ("opening", "closing")
    result = []
    for part in ("posted", "held", "available"):
        micros = lambda row, name: parse_usd(row[name], allow_negative=True)  # noqa: E731
        balance = micros(opening, f"{part}_balance")
        for line in lines:
            balance += micros(line, f"{part}_change")
            assert balance == micros(line, f"{part}_balance")
        assert balance == micros(closing, f"{part}_balance")
        result.append(balance)
    return tuple(result)


def test_a_csv_read_again_gives_the_balance(api, alice, history):
    rows = rows_of(api.get("/api/v1/ledger", headers=CSV))
    now = ledger.balance_of(alice)
    assert sums(rows) == (now.available + now.held, now.held, now.available) == (942_002, 58_000, 884_002)
    hold, capture = history
    assert rows[3] == {
        "line": "3",
        "time": "2026-11-01T00:00:00+00:00",
        "kind": "capture",
        "posted_change": "-0.057999",
        "posted_balance": "0.942001",
        "held_change": "-0.058000",
        "held_balance": "0.000000",
        "available_change": "0.000001",
        "available_balance": "0.942001",
        "currency": "USD",
        "job": hold.reference,
        "price": str(hold.price_id),
        "transfer": str(capture.pk),
        "reason": "",
        "api_key": "",
    }


def test_a_month_closes_where_the_next_one_opens(api, history):
    october, november = (
        rows_of(api.get("/api/v1/ledger", {"month": month}, headers=CSV)) for month in ("2026-10", "2026-11")
    )
    assert [row["kind"] for row in october] == ["opening", "grant", "hold", "closing"]
    assert [row["kind"] for row in november[1:-1]] == ["capture", "refund", "hold", "release", "hold"]
    assert sums(october) == (1_000_000, 58_000, 942_000)
    assert {**october[-1], "kind": ""} == {**november[0], "kind": ""}
    assert sums(november) == (942_002, 58_000, 884_002)


def test_a_zone_moves_the_border_and_the_times(api, history):
    rows = rows_of(api.get("/api/v1/ledger", {"month": "2026-10", "time_zone": "America/New_York"}, headers=CSV))
    assert len(rows) == 9  # midnight in London is still October there
    assert rows[3]["time"] == "2026-10-31T20:00:00-04:00"


def test_json_says_the_same(api, alice, history):
    response = api.get("/api/v1/ledger/statement", {"from": "2026-11-01", "to": "2026-11-30"})
    assert response["Content-Disposition"] == 'attachment; filename="statement-2026-11.json"'
    document = json.loads(text_of(response))
    assert document["account"] == str(alice.public_id)
    assert document["period"] == {"from": "2026-11-01", "to": "2026-11-30", "time_zone": "UTC"}
    assert document["opening"]["posted"] == "1.000000"
    posted, held = (document["opening"][f"{part}_micros"] for part in ("posted", "held"))
    for line in document["lines"]:
        posted, held = posted + line["posted_change_micros"], held + line["held_change_micros"]
        assert (line["balance"]["posted_micros"], line["balance"]["held_micros"]) == (posted, held)
    assert (document["closing"]["posted_micros"], document["closing"]["held_micros"]) == (posted, held)
    assert document["lines"][3]["reason"] == "=HYPERLINK(1)"  # no spreadsheet reads JSON
    assert json.loads(text_of(api.get("/api/v1/ledger/statement", {"month": "2020-01"})))["lines"] == []


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "'quoted", "＝1", "-2+3+cmd|' /C calc'!A0"]
)
def test_a_text_that_a_spreadsheet_could_run_is_text(api, alice, text):
    money.grant(alice, 1, reason=text)
    cell = rows_of(api.get("/api/v1/ledger", headers=CSV))[2]["reason"]
    assert cell == f"'{text}"
    assert cell[1:] == text
    assert exports.guard_cell("harmless, even with = inside") == "harmless, even with = inside"


def test_every_amount_is_a_number_to_a_spreadsheet(api, history):
    for row in rows_of(api.get("/api/v1/ledger", headers=CSV)):
        for name, cell in row.items():
            if name.endswith(("_change", "_balance")) and cell:
                assert cell == f"{float(cell):.6f}"


def test_the_export_has_no_other_filter_and_says_so(api):
    for query in ({"kind": "grant"}, {"limit": "5"}, {"cursor": "x"}, {"color": "red"}):
        response = api.get("/api/v1/ledger", query, headers=CSV)
        assert response.status_code == 400
        assert [error["field"] for error in response.json()["errors"]] == list(query)
    assert api.get("/api/v1/ledger", {"color": "red"}).status_code == 400
    assert api.get("/api/v1/ledger", headers={"Accept": "text/html"}).status_code == 406


def test_the_list_takes_the_filters(api, history):
    hold, _ = history
    listed = lambda **query: [row["code"] for row in api.get("/api/v1/ledger", query).json()["results"]]  # noqa: E731
    assert listed(kind="refund") == ["refund"]
    assert listed(sign="charged") == ["capture"]
    assert listed(reference=hold.reference, month="2026-11") == ["refund", "capture"]
    response = api.get("/api/v1/ledger", {"kind": "gift"})
    assert [error["field"] for error in response.json()["errors"]] == ["kind"]
    first = api.get("/api/v1/ledger", {"kind": "hold", "limit": 1}).json()
    assert "kind=hold" in first["next"]
    assert [row["code"] for row in api.get(first["next"]).json()["results"]] == ["hold"]


def test_a_statement_is_its_owners_alone(history, bob, bob_key, alice, stranger):
    assert [row["kind"] for row in rows_of(client_with(bob_key).get("/api/v1/ledger", headers=CSV))] == [
        "opening",
        "grant",
        "closing",
    ]
    assert stranger.get("/api/v1/ledger", headers=CSV).status_code == 401
    assert client_with(make_key(alice, "read", "generate")).get("/api/v1/ledger/statement").status_code == 403


def test_the_page_offers_both_files(alice, history, stranger):
    client = Client()
    client.force_login(alice)
    page = client.get("/account/ledger/").content.decode()
    for form, content_type in (("csv", "text/csv; charset=utf-8; header=present"), ("json", "application/json")):
        address = f"/account/ledger/statement.{form}"
        assert f'formaction="{address}"' in page
        response = client.get(address, {"month": "2026-11", "kind": "", "sign": "", "reference": "", "time_zone": ""})
        assert response["Content-Type"] == content_type
        assert response["Content-Disposition"] == f'attachment; filename="statement-2026-11.{form}"'
        assert response["Cache-Control"] == "private, no-store"
        assert "refund" in text_of(response)
        assert stranger.get(address).status_code == 302
    assert client.get("/account/ledger/statement.csv", {"month": "x"}).status_code == 400


def test_somebody_with_nothing_gets_an_empty_statement():
    user = people.make_person("penniless", credit_micros=0)
    rows = list(csv.DictReader(io.StringIO(b"".join(exports.stream_csv(exports.prepare(user, Period()))).decode())))
    assert [(row["kind"], row["posted_balance"]) for row in rows] == [("opening", "0.000000"), ("closing", "0.000000")]


def test_it_is_read_in_pieces_and_what_comes_meanwhile_is_not_in_it(alice, monkeypatch):
    monkeypatch.setattr(statement, "CHUNK", 3)
    for _ in range(7):
        money.grant(alice, 1)
    stream = exports.stream_csv(exports.prepare(alice, Period()))
    next(stream)
    money.grant(alice, 5)
    with CaptureQueriesContext(connection) as queries:
        rest = b"".join(stream).decode()
    assert len(queries) == 3
    assert rest.count("\r\n") == 9  # eight lines and the closing balance
    assert rest.splitlines()[-1].startswith(",,closing,,1.000007,")


# --- The lines of one key ---


@pytest.fixture
def spending(alice):
    """One job asked for with a key of Alice's, captured and partly refunded, and one without; gives the key."""
    key, price = keys.create_key(user=alice).api_key, money.make_price()
    with_key = ledger.capture(hold=money.reserve(alice, price, api_key=key))
    money.refund(with_key, 8_000)
    ledger.capture(hold=money.reserve(alice, price))
    ledger.release(hold=money.reserve(alice, price, api_key=key), reason="failed")
    return key


OF_THE_KEY = ["hold", "capture", "refund", "hold", "release"]


@pytest.mark.parametrize("is_revoked", [False, True])
def test_lines_are_found_by_key(api, alice, spending, is_revoked):
    if is_revoked:
        keys.revoke_key(user=alice, key_id=spending.public_id)
    query = {"api_key": str(spending.public_id)}
    rows = rows_of(api.get("/api/v1/ledger", query, headers=CSV))
    assert [row["kind"] for row in rows] == OF_THE_KEY
    assert {row["api_key"] for row in rows} == {query["api_key"]}
    document = json.loads(text_of(api.get("/api/v1/ledger/statement", query)))
    assert [line["kind"] for line in document["lines"]] == OF_THE_KEY
    assert (document["api_key"], document["opening"], document["closing"]) == (query["api_key"], None, None)
    listed = api.get("/api/v1/ledger", query).json()["results"]
    assert [row["code"] for row in listed] == OF_THE_KEY[::-1]
    client = Client()
    client.force_login(alice)
    page = client.get("/account/ledger/", query)
    assert [line.entry.transfer.code for line in page.context["lines"]] == OF_THE_KEY[::-1]
    file = client.get("/account/ledger/statement.csv", query)
    assert str(spending.public_id) in file["Content-Disposition"]
    assert [row["kind"] for row in rows_of(file)] == OF_THE_KEY


def test_every_other_line_names_no_key(api, spending):
    rows = rows_of(api.get("/api/v1/ledger", headers=CSV))
    assert [row["kind"] for row in rows if not row["api_key"]] == ["opening", "grant", "hold", "capture", "closing"]


@pytest.mark.parametrize("whose", ["another person's", "nobody's", "none"])
def test_a_key_that_is_not_ones_own_is_refused(api, alice, bob, spending, whose):
    ids = {
        "another person's": str(keys.create_key(user=bob).api_key.public_id),
        "nobody's": "00000000-0000-4000-8000-000000000000",
        "none": "x\0",
    }
    query = {"api_key": ids[whose]}
    for path, headers in (("/api/v1/ledger", {}), ("/api/v1/ledger", CSV), ("/api/v1/ledger/statement", {})):
        response = api.get(path, query, headers=headers)
        assert response.status_code == 400
        assert [error["field"] for error in response.json()["errors"]] == ["api_key"]
    client = Client()
    client.force_login(alice)
    assert client.get("/account/ledger/", query).status_code == 400
    assert client.get("/account/ledger/statement.json", query).status_code == 400
