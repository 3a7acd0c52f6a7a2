"""Ledger, API keys, profile and theme, as a person meets them."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import keys, ledger
from accounts.models import ApiKey, Entry

pytestmark = pytest.mark.django_db

PAGES = ("/account/ledger/", "/account/keys/", "/account/profile/")


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_sign_in(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/accounts/login/?next={path}")


# --- Ledger --------------------------------------------------------------------------------------


def grant_often(user, count):
    for number in range(count):
        ledger.grant(user=user, amount_micros=1_000, reason=f"line {number}", key=f"line:{user.pk}:{number}")


def test_a_hold_never_looks_like_a_charge(browser, alice):
    price = ledger.current_price(model="gemini-3.1-flash-image-preview", size="1K")
    soon = timezone.now() + timedelta(minutes=5)
    hold = ledger.reserve(user=alice, amount_micros=58_000, reference="x", key="h", price=price, expires_at=soon)
    shown = browser.get("/account/ledger/").content.decode()
    row = shown[shown.index(">Hold</span>") : shown.index("</tr>", shown.index(">Hold</span>"))]
    assert re.findall(r"\$[\d.]+", row) == ["$0.058", f"${ledger.balance_of(alice).available / 1_000_000:.3f}"]
    ledger.capture(hold=hold)
    assert "-$0.058" in browser.get("/account/ledger/").content.decode()


def test_pages_go_by_the_lines_number_and_lose_none(browser, alice):
    grant_often(alice, 120)
    seen, address = [], "/account/ledger/"
    while address:
        shown = browser.get(address).content.decode()
        seen += re.findall(r"line (\d+)<|line (\d+)\s", shown)
        older = re.search(r'href="(\?before=\d+)"', shown)
        address = "/account/ledger/" + older[1] if older else ""
    numbers = [int(a or b) for a, b in seen]
    assert numbers == list(range(119, -1, -1))


def test_a_late_page_costs_what_the_first_one_does(browser, alice):
    grant_often(alice, 150)
    browser.get("/account/ledger/")
    counts = []
    for address in ("/account/ledger/", "/account/ledger/?before=60"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            browser.get(address)
        counts.append(len(queries))
        assert not any("OFFSET" in query["sql"].upper() for query in queries)
        assert not any("COUNT(*)" in query["sql"].upper() for query in queries)
    assert counts[0] == counts[1] <= 8


@pytest.mark.parametrize("before", ["", "x", "-1", "0", "9" * 40, "1 OR 1=1"])
def test_a_made_up_place_is_no_error(browser, before):
    assert browser.get("/account/ledger/", {"before": before}).status_code == 200


def test_the_lines_of_others_are_not_there(browser, bob):
    ledger.grant(user=bob, amount_micros=1, reason="bobs secret gift", key="b")
    assert "bobs secret gift" not in browser.get("/account/ledger/").content.decode()
    assert Entry.objects.filter(transfer__reason="bobs secret gift").exists()


# --- API keys ------------------------------------------------------------------------------------


def once(client):
    return re.search(r'name="once" value="(\w+)"', client.get("/account/keys/").content.decode())[1]


def send(client, **fields):
    body = {"once": once(client), "name": "phone", "scopes": ["generate", "read"], "lifetime": "never", **fields}
    return client.post("/account/keys/", body)


def test_a_new_key_works_at_once_and_is_shown_once(browser, alice, client):
    answer = send(browser)
    secret = re.search(r'<output id="key-value">(\S+)</output>', answer.content.decode())[1]
    assert answer.headers["Cache-Control"] == "no-store"
    assert keys.authenticate(secret).user == alice
    again = browser.get("/account/keys/").content.decode()
    assert secret not in again
    assert "phone" in again


def test_sending_the_same_form_again_makes_no_second_key(browser, alice):
    body = {"once": once(browser), "name": "phone", "scopes": ["read"], "lifetime": "never"}
    browser.post("/account/keys/", body)
    answer = browser.post("/account/keys/", body)
    assert alice.api_keys.count() == 1
    assert "was sent already" in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "x" * 101}, "at most 100"),
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["review"]}, "not one of the available choices"),
        ({"lifetime": "forever"}, "not one of the available choices"),
        ({"lifetime": "date"}, "Name the day"),
        ({"lifetime": "date", "last_day": "2001-01-01"}, "would have expired already"),
        ({"lifetime": "date", "last_day": "soon"}, "Enter a valid date"),
    ],
)
def test_a_bad_wish_is_refused_beside_its_field(browser, fields, words):
    answer = send(browser, **fields)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_a_lifetime_of_30_days_ends_in_30_days(browser, alice):
    send(browser, lifetime="30")
    left = alice.api_keys.get().expires_at - timezone.now()
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


def test_a_key_that_ends_on_a_day_is_valid_until_its_end(browser, alice):
    day = (timezone.now() + timedelta(days=2)).date()
    send(browser, lifetime="date", last_day=day.isoformat())
    ends = alice.api_keys.get().expires_at
    assert (ends.date(), ends.hour, ends.minute) == (day, 23, 59)


def test_revoking_asks_first_and_then_ends_it(browser, alice):
    key = keys.create_key(user=alice, name="old phone").api_key
    address = f"/account/keys/{key.public_id}/revoke/"
    assert "cannot be undone" in browser.get(address).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
    assert browser.post(address).headers["Location"] == "/account/keys/"
    key.refresh_from_db()
    assert key.revoked_at is not None


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_key_of_somebody_else_is_not_there(browser, bob, method):
    key = keys.create_key(user=bob).api_key
    assert getattr(browser, method)(f"/account/keys/{key.public_id}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


# --- Profile and theme ---------------------------------------------------------------------------


def test_a_name_is_kept_without_needless_space(browser, alice):
    assert browser.post("/account/profile/", {"name": "  Ada   Lovelace "}).status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.initials) == ("Ada Lovelace", "AL")


def test_a_name_that_is_too_long_is_refused(browser, alice):
    assert browser.post("/account/profile/", {"name": "x" * 151}).status_code == 400
    alice.refresh_from_db()
    assert alice.name == "Alice"


def test_the_theme_is_kept_in_a_cookie_and_painted_by_the_server(client):
    answer = client.post("/account/theme/", {"theme": "dark", "next": "/models/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/models/")
    cookie = answer.cookies["theme"]
    assert (cookie.value, cookie["samesite"], cookie["max-age"]) == ("dark", "Lax", 31_536_000)
    assert 'data-theme="dark"' in client.get("/models/").content.decode()


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_the_theme_leads_to_no_other_site(client, target):
    answer = client.post("/account/theme/", {"theme": "light", "next": target})
    assert answer.headers["Location"] == "/"


def test_an_unknown_theme_is_not_kept(client):
    assert "theme" not in client.post("/account/theme/", {"theme": '"><script>', "next": "/"}).cookies
    client.cookies["theme"] = '"><script>'
    assert '<html lang="en">' in client.get("/models/").content.decode()


def test_reading_changes_no_theme(client):
    assert client.get("/account/theme/").status_code == 405
