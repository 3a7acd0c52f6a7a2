"""Public addresses: anybody's and every cache's while the picture is public, and nobody's afterwards."""

import hashlib
from http import HTTPStatus

import pytest

from gallery import publishing
from gallery.addresses import public_copies
from gallery.models import Image
from gallery.renditions import make_eager
from gallery.review import owners
from tests.gallery.pictures import C2PA_CHUNK
from tests.gallery.published import publish_picture
from tests.people import client_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def image(alice, settings):
    settings.REVIEW_MODE = "post"
    image = publish_picture(alice, settings.SPOOL_DIR)
    make_eager(image.blob)
    return image


def copies_of(image):
    return public_copies([image])[image.pk]


def read(answer):
    return b"".join(answer.streaming_content)


def test_a_public_copy_is_kept_by_every_cache_and_says_only_that_ai_made_it(image, stranger):
    address = copies_of(image)["320"]
    answer = stranger.get(address)
    data = read(answer)
    digest = hashlib.sha256(data).hexdigest()
    assert address == f"/p/{image.publication_key}/{digest}.webp"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, s-maxage=60, immutable"
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Content-Disposition"] == f'inline; filename="plantain-{image.public_id.hex[:8]}-320.webp"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Vary" not in answer.headers
    assert not answer.cookies
    assert b"trainedAlgorithmicMedia" in data
    assert C2PA_CHUNK not in data


def test_it_answers_validators_ranges_and_head(image, stranger):
    address = copies_of(image)["320"]
    whole = stranger.get(address)
    data = read(whole)
    assert stranger.get(address, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    part = stranger.get(address, headers={"Range": "bytes=4-7"})
    assert (part.status_code, read(part)) == (HTTPStatus.PARTIAL_CONTENT, data[4:8])
    assert stranger.head(address).headers["Content-Length"] == str(len(data))
    assert stranger.post(address).status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_a_copy_that_was_never_made_is_made_on_the_way_to_its_address(image, stranger):
    named = copies_of(image)["full"]
    assert named == f"/p/{image.publication_key}/full"
    answer = stranger.get(named)
    assert answer.status_code == HTTPStatus.FOUND
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert answer.headers["Location"] == copies_of(image)["full"] != named
    assert b"trainedAlgorithmicMedia" in read(stranger.get(answer.headers["Location"]))


def test_nothing_but_the_copies_has_a_public_address(image, stranger, alice, settings):
    key = image.publication_key
    other = publish_picture(alice, settings.SPOOL_DIR, colour="#ff0000")
    make_eager(other.blob)
    others_digest = copies_of(other)["320"].rpartition("/")[2]
    for path in (
        f"/p/{key}/{image.blob.sha256}.png",
        f"/p/{key}/{image.blob.sha256}.webp",
        f"/p/{key}/{others_digest}",
        f"/p/{key}/..%2f..%2fplantain.sqlite3",
        f"/p/{key}/640.png",
        f"/p/{'A' * 22}/320",
    ):
        assert stranger.get(path).status_code == HTTPStatus.NOT_FOUND, path


def test_an_address_ends_when_the_picture_is_withdrawn_and_never_comes_back(image, stranger, alice):
    address, key = copies_of(image)["320"], image.publication_key
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert stranger.get(address).status_code == HTTPStatus.NOT_FOUND
    assert stranger.get(f"/p/{key}/320").status_code == HTTPStatus.NOT_FOUND
    image = publishing.choose_visibility(owner=alice, public_id=image.public_id, visibility="public")
    assert image.publication_key not in (None, key)
    assert stranger.get(address).status_code == HTTPStatus.NOT_FOUND
    assert stranger.get(copies_of(image)["320"]).status_code == HTTPStatus.OK


def test_a_picture_in_the_trash_has_no_public_address_until_it_is_restored(image, stranger, alice_key):
    address = copies_of(image)["320"]
    client_with(alice_key).delete(f"/api/v1/images/{image.public_id}")
    assert stranger.get(address).status_code == HTTPStatus.NOT_FOUND
    client_with(alice_key).post(f"/api/v1/images/{image.public_id}/restore")
    assert stranger.get(address).status_code == HTTPStatus.OK


def test_a_cdn_is_named_in_the_addresses_that_it_can_keep(image, settings):
    settings.CDN_URL = "https://cdn.example.com"
    copies = copies_of(image)
    assert copies["320"].startswith(f"https://cdn.example.com/p/{image.publication_key}/")
    assert copies["full"] == f"/p/{image.publication_key}/full"


def test_nginx_gets_public_bytes_whole_so_that_it_can_keep_them(image, stranger, settings):
    settings.MEDIA_ACCEL_REDIRECT = "/internal"
    answer = stranger.get(copies_of(image)["320"])
    assert "X-Accel-Redirect" not in answer.headers
    assert read(answer)[:4] == b"RIFF"


def test_the_order_of_publishing_is_the_order_of_time(alice, settings, image):
    later = publish_picture(alice, settings.SPOOL_DIR, colour="#ff0000")
    assert image.published_order < later.published_order
    assert abs((later.published_at - image.published_at).total_seconds()) < 60
    owners.withdraw(owner=alice, public_id=later.public_id)
    assert Image.objects.get(pk=later.pk).published_order is None
