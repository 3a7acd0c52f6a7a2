"""/account/keys/: making a key, seeing its text once, and ending it."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts import keys, ledger
from accounts.models import ApiKey
from tests.accounts.money import IMAGE, make_price, reserve
from tests.people import client_with

pytestmark = pytest.mark.django_db

PATH = "/account/keys/"


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


def form_id(page):
    return re.search(r'name="key_id" value="([0-9a-f-]{36})"', page.content.decode())[1]


def wish(client, **fields):
    """What a browser sends of the form that it was shown."""
    shown = {"name": "poster-bot", "scopes": ["generate", "read"], "lifetime": "never", "last_day": ""}
    shown |= {"budget": "", "budget_period": "total"}
    return {"key_id": form_id(client.get(PATH)), **shown, **fields}


def secret_of(page):
    found = re.search(r'<output id="key-value">([^<]+)</output>', page.content.decode())
    return found and found[1]


# --- Making ---


def test_a_stranger_is_sent_to_sign_in(stranger):
    answer = stranger.get(PATH)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={PATH}")


def test_without_a_key_the_form_is_there_at_once(client):
    html = client.get(PATH).content.decode()
    assert "You have no key that works" in html
    assert "Create key" in html


def test_a_new_key_works_and_its_text_is_shown_this_once(client, alice):
    page = client.post(PATH, wish(client))
    secret = secret_of(page)
    assert page.status_code == 200
    assert keys.authenticate(secret).user == alice
    assert client_with(secret).get("/api/v1/generations").status_code == 200
    later = client.get(PATH).content.decode()
    assert secret not in later
    assert "poster-bot" in later
    assert "no-store" in page["Cache-Control"]


def test_the_command_beside_it_carries_the_key_and_fits_its_scopes(client):
    paid = client.post(PATH, wish(client)).content.decode()
    assert re.search(r"curl -s http://testserver/api/v1/generations .{10,80}Bearer nbk_live_", paid, re.DOTALL)
    assert "-d &#x27;{" in paid or "-d '{" in paid
    for scope, address in (("read", "generations"), ("account", "account"), ("publish", "models")):
        html = client.post(PATH, wish(client, scopes=[scope])).content.decode()
        command = re.search(r'<pre class="code".*?>(curl.*?)</pre>', html, re.DOTALL)[1]
        assert f"/api/v1/{address} " in command
        assert "-d" not in command


def test_the_same_form_sent_again_makes_no_second_key_and_says_why(client, alice):
    body = wish(client)
    secret = secret_of(client.post(PATH, body))
    again = client.post(PATH, body)
    assert again.status_code == 409
    assert "This key was made already" in again.content.decode()
    assert secret not in again.content.decode()
    assert alice.api_keys.count() == 1


def test_a_refused_repetition_can_be_sent_as_a_new_wish(client, alice):
    body = wish(client)
    client.post(PATH, body)
    again = client.post(PATH, body)
    assert secret_of(client.post(PATH, body | {"key_id": form_id(again)}))
    assert alice.api_keys.count() == 2


def test_two_tabs_make_two_keys(client, alice):
    first, second = wish(client, name="one"), wish(client, name="two")
    assert secret_of(client.post(PATH, first))
    assert secret_of(client.post(PATH, second))
    assert [key.name for key in alice.api_keys.all()] == ["two", "one"]


@pytest.mark.parametrize("key_id", ["", "nonsense"])
def test_a_form_without_a_readable_id_makes_a_key_all_the_same(client, alice, key_id):
    assert secret_of(client.post(PATH, wish(client, key_id=key_id)))
    assert alice.api_keys.count() == 1


def test_the_id_of_somebody_elses_key_changes_nothing_of_theirs(client, alice, bob):
    theirs = keys.create_key(user=bob, name="of Bob").api_key
    page = client.post(PATH, wish(client, key_id=str(theirs.public_id)))
    assert page.status_code == 409
    assert "of Bob" not in page.content.decode()
    assert not alice.api_keys.exists()
    assert ApiKey.objects.get() == theirs


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"name": ""}, "name", "Give the key a name"),
        ({"name": "   "}, "name", "Give the key a name"),
        ({"name": "n" * 101}, "name", "at most 100 characters"),
        ({"name": "a\0b"}, "name", "Null characters"),
        ({"scopes": []}, "scopes", "Tick at least one"),
        ({"scopes": ["read", "review"]}, "scopes", "review is not one of the available choices"),
        ({"lifetime": "forever"}, "lifetime", "forever is not one of the available choices"),
        ({"lifetime": "date"}, "last_day", "Name the day"),
        ({"lifetime": "date", "last_day": "soon"}, "last_day", "Enter a valid date"),
        ({"lifetime": "date", "last_day": "2020-01-01"}, "last_day", "would have expired already"),
        ({"budget": "0"}, "budget", "more than nothing"),
        ({"budget": "-1"}, "budget", "must not be negative"),
        ({"budget": "0.0000001"}, "budget", "at most six decimal places"),
        ({"budget": "NaN"}, "budget", "Enter an amount in USD"),
        ({"budget": "9007199255"}, "budget", "The largest amount"),
        ({"budget": "5", "budget_period": "week"}, "budget_period", "week is not one of the available choices"),
    ],
)
def test_a_bad_wish_is_refused_beside_its_field(client, fields, place, words):
    page = client.post(PATH, wish(client, **fields))
    beside = page.content.decode().partition(f'id="id_{place}_error"')[2].partition("</div></div>")[0]
    assert page.status_code == 400
    assert words in beside
    assert not ApiKey.objects.exists()


def test_what_was_typed_is_still_there_after_a_refusal(client):
    html = client.post(PATH, wish(client, name="my bot", scopes=["account"], lifetime="date")).content.decode()
    assert 'value="my bot"' in html
    assert re.findall(r'value="(\w+)"[^>]*checked', html) == ["account"]
    assert '<option value="date" selected>' in html


def test_the_fifty_first_key_is_refused_in_words(client, alice, monkeypatch):
    monkeypatch.setattr(keys, "MAX_ACTIVE_KEYS", 2)
    for _ in range(2):
        client.post(PATH, wish(client))
    page = client.post(PATH, wish(client))
    assert page.status_code == 409
    assert "You have 2 active keys. Revoke one that is no longer used." in page.content.decode()
    assert alice.api_keys.count() == 2


@pytest.mark.parametrize(("lifetime", "days"), [("30", 30), ("90", 90), ("365", 365)])
def test_a_lifetime_in_days_counts_from_now(client, alice, lifetime, days):
    before = timezone.now()
    client.post(PATH, wish(client, lifetime=lifetime))
    expires_at = alice.api_keys.get().expires_at
    assert before + timedelta(days=days) <= expires_at <= timezone.now() + timedelta(days=days)


def test_a_key_that_ends_on_a_day_lives_until_the_end_of_it(client, alice):
    client.post(PATH, wish(client, lifetime="date", last_day="2199-05-04"))
    assert alice.api_keys.get().expires_at.isoformat() == "2199-05-04T23:59:59.999999+00:00"


def test_a_key_that_never_ends_has_no_date_even_if_one_was_typed(client, alice):
    client.post(PATH, wish(client, lifetime="never", last_day="2199-05-04"))
    assert alice.api_keys.get().expires_at is None


def test_only_the_staff_is_offered_the_scope_for_reviewing(client, staff):
    assert 'value="review"' not in client.get(PATH).content.decode()
    client.force_login(staff)
    assert 'value="review"' in client.get(PATH).content.decode()


# --- Listing ---


def test_a_key_shows_its_beginning_end_use_and_scopes_but_not_its_text(client, alice):
    issued = keys.create_key(user=alice, name="<b>bot</b>", scopes=["read"])
    keys.authenticate(issued.secret)
    html = client.get(PATH).content.decode()
    assert f"nbk_live_{issued.api_key.lookup}&hellip;{issued.api_key.last_four}" in html
    assert "&lt;b&gt;bot&lt;/b&gt;" in html
    assert re.search(r"<span>Last used</span>\d s ago", html)
    assert '<span class="badge">Read</span>' in html
    assert issued.secret not in html


def test_a_key_that_ends_soon_says_so(client, alice):
    keys.create_key(user=alice, expires_at=timezone.now() + timedelta(days=5, hours=1))
    assert '<span class="badge badge-warn">In 5 days</span>' in client.get(PATH).content.decode()


def test_ended_keys_are_listed_apart(client, alice):
    revoked = keys.create_key(user=alice, name="lost laptop").api_key
    keys.revoke_key(user=alice, key_id=revoked.public_id)
    expired = keys.create_key(user=alice, name="last year").api_key
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=1))
    keys.create_key(user=alice, name="in use")
    active, _, ended = client.get(PATH).content.decode().partition("Keys that ended")
    assert "in use" in active
    assert [name for name in ("lost laptop", "last year") if name in active] == []
    assert re.search(r"last year</b>.*?expired", ended, re.DOTALL)
    assert re.search(r"lost laptop</b>.*?revoked", ended, re.DOTALL)


def test_the_keys_of_others_are_not_there(client, bob):
    keys.create_key(user=bob, name="of Bob")
    assert "of Bob" not in client.get(PATH).content.decode()


def test_all_the_keys_that_one_may_have_make_a_page_of_normal_size(client, alice, django_assert_max_num_queries):
    for number in range(keys.MAX_ACTIVE_KEYS):
        key = keys.create_key(user=alice, name=f"number {number}", scopes=keys.scopes_of_role(alice)).api_key
    for _ in range(30):
        keys.revoke_key(user=alice, key_id=key.public_id)
        key = keys.create_key(user=alice, name="again").api_key
    with django_assert_max_num_queries(8):
        page = client.get(PATH)
    assert page.content.count(b"data-revoke=") == keys.MAX_ACTIVE_KEYS
    assert b"Older ones are not shown." in page.content
    assert len(page.content) <= 50 * 1024


# --- Revoking ---


def test_revoking_asks_first_and_then_ends_the_key(client, alice):
    issued = keys.create_key(user=alice, name="old bot")
    address = re.search(r'href="([^"]+)" data-revoke="old bot"', client.get(PATH).content.decode())[1]
    question = client.get(address)
    assert "Revoke “old bot”?" in question.content.decode()
    assert keys.authenticate(issued.secret)
    answer = client.post(address)
    assert (answer.status_code, answer["Location"]) == (302, PATH)
    assert client_with(issued.secret).get("/api/v1/generations").status_code == 401
    assert "The key “old bot” is revoked." in client.get(PATH).content.decode()


def test_revoking_twice_keeps_the_first_moment(client, alice):
    key = keys.create_key(user=alice).api_key
    client.post(f"{PATH}{key.public_id}/revoke/")
    key.refresh_from_db()
    first = key.revoked_at
    assert client.post(f"{PATH}{key.public_id}/revoke/").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at == first
    assert "It was revoked on" in client.get(f"{PATH}{key.public_id}/revoke/").content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_key_of_somebody_else_is_not_there(client, staff, bob, method):
    key = keys.create_key(user=bob).api_key
    for person in (None, staff):
        if person:
            client.force_login(person)
        assert getattr(client, method)(f"{PATH}{key.public_id}/revoke/").status_code == 404
        assert getattr(client, method)(f"{PATH}{uuid4()}/revoke/").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_form_without_its_token_makes_and_ends_nothing(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    key = keys.create_key(user=alice).api_key
    assert client.post(PATH, {"name": "x", "scopes": ["read"], "lifetime": "never"}).status_code == 403
    assert client.post(f"{PATH}{key.public_id}/revoke/").status_code == 403
    key.refresh_from_db()
    assert (alice.api_keys.count(), key.revoked_at) == (1, None)


# --- Budgets ---


def sentences(page):
    return " ".join(re.sub(r"<[^>]+>", "", page.content.decode()).split())


def test_the_list_tells_what_a_key_has_used_of_its_budget(client, alice):
    client.post(PATH, wish(client, budget="0.50", budget_period="month"))
    key = ApiKey.objects.get()
    ledger.capture(hold=reserve(alice, make_price(), api_key=key))
    reserve(alice, make_price(valid_from=timezone.now()), 2 * IMAGE, api_key=key)
    said = sentences(client.get(PATH))
    assert "Budget $0.50 a month: $0.058 spent, $0.116 held, $0.326 left; it begins again on 1 " in said
    client.post(PATH, wish(client, name="other", budget="0.01"))
    assert "Budget $0.01 in all: $0.000 spent, $0.000 held, $0.010 left." in sentences(client.get(PATH))


def test_the_pages_queries_do_not_grow_with_the_keys(client, alice, django_assert_max_num_queries):
    for _ in range(8):
        keys.create_key(user=alice, budget_micros=5)
    with django_assert_max_num_queries(8):
        assert client.get(PATH).content.count(b"Budget <b") == 8


def test_a_budget_is_changed_and_lifted_on_the_keys_own_page(client, alice):
    key = keys.create_key(user=alice, name="bot", budget_micros=1_234_500_000, budget_period="month").api_key
    address = f"{PATH}{key.public_id}/"
    shown = client.get(address).content.decode()
    assert 'value="1234.50"' in shown
    assert '<option value="month" selected>' in shown
    assert client.post(address, {"name": "bot 2", "budget": "2", "budget_period": "total"}).url == PATH
    key.refresh_from_db()
    assert (key.name, key.budget_micros, key.budget_period) == ("bot 2", 2_000_000, "total")
    client.post(address, {"name": "bot 2", "budget": "", "budget_period": "month"})
    key.refresh_from_db()
    assert (key.budget_micros, key.budget_period) == (None, "")


def test_a_bad_change_is_refused_beside_its_field_and_changes_nothing(client, alice):
    key = keys.create_key(user=alice, name="bot", budget_micros=5).api_key
    page = client.post(f"{PATH}{key.public_id}/", {"name": "x", "budget": "0", "budget_period": "month"})
    beside = page.content.decode().partition('id="id_budget_error"')[2].partition("</div></div>")[0]
    assert (page.status_code, "more than nothing" in beside) == (400, True)
    key.refresh_from_db()
    assert (key.name, key.budget_micros, key.budget_period) == ("bot", 5, "total")


def test_the_page_of_a_key_that_is_another_users_or_has_ended_is_not_there(client, alice, bob):
    theirs = keys.create_key(user=bob).api_key
    ended = keys.create_key(user=alice).api_key
    keys.revoke_key(user=alice, key_id=ended.public_id)
    body = {"name": "mine", "budget": "1", "budget_period": "total"}
    for key in (theirs, ended):
        assert client.post(f"{PATH}{key.public_id}/", body).status_code == 404
        assert client.get(f"{PATH}{key.public_id}/").status_code == 404
    assert not ApiKey.objects.exclude(budget_micros=None).exists()


# --- Limits of its own ---


def test_a_key_with_limits_is_made_and_shows_them(client, alice):
    assert secret_of(client.post(PATH, wish(client, images_per_day="25", requests_per_minute="10")))
    key = alice.api_keys.get()
    assert (key.images_per_day, key.images_per_month, key.concurrent, key.requests_per_minute) == (25, None, None, 10)
    shown = client.get(PATH).content.decode()
    assert "25 a day" in shown
    assert "10 requests a minute" in shown


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "many", "2147483647", "9" * 40])
def test_what_is_no_limit_is_told_beside_its_field(client, alice, limit):
    page = client.post(PATH, wish(client, concurrent=limit))
    assert page.status_code == 400
    assert 'id="id_concurrent_error"' in page.content.decode()
    assert '<details class="key-limits" open>' in page.content.decode()
    assert not alice.api_keys.exists()


def test_limits_are_shown_changed_and_lifted_on_the_keys_own_page(client, alice):
    key = keys.create_key(user=alice, limits={"images_per_day": 5, "concurrent": 2}).api_key
    path = f"{PATH}{key.public_id}/"
    html = client.get(path).content.decode()
    assert '<details class="key-limits" open>' in html
    assert re.search(r'<input [^>]*name="images_per_day" value="5"', html)
    form = {"name": key.name, "budget": "", "budget_period": "total", "images_per_day": "7", "concurrent": ""}
    assert client.post(path, form)["Location"] == PATH
    key.refresh_from_db()
    assert (key.images_per_day, key.concurrent, key.budget_micros) == (7, None, None)
    assert "7 a day" in client.get(PATH).content.decode()
    page = client.post(path, {**form, "images_per_day": "0"})
    assert page.status_code == 400
    assert "greater than or equal to 1" in page.content.decode().partition('id="id_images_per_day_error"')[2]
    key.refresh_from_db()
    assert key.images_per_day == 7
