"""Sessions, and the pages about how somebody signs in."""

import re

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, get_resolver

from tests import people
from tests.accounts.door import code_in, error_of, is_signed_in, say_who_you_are, sign_in, signed_in, words
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

SESSIONS, CHANGE, EMAIL = "/accounts/sessions/", "/accounts/password/change/", "/accounts/email/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(autouse=True)
def _no_limits_yet():
    cache.clear()


# --- Sessions ---


def test_every_browser_is_listed_and_the_present_one_is_marked(alice):
    elsewhere = Client(REMOTE_ADDR="203.0.113.7", headers={"User-Agent": FIREFOX})
    sign_in(elsewhere, alice.email)
    page = words(signed_in(alice).get(SESSIONS))
    assert "<b>Firefox on Linux</b>" in page
    assert '<span class="num">203.0.113.7</span>' in page
    assert page.count("This one") == 1


def test_sessions_that_have_ended_are_not_listed(alice):
    forgotten, there, here = signed_in(alice), signed_in(alice), signed_in(alice)
    Session.objects.filter(session_key=forgotten.session.session_key).update(expire_date="2000-01-01T00:00Z")
    assert len(here.get(SESSIONS).context["sessions"]) == 2
    there.post(CHANGE, {"oldpassword": PASSWORD, "password1": "another good password"})
    (one,) = there.get(SESSIONS).context["sessions"]
    assert one.session_key == there.session.session_key


def test_many_sessions_cost_no_more_queries_than_one(alice, django_assert_max_num_queries):
    here = signed_in(alice)
    for _ in range(5):
        signed_in(alice)
    with django_assert_max_num_queries(5):
        page = here.get(SESSIONS)
    assert page.context["session_count"] == 6


def test_the_pages_show_where_one_is(alice):
    page = words(signed_in(alice).get(SESSIONS))
    assert re.findall(r'<a [^>]*aria-current="page"[^>]*>(?:<svg.*?</svg>)?([^<]+)</a>', page) == [
        "Account",
        "Security",
        "Sessions",
    ]


def test_signing_out_everywhere_else_leaves_this_session_and_other_people(alice, bob):
    here, there, his = signed_in(alice), signed_in(alice), signed_in(bob)
    assert here.post(SESSIONS).url == SESSIONS
    assert [is_signed_in(client) for client in (here, there, his)] == [True, False, True]
    assert UserSession.objects.filter(user=alice).count() == 1


def test_a_visit_to_the_sign_out_page_signs_nobody_out(alice):
    client = signed_in(alice)
    assert "Sign out?" in words(client.get("/accounts/logout/"))
    assert is_signed_in(client)
    assert client.post("/accounts/logout/").url == "/"
    assert not is_signed_in(client)


# --- Password ---


def test_a_new_password_ends_every_other_session_and_no_key(alice, alice_key):
    here, there = signed_in(alice), signed_in(alice)
    answer = here.post(CHANGE, {"oldpassword": PASSWORD, "password1": "another good password"})
    assert answer.url == CHANGE
    assert (is_signed_in(here), is_signed_in(there)) == (True, False)
    assert people.client_with(alice_key).get("/api/v1/account").status_code == 200
    assert sign_in(Client(), alice.email).status_code == 200
    assert sign_in(Client(), alice.email, "another good password").status_code == 302


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        ({"oldpassword": "not this one"}, "oldpassword", "This is not your current password."),
        ({"password1": "password123"}, "password1", "This password is too common."),
    ],
)
def test_a_refused_change_changes_nothing(alice, data, field, text):
    here, there = signed_in(alice), signed_in(alice)
    answer = here.post(CHANGE, {"oldpassword": PASSWORD, "password1": "another good password", **data})
    assert error_of(answer, field) == text
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert is_signed_in(there)


# --- Email ---


def test_an_address_changes_when_the_code_is_typed_and_the_old_one_is_told(
    alice, mailoutbox, django_capture_on_commit_callbacks
):
    client = signed_in(alice)
    assert client.post(EMAIL, {"action_add": "", "email": "new@example.com"}).url.startswith("/accounts/reauth")
    say_who_you_are(client)
    client.post(EMAIL, {"action_add": "", "email": "new@example.com"})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/accounts/confirm-email/", {"code": code_in(mailoutbox[0])}).url == EMAIL
    alice.refresh_from_db()
    assert alice.email == "new@example.com"
    assert (mailoutbox[1].to, mailoutbox[1].subject) == (["alice@example.com"], "Your address was changed")
    assert sign_in(Client(), "alice@example.com").status_code == 200
    assert sign_in(Client(), "new@example.com").status_code == 302


def test_the_same_address_is_not_a_change(alice):
    client = signed_in(alice)
    say_who_you_are(client)
    answer = client.post(EMAIL, {"action_add": "", "email": "ALICE@example.com"})
    assert error_of(answer, "email") == "This is your address already."


# --- Every page ---


def door_paths():
    """Every address below /accounts/ that has no parameter."""

    def walk(patterns, prefix):
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield path
            else:
                yield from walk(pattern.url_patterns, path)

    paths = set(walk(get_resolver().url_patterns, "/"))
    return sorted(path for path in paths if path.startswith("/accounts/") and not re.search(r"[<^(]", path))


def test_the_pages_are_found():
    assert {"/accounts/login/", "/accounts/2fa/webauthn/", SESSIONS, "/accounts/password/reset/"} <= set(door_paths())
    assert len(door_paths()) > 20


@pytest.mark.parametrize("path", door_paths())
def test_every_page_is_in_our_layout_and_sends_nothing_without_a_token(alice, path):
    hers = signed_in(alice)
    say_who_you_are(hers)
    for client in (Client(), hers):
        page = client.get(path)
        assert page.status_code in (200, 302, 404)
        if page.status_code == 200 and page["Content-Type"].startswith("text/html"):
            text = page.content.decode()
            assert text.count("<h1") == 1
            assert 'class="door"' in text or 'class="shell"' in text
            assert "css/desk.css" in text
            assert [tag for tag in re.findall(r"<script[^>]*>", text) if "src=" not in tag] == []
            assert "<style" not in text
            assert len(text) < 50_000
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = hers.cookies
    assert strict.post(path).status_code == 403


@pytest.mark.parametrize("path", [path for path in door_paths() if re.search("2fa|sessions|email|change", path)])
def test_what_belongs_to_somebody_is_shown_to_nobody_else(path):
    answer = Client().get(path)
    assert answer.status_code == 302
    assert re.match(r"/accounts/(login|reauthenticate)/", answer.url)
