"""What people do at the door, as their browsers would send it."""

import re
import time

from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client

from tests.people import PASSWORD

CODE = re.compile(r"^ {4}([A-Z]{4}-[A-Z]{4})$", re.MULTILINE)
LOGIN, SIGNUP, CONFIRM = "/accounts/login/", "/accounts/signup/", "/accounts/confirm-email/"


def code_in(mail):
    return CODE.search(mail.body)[1]


def sign_up(client, email, password=PASSWORD, **data):
    return client.post(SIGNUP, {"email": email, "password1": password, **data})


def sign_in(client, email, password=PASSWORD, **data):
    return client.post(LOGIN, {"login": email, "password": password, "remember": "on", **data})


def signed_in(user, password=PASSWORD):
    """A browser in which this person has signed in."""
    client = Client()
    assert sign_in(client, user.email, password).status_code == 302
    assert is_signed_in(client)
    return client


def is_signed_in(client):
    return client.get("/account/profile/").status_code == 200


def say_who_you_are(client, password=PASSWORD):
    """The second asking for the password, before something that protects the account is changed."""
    assert client.post("/accounts/reauthenticate/", {"password": password}).status_code == 302


def words(response):
    """The page as it reads, without what differs from request to request."""
    text = re.sub(r'(name="csrfmiddlewaretoken" value=|X-CSRFToken": )"[^"]*"', "", response.content.decode())
    return " ".join(text.split())


def error_of(response, field):
    """The refusal beside a field, which must be tied to it for screen readers too."""
    page = words(response)
    control = re.search(rf'<input [^>]*name="{field}"[^>]*>', page)[0]
    if 'aria-invalid="true"' not in control:
        return None
    described = re.search(r'aria-describedby="([^"]*)"', control)[1].split()
    shown = re.search(r'<div class="error-text" id="([^"]*)" role="alert">.*?<div>(.*?)</div>', page)
    assert shown[1] in described
    return re.sub(r"<[^>]+>", " ", shown[2]).strip()


def count_hashes(monkeypatch):
    """A list that grows with each password that is hashed."""
    done = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *words, **more: done.append(1) or encode(self, *words, **more)
    )
    return done


class Clock:
    """The clock of the limits, which a test moves."""

    def __init__(self, monkeypatch):
        self.ahead_s = 0.0
        now = time.time
        stand_in = type("Time", (), {"time": lambda: now() + self.ahead_s, "monotonic": time.monotonic})
        monkeypatch.setattr("allauth.core.internal.ratelimit.time", stand_in)
        monkeypatch.setattr("accounts.adapter.time", stand_in)

    def forward(self, seconds):
        self.ahead_s += seconds
