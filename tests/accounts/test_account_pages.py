"""The pages about the person as one place: their tabs, and the profile."""

import re

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

PATH = "/account/profile/"
PLACES = {
    "Balance": "/account/",
    "Ledger": "/account/ledger/",
    "API keys": "/account/keys/",
    "Profile": PATH,
    "Your data": "/account/data/",
}


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


@pytest.mark.parametrize(("label", "path"), PLACES.items())
def test_the_tabs_name_the_page_that_is_open(client, label, path):
    tabs = re.search(r'<nav class="tabs jump" aria-label="Account">(.*?)</nav>', client.get(path).content.decode())[1]
    assert re.findall(r'aria-current="page">([^<]+)<', tabs) == [label]
    assert re.findall(r">([^<]+)</a>", tabs) == [*PLACES, "Security"]
    assert all(client.get(address).status_code in (200, 302) for address in re.findall(r'href="([^"]+)"', tabs))


@pytest.mark.parametrize("path", PLACES.values())
def test_no_page_is_kept_by_a_cache_or_costs_much(client, path, django_assert_max_num_queries):
    client.get(path)
    with django_assert_max_num_queries(8):
        page = client.get(path)
    assert "no-store" in page["Cache-Control"]
    assert len(page.content) < 50_000


def test_a_stranger_is_sent_to_sign_in(stranger):
    answer = stranger.get(PATH)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={PATH}")


def test_a_name_is_kept_without_needless_space(client, alice):
    answer = client.post(PATH, {"name": "  Ada   Lovelace "})
    assert (answer.status_code, answer["Location"]) == (302, PATH)
    alice.refresh_from_db()
    assert (alice.name, alice.initials) == ("Ada Lovelace", "AL")
    assert "Saved." in client.get(PATH).content.decode()


def test_no_name_is_a_name_too(client, alice):
    client.post(PATH, {"name": ""})
    alice.refresh_from_db()
    assert alice.name == ""


@pytest.mark.parametrize("name", ["n" * 151, "a\0b"])
def test_a_bad_name_is_refused_beside_its_field(client, alice, name):
    page = client.post(PATH, {"name": name})
    assert page.status_code == 400
    assert 'id="id_name_error"' in page.content.decode()
    alice.refresh_from_db()
    assert alice.name == "Alice"


def test_a_name_is_text(client):
    client.post(PATH, {"name": "<script>alert(1)</script>"})
    html = client.get("/account/").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_profile_shows_the_address_and_the_chosen_theme(client, alice):
    client.cookies["theme"] = "dark"
    html = client.get(PATH).content.decode()
    assert alice.email in html
    assert re.findall(r'name="theme" value="(\w+)" checked', html) == ["dark"]


def test_signing_out_is_a_form(client):
    action = re.search(
        r'<form method="post" action="([^"]+)">[^>]+><button class="btn" type="submit">Sign out',
        client.get(PATH).content.decode(),
    )[1]
    client.post(action)
    assert client.get(PATH).status_code == 302
