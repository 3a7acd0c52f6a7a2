"""The second step, passkeys, and the staff who must have an app."""

import base64
import json
import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client

from accounts import staff as the_staff
from tests.accounts.door import error_of, is_signed_in, say_who_you_are, sign_in, signed_in, words
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

INDEX, ACTIVATE, DEACTIVATE = "/accounts/2fa/", "/accounts/2fa/totp/activate/", "/accounts/2fa/totp/deactivate/"
CODES, AUTHENTICATE = "/accounts/2fa/recovery-codes/", "/accounts/2fa/authenticate/"
ADD_PASSKEY, PASSKEY_SIGN_IN = "/accounts/2fa/webauthn/add/", "/accounts/2fa/webauthn/login/"


@pytest.fixture(autouse=True)
def _no_limits_yet():
    cache.clear()


def code_of(secret, step=0):
    """What the app shows, `step` times 30 seconds from now."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def set_up(client):
    """An authenticator app, by the pages; returns its secret and the recovery codes."""
    say_who_you_are(client)
    secret = client.get(ACTIVATE).context["form"].secret
    assert client.post(ACTIVATE, {"code": code_of(secret)}).url == CODES
    return secret, client.get(CODES).context["unused_codes"]


# --- Authenticator app ---


def test_it_is_set_up_with_a_code_of_the_app_after_the_password(alice, settings):
    settings.MFA_TOTP_ISSUER = "The House"
    client = signed_in(alice)
    assert client.get(ACTIVATE).url.startswith("/accounts/reauthenticate/?next=")
    say_who_you_are(client)
    page = client.get(ACTIVATE)
    assert page.context["totp_url"].startswith("otpauth://totp/alice%40example.com?")
    assert "issuer=The%20House" in page.context["totp_url"]
    picture = re.search(r'<img src="data:image/svg\+xml;base64,([^"]+)"', words(page))[1]
    assert b"<svg" in base64.b64decode(picture)
    assert error_of(client.post(ACTIVATE, {"code": "000000"}), "code") == "This code is not right."
    assert not Authenticator.objects.exists()
    assert client.post(ACTIVATE, {"code": code_of(page.context["form"].secret)}).url == CODES
    assert len(client.get(CODES).context["unused_codes"]) == 10
    assert "Authenticator app <span" in words(client.get(INDEX))


def test_then_a_password_alone_is_not_enough(alice):
    secret, _ = set_up(signed_in(alice))
    client = Client()
    assert sign_in(client, alice.email, next="/library/").url == AUTHENTICATE
    assert not is_signed_in(client)
    assert error_of(client.post(AUTHENTICATE, {"code": "000000"}), "code") == "This code is not right."
    assert client.post(AUTHENTICATE, {"code": code_of(secret, 1)}).url == "/library/"
    assert is_signed_in(client)


def test_a_code_works_once(alice):
    secret, _ = set_up(signed_in(alice))
    code = code_of(secret, 1)
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client, alice.email)
        client.post(AUTHENTICATE, {"code": code})
    assert (is_signed_in(first), is_signed_in(second)) == (True, False)


def test_a_recovery_code_works_once(alice):
    _, codes = set_up(signed_in(alice))
    first, second = Client(), Client()
    for client in (first, second):
        sign_in(client, alice.email)
        client.post(AUTHENTICATE, {"code": codes[0]})
    assert (is_signed_in(first), is_signed_in(second)) == (True, False)


def test_codes_cannot_be_guessed(alice):
    secret, _ = set_up(signed_in(alice))
    client = Client()
    sign_in(client, alice.email)
    for _ in range(5):
        client.post(AUTHENTICATE, {"code": "000000"})
    answer = client.post(AUTHENTICATE, {"code": code_of(secret, 1)})
    assert error_of(answer, "code") == "Too many tries in a short time. Wait a little, then try again."
    assert not is_signed_in(client)


def test_turning_it_off_asks_for_the_password_again_and_takes_the_recovery_codes_along(alice):
    client = signed_in(alice)
    set_up(client)
    forgetful = client.session
    forgetful["account_authentication_methods"] = []
    forgetful.save()
    assert client.post(DEACTIVATE).url.startswith("/accounts/reauthenticate/")
    assert Authenticator.objects.count() == 2
    say_who_you_are(client)
    assert client.post(DEACTIVATE).url == INDEX
    assert not Authenticator.objects.exists()


def test_new_recovery_codes_end_the_old_ones(alice):
    client = signed_in(alice)
    _, old = set_up(client)
    assert client.post(f"{CODES}generate/").url == CODES
    new = client.get(CODES).context["unused_codes"]
    assert (len(new), set(new) & set(old)) == (10, set())
    assert client.get(f"{CODES}download/").content.decode().split() == new


def test_the_owner_is_told_by_mail(alice, mailoutbox, django_capture_on_commit_callbacks):
    client = signed_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        set_up(client)
    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == ([alice.email], "The authenticator app is on")
    assert "from 127.0.0.1" in mail.body
    assert "{" not in mail.body


def test_news_that_cannot_be_sent_do_not_undo_what_happened(alice, monkeypatch, django_capture_on_commit_callbacks):
    def refuse(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    client = signed_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        set_up(client)
    assert Authenticator.objects.count() == 2


# --- Passkeys ---


def test_the_browser_is_told_what_to_make_in_an_attribute_and_not_in_a_script(alice, settings):
    settings.SITE_NAME = "The House"
    client = signed_in(alice)
    say_who_you_are(client)
    page = client.get(ADD_PASSKEY)
    wanted = page.context["js_data"]["creation_options"]["publicKey"]
    assert (wanted["rp"]["name"], wanted["rp"]["id"]) == ("The House", "testserver")
    assert wanted["user"]["name"] == alice.email
    assert 'data-passkey="create" data-options="{&quot;publicKey&quot;' in page.content.decode()
    assert page.context["form"]["name"].value() == "Passkey"


def test_a_passkey_is_added_only_after_the_password(alice):
    client = signed_in(alice)
    assert client.get(ADD_PASSKEY).url.startswith("/accounts/reauthenticate/")
    assert client.post(ADD_PASSKEY, {"credential": "{}"}).url.startswith("/accounts/reauthenticate/")


@pytest.mark.parametrize("credential", ["", "{}", "[]", "null", "nonsense", '{"id": "AAAA", "rawId": "AAAA"}'])
def test_what_no_passkey_has_signed_is_refused(alice, credential):
    client = Client()
    asked = client.get(PASSKEY_SIGN_IN, headers={"Accept": "application/json"})
    assert json.loads(asked.content)["request_options"]["publicKey"]["userVerification"] == "required"
    assert client.post(PASSKEY_SIGN_IN, {"credential": credential}).url == "/accounts/login/"
    assert not is_signed_in(client)
    hers = signed_in(alice)
    say_who_you_are(hers)
    assert hers.post(ADD_PASSKEY, {"name": "Mine", "credential": credential}).status_code == 200
    assert not Authenticator.objects.exists()


def test_somebody_elses_passkey_is_not_there(alice, bob):
    theirs = Authenticator.objects.create(user=bob, type="webauthn", data={"name": "Bob's", "credential": {}})
    client = signed_in(alice)
    say_who_you_are(client)
    for verb in ("edit", "remove"):
        assert client.get(f"/accounts/2fa/webauthn/keys/{theirs.pk}/{verb}/").status_code == 404
        assert client.post(f"/accounts/2fa/webauthn/keys/{theirs.pk}/{verb}/", {"name": "Mine"}).status_code == 404
    theirs.refresh_from_db()
    assert theirs.data["name"] == "Bob's"


# --- The staff ---


def test_in_development_the_staff_needs_a_password_only(staff):
    assert signed_in(staff).get("/admin/").status_code == 200


def test_in_production_the_staff_is_sent_to_set_up_the_app_first(staff, settings):
    settings.ENVIRONMENT = "production"
    client = signed_in(staff)
    answer = client.get("/admin/accounts/user/")
    assert answer.status_code == 302
    assert client.get(answer.url).url == ACTIVATE
    assert not the_staff.may_enter(staff)
    say_who_you_are(client)
    page = client.get(ACTIVATE)
    assert "Set up an authenticator app first" in words(page)
    client.post(ACTIVATE, {"code": code_of(page.context["form"].secret)})
    assert client.get("/admin/accounts/user/").status_code == 200


def test_in_production_a_passkey_or_recovery_codes_are_not_an_app(staff, settings):
    settings.ENVIRONMENT = "production"
    Authenticator.objects.create(user=staff, type="webauthn", data={})
    Authenticator.objects.create(user=staff, type="recovery_codes", data={})
    assert not the_staff.may_enter(staff)


@pytest.mark.parametrize("environment", ["development", "production"])
def test_an_app_alone_makes_nobody_staff(alice, settings, environment):
    settings.ENVIRONMENT = environment
    Authenticator.objects.create(user=alice, type="totp", data={})
    assert not the_staff.may_enter(alice)
    assert signed_in_as(alice).get("/admin/", follow=True).status_code == 403


def test_staff_that_is_switched_off_does_not_enter(staff):
    staff.is_active = False
    assert not the_staff.may_enter(staff)


def signed_in_as(user):
    client = Client()
    client.force_login(user)
    return client


def test_the_password_is_still_asked_for_where_the_app_is_set_up(staff, settings):
    settings.ENVIRONMENT = "production"
    client = signed_in_as(staff)
    assert client.get(ACTIVATE).url.startswith("/accounts/reauthenticate/")
    assert error_of(client.post("/accounts/reauthenticate/", {"password": "not this one"}), "password") == (
        "This is not your password."
    )
    assert client.get(ACTIVATE).status_code == 302
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302
    assert client.get(ACTIVATE).status_code == 200
