"""Signing in: with a password, after a reset, and not by guessing."""

import pytest
from django.core.cache import cache
from django.test import Client

from tests.accounts.door import (
    LOGIN,
    Clock,
    code_in,
    count_hashes,
    error_of,
    is_signed_in,
    sign_in,
    signed_in,
    words,
)
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

RESET, RESET_CODE = "/accounts/password/reset/", "/accounts/password/reset/confirm/"
RESET_LAST = "/accounts/password/reset/complete/"
NO_MATCH = "That email and password do not match."


@pytest.fixture(autouse=True)
def _no_limits_yet():
    cache.clear()


def fail(client, email, times, **extra):
    for _ in range(times):
        answer = client.post(LOGIN, {"login": email, "password": "not this one"}, **extra)
        assert error_of(answer, "password") == NO_MATCH


# --- The way in ---


def test_the_right_password_leads_to_where_somebody_was_going(alice, client):
    answer = sign_in(client, "ALICE@example.com", next="/library/?q=fox")
    assert (answer.status_code, answer.url) == (302, "/library/?q=fox")
    assert is_signed_in(client)


def test_nobody_is_sent_to_another_site(alice, client):
    assert sign_in(client, alice.email, next="https://evil.example/").url == "/studio/"


def test_the_session_gets_a_new_name_and_scripts_cannot_read_it(alice, client):
    client.get("/accounts/2fa/webauthn/login/", headers={"Accept": "application/json"})  # a session before
    before = client.session.session_key
    answer = sign_in(client, alice.email)
    cookie = answer.cookies["sessionid"]
    assert before
    assert cookie.value not in ("", before)
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 14 * 24 * 60 * 60)


def test_without_the_tick_the_session_ends_with_the_browser(alice, client):
    answer = client.post(LOGIN, {"login": alice.email, "password": PASSWORD})
    assert answer.cookies["sessionid"]["max-age"] == ""


def test_an_account_that_is_switched_off_is_told_to_its_owner_only(alice, client):
    alice.is_active = False
    alice.save()
    assert error_of(client.post(LOGIN, {"login": alice.email, "password": "not this one"}), "password") == NO_MATCH
    answer = sign_in(client, alice.email)
    assert answer.url == "/accounts/inactive/"
    assert "This account is switched off" in words(client.get(answer.url))
    assert not is_signed_in(client)


def test_without_a_token_nobody_is_signed_in(alice):
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client, alice.email).status_code == 403
    assert not is_signed_in(client)


# --- Who has an account, and who has not ---


def test_an_unknown_address_is_answered_like_a_wrong_password(alice):
    pages = []
    for email in (alice.email, "alicf@example.com"):
        answer = Client().post(LOGIN, {"login": email, "password": "not this one"})
        assert error_of(answer, "password") == NO_MATCH
        pages.append((answer.status_code, words(answer).replace(email, "EMAIL")))
    assert pages[0] == pages[1]


def test_an_unknown_address_costs_as_many_hashes_as_a_wrong_password(alice, monkeypatch):
    hashes = count_hashes(monkeypatch)
    counts = []
    for email in (alice.email, "alicf@example.com"):
        Client().post(LOGIN, {"login": email, "password": "not this one"})
        counts.append(len(hashes))
        hashes.clear()
    assert counts == [1, 1]


def test_a_reset_of_an_unknown_address_is_answered_like_any_other(alice, mailoutbox):
    seen = []
    for email in (alice.email, "alicf@example.com"):
        client = Client()
        answer = client.post(RESET, {"email": email})
        pages = [client.get(RESET_CODE), client.post(RESET_CODE, {"code": "AAAA-AAAA"})]
        pages.append(client.post(RESET_CODE, {"code": "BBBB-BBBB"}))
        end = client.post(RESET_CODE, {"code": "CCCC-CCCC"})
        seen.append(
            [(answer.status_code, answer.url), (end.status_code, end.url)]
            + [(page.status_code, words(page).replace(email, "EMAIL")) for page in pages]
        )
    assert seen[0] == seen[1]
    assert [mail.to for mail in mailoutbox] == [[alice.email], ["alicf@example.com"]]
    assert mailoutbox[1].subject == "There is no account with this address"


# --- Guessing ---


def test_after_five_failures_even_the_right_password_waits_and_the_page_says_how_long(alice, client, monkeypatch):
    clock = Clock(monkeypatch)
    fail(client, alice.email, 5)
    clock.forward(61)
    assert error_of(sign_in(client, alice.email), "password") == "Too many failed tries. Try again in 4 minutes."
    assert not is_signed_in(client)
    clock.forward(240)
    assert sign_in(client, alice.email).status_code == 302


def test_the_wait_grows(alice, client, monkeypatch):
    clock = Clock(monkeypatch)
    for wait in ("in 5 minutes", "in 55 minutes"):
        fail(client, alice.email, 5)
        assert error_of(sign_in(client, alice.email), "password") == f"Too many failed tries. Try again {wait}."
        clock.forward(301)
    clock.forward(3600)
    fail(client, alice.email, 5)
    clock.forward(3601)
    fail(client, alice.email, 5)
    assert error_of(sign_in(client, alice.email), "password") == "Too many failed tries. Try again in 22 hours."


def test_an_unknown_address_waits_just_the_same(client):
    fail(client, "nobody@example.com", 5)
    answer = sign_in(client, "nobody@example.com")
    assert error_of(answer, "password") == "Too many failed tries. Try again in 5 minutes."


def test_nobody_can_lock_somebody_else_out(alice, bob, client):
    fail(client, alice.email, 5)
    assert sign_in(client, bob.email).status_code == 302  # another account from there
    elsewhere = Client(REMOTE_ADDR="203.0.113.7")
    assert sign_in(elsewhere, alice.email).status_code == 302  # the same account from elsewhere


def test_a_forwarded_address_is_not_believed(alice, client):
    """Only the server reads that header, and only from TRUSTED_PROXIES; here it would be anybody's claim."""
    for number in range(5):
        fail(client, alice.email, 1, headers={"X-Forwarded-For": f"203.0.113.{number}", "X-Real-IP": "203.0.113.9"})
    answer = client.post(
        LOGIN, {"login": alice.email, "password": PASSWORD}, headers={"X-Forwarded-For": "203.0.113.200"}
    )
    assert "Too many failed tries." in error_of(answer, "password")


def test_a_success_does_not_wipe_the_failures_away(alice, client):
    fail(client, alice.email, 4)
    assert sign_in(Client(), alice.email).status_code == 302
    fail(client, alice.email, 1)
    assert "Too many failed tries." in error_of(sign_in(client, alice.email), "password")


def test_many_tries_from_one_place_are_answered_by_a_page(client):
    answers = [client.post(LOGIN, {"login": f"n{number}@example.com", "password": "x"}) for number in range(31)]
    assert [answer.status_code for answer in answers[:30]] == [200] * 30
    assert (answers[30].status_code, answers[30]["Retry-After"]) == (429, "60")
    assert "Wait a minute, then go on." in words(answers[30])
    assert '<main class="' in words(answers[30])


def test_many_sign_ups_from_one_place_are_answered_by_a_page(client, mailoutbox):
    for _ in range(20):
        client.post("/accounts/signup/", {})
    answer = client.post("/accounts/signup/", {"email": "new@example.com", "password1": PASSWORD})
    assert answer.status_code == 429
    assert mailoutbox == []


# --- Reset ---


def test_a_reset_by_code_signs_in_and_ends_the_other_sessions(alice, client, mailoutbox):
    other = signed_in(alice)
    client.post(RESET, {"email": alice.email})
    answer = client.post(RESET_CODE, {"code": code_in(mailoutbox[0])})
    assert answer.url == RESET_LAST
    assert client.post(RESET_LAST, {"password1": "another good password"}).url == "/studio/"
    alice.refresh_from_db()
    assert alice.check_password("another good password")
    assert (is_signed_in(client), is_signed_in(other)) == (True, False)


def test_a_reset_lifts_the_wait(alice, client, mailoutbox):
    fail(client, alice.email, 5)
    client.post(RESET, {"email": alice.email})
    client.post(RESET_CODE, {"code": code_in(mailoutbox[0])})
    client.post(RESET_LAST, {"password1": "another good password"})
    assert sign_in(Client(), alice.email, "another good password").status_code == 302


def test_three_wrong_codes_end_a_reset(alice, client, mailoutbox):
    client.post(RESET, {"email": alice.email})
    for _ in range(3):
        client.post(RESET_CODE, {"code": "AAAA-AAAA"})
    assert client.post(RESET_CODE, {"code": code_in(mailoutbox[0])}).url == LOGIN
    assert client.post(RESET_LAST, {"password1": "another good password"}).url == RESET
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_a_weak_new_password_is_refused_beside_its_field(alice, client, mailoutbox):
    client.post(RESET, {"email": alice.email})
    client.post(RESET_CODE, {"code": code_in(mailoutbox[0])})
    answer = client.post(RESET_LAST, {"password1": "short"})
    assert error_of(answer, "password1") == "This password is too short. It must contain at least 10 characters."
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_the_sixth_reset_of_an_address_in_a_minute_is_too_fast(alice, client, mailoutbox):
    for _ in range(5):
        assert client.post(RESET, {"email": alice.email}).status_code == 302
    assert client.post(RESET, {"email": alice.email}).status_code == 429
    assert len(mailoutbox) == 5
