"""Signed addresses of private files: for one person, for five minutes, and for nothing that was changed."""

from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.test import Client

from gallery import signing
from tests.gallery.pictures import encode_picture, keep_image
from tests.people import client_with

pytestmark = pytest.mark.django_db

DATA = encode_picture("png", size=(400, 200))
FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture
def image(alice, settings):
    settings.SIGNED_ADDRESSES = "django"
    return keep_image(alice, settings.SPOOL_DIR, DATA)


@pytest.fixture
def address(image, alice_key):
    return client_with(alice_key).get(f"/api/v1/images/{image.public_id}/file?download=1").headers["Location"]


def test_the_stable_address_sends_its_owner_to_a_signed_one(image, address, alice_key, alice):
    answer = client_with(alice_key).get(f"/api/v1/images/{image.public_id}/file?download=1")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (HTTPStatus.FOUND, "private, max-age=240")
    assert answer.headers["Vary"] == "Authorization, Cookie, x-goog-api-key"
    by_session = Client()
    by_session.force_login(alice)
    for client in (client_with(alice_key), by_session):
        signed = client.get(address)
        assert b"".join(signed.streaming_content) == DATA
        assert signed.headers["ETag"] == f'"{image.blob.sha256}"'
        assert signed.headers["Cache-Control"] == "private, max-age=300"
        assert signed.headers["Content-Type"] == "image/png"
        assert signed.headers["X-Content-Type-Options"] == "nosniff"
        assert signed.headers["Content-Disposition"] == (
            f'attachment; filename="plantain-{image.public_id.hex[:8]}.png"'
        )


def test_nobody_else_can_use_it(address, bob, bob_key, stranger):
    other = Client()
    other.force_login(bob)
    for client in (other, client_with(bob_key), stranger, client_with("nbk_live_wrong")):
        assert client.get(address).status_code == HTTPStatus.NOT_FOUND


def test_nothing_of_it_can_be_changed(address, alice_key, image):
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    client = client_with(alice_key)
    assert client.get(address).status_code == HTTPStatus.OK
    for name, value in query.items():
        for changed in ({name: value + "0"}, {name: ""}):
            assert client.get(f"{parts.path}?{urlencode(query | changed)}").status_code == 404, changed
        fewer = {each: text for each, text in query.items() if each != name}
        assert client.get(f"{parts.path}?{urlencode(fewer)}").status_code == HTTPStatus.NOT_FOUND
    assert client.get(f"{address}&x=1").status_code == HTTPStatus.NOT_FOUND
    for path in (parts.path.replace("originals", "renditions"), parts.path + "x", "/signed/originals/../secrets"):
        assert client.get(f"{path}?{parts.query}").status_code == HTTPStatus.NOT_FOUND


def test_it_is_over_after_five_minutes(address, alice_key, monkeypatch):
    expires_at = int(dict(parse_qsl(urlsplit(address).query))["e"])
    monkeypatch.setattr(signing.time, "time", lambda: expires_at - 1)
    assert client_with(alice_key).get(address).status_code == HTTPStatus.OK
    monkeypatch.setattr(signing.time, "time", lambda: expires_at)
    assert client_with(alice_key).get(address).status_code == HTTPStatus.NOT_FOUND


def test_keys_are_rotated_without_an_address_that_fails(image, alice_key, settings):
    client, stable = client_with(alice_key), f"/api/v1/images/{image.public_id}/file"
    settings.URL_SIGNING_KEYS = {"first": FIRST}
    old = client.get(stable).headers["Location"]
    settings.URL_SIGNING_KEYS = {"second": SECOND, "first": FIRST}
    new = client.get(stable).headers["Location"]
    assert ("k=first" in old, "k=second" in new) == (True, True)
    assert {client.get(address).status_code for address in (old, new)} == {HTTPStatus.OK}
    settings.URL_SIGNING_KEYS = {"second": SECOND}
    assert client.get(old).status_code == HTTPStatus.NOT_FOUND
    assert client.get(new).status_code == HTTPStatus.OK


def test_django_hands_the_file_to_nginx_where_it_may(address, alice_key, image, settings):
    settings.MEDIA_ACCEL_REDIRECT = "/internal"
    answer = client_with(alice_key).get(address)
    assert answer.headers["X-Accel-Redirect"] == f"/internal/{image.blob.storage_name}"
