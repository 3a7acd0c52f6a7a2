"""/account/theme/: light, dark or the system's own, for anybody, kept in a cookie."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

PATH = "/account/theme/"


def test_anybody_may_choose_and_the_next_page_is_painted_so(stranger):
    answer = stranger.post(PATH, {"theme": "dark", "next": "/models/"})
    cookie = answer.cookies["theme"]
    assert (answer.status_code, answer["Location"]) == (302, "/models/")
    assert (cookie.value, cookie["samesite"], cookie["max-age"], cookie["path"]) == ("dark", "Lax", 31_536_000, "/")
    assert '<html lang="en" data-theme="dark">' in stranger.get("/models/").content.decode()


def test_the_systems_own_is_a_choice_too(stranger):
    stranger.post(PATH, {"theme": "light", "next": "/"})
    stranger.post(PATH, {"theme": "system", "next": "/"})
    assert '<html lang="en">' in stranger.get("/models/").content.decode()


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", r"\\evil.example", "javascript:alert(1)", "", "/\n/evil.example"],
)
def test_it_leads_to_no_other_site(stranger, target):
    assert stranger.post(PATH, {"theme": "light", "next": target})["Location"] == "/"


def test_an_unknown_theme_is_neither_kept_nor_painted(stranger):
    assert "theme" not in stranger.post(PATH, {"theme": '"><script>', "next": "/"}).cookies
    stranger.cookies["theme"] = '"><script>'
    assert '<html lang="en">' in stranger.get("/models/").content.decode()


def test_a_secure_site_gets_a_secure_cookie(stranger):
    assert not stranger.post(PATH, {"theme": "dark"}).cookies["theme"]["secure"]
    assert stranger.post(PATH, {"theme": "dark"}, secure=True).cookies["theme"]["secure"]


def test_reading_changes_nothing(stranger):
    assert stranger.get(PATH, {"theme": "dark"}).status_code == 405
    assert Client(enforce_csrf_checks=True).post(PATH, {"theme": "dark"}).status_code == 403
