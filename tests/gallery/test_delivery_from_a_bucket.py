"""Bytes over HTTP when they are in a bucket: its owner is sent there with a signed address, nobody else is."""

from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from accounts import keys
from gallery.delivery import find_file, serve_file
from gallery.models import Image, Rendition
from tests.gallery.pictures import encode_picture, keep_image, make_user

pytestmark = pytest.mark.django_db

DATA = encode_picture("png", size=(800, 400))


@pytest.fixture
def alice():
    return make_user("alice@example.org")


@pytest.fixture
def image(bucket, settings, alice):
    return keep_image(alice, settings.SPOOL_DIR, DATA)


@pytest.fixture
def api(alice):
    key = keys.create_key(user=alice, scopes=("generate", "read"))
    return Client(headers={"Authorization": f"Bearer {key.secret}"})


def address_of(image, query=""):
    return f"/api/v1/images/{image.public_id}/file{query}"


def test_the_stable_address_sends_its_owner_to_the_bucket_for_five_minutes(api, image, bucket):
    answer = api.get(address_of(image))
    assert (answer.status_code, answer.content) == (HTTPStatus.FOUND, b"")
    assert answer["Cache-Control"] == "private, max-age=240"  # kept for less time than the address is good
    assert answer["Vary"] == "Authorization, Cookie, x-goog-api-key"
    target = urlsplit(answer["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == (
        f"{bucket.server.url}/{bucket.name}/{image.blob.storage_name}"
    )
    assert parse_qs(target.query)["X-Amz-Expires"] == ["300"]
    there = requests.get(answer["Location"], timeout=5)
    assert there.content == DATA
    assert there.headers["Content-Type"] == "image/png"
    assert there.headers["Cache-Control"] == "private, max-age=300"
    assert there.headers["Content-Disposition"] == f'inline; filename="plantain-{image.public_id.hex[:8]}.png"'


def test_a_download_of_a_copy_is_an_attachment_there(api, image):
    answer = api.get(address_of(image, "?variant=320&download=1"))
    there = requests.get(answer["Location"], headers={"Range": "bytes=0-3"}, timeout=5)
    assert (there.status_code, there.content) == (HTTPStatus.PARTIAL_CONTENT, b"RIFF")
    assert there.headers["Content-Type"] == "image/webp"
    name = f'attachment; filename="plantain-{image.public_id.hex[:8]}-320.webp"'
    assert there.headers["Content-Disposition"] == name
    assert sorted(Rendition.objects.values_list("variant", flat=True)) == ["320", "640"]


def test_head_and_conditional_requests_are_answered_here(api, image):
    head = api.head(address_of(image))
    assert (head.status_code, head["Content-Length"]) == (HTTPStatus.OK, str(len(DATA)))
    again = api.get(address_of(image), headers={"If-None-Match": head["ETag"]})
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")


def test_nobody_else_is_told_the_address(stranger, image):
    assert stranger.get(address_of(image)).status_code == HTTPStatus.UNAUTHORIZED
    bob = keys.create_key(user=make_user("bob@example.org"), scopes=("read",))
    answer = stranger.get(address_of(image), headers={"Authorization": f"Bearer {bob.secret}"})
    assert (answer.status_code, "Location" in answer) == (HTTPStatus.NOT_FOUND, False)


@pytest.mark.parametrize(
    ("wanted", "status", "body"), [({}, 200, DATA), ({"Range": "bytes=5-8"}, 206, DATA[5:9])], ids=["whole", "range"]
)
def test_public_bytes_come_through_us_so_that_they_can_be_cached_and_withdrawn(image, wanted, status, body):
    request = RequestFactory().get("/p/a.png", headers=wanted)
    answer = serve_file(request, find_file(image), cache_control="public, max-age=60")
    assert (answer.status_code, b"".join(answer)) == (status, body)
    answer.close()


def test_a_picture_that_is_in_files_still_comes_from_there(api, image, bucket, settings):
    bucket.use(settings, "files")
    other = keep_image(image.owner, settings.SPOOL_DIR, encode_picture("webp"))
    bucket.use(settings, "s3", "files")
    settings.MEDIA_ACCEL_REDIRECT = "/protected/"
    assert api.get(address_of(other))["X-Accel-Redirect"] == f"/protected/{other.blob.storage_name}"
    assert api.get(address_of(image)).status_code == HTTPStatus.FOUND


@pytest.mark.parametrize("query", ["", "?variant=320", "?format=jpeg"])
def test_viewers_are_told_to_come_back_while_the_bucket_is_away(api, image, bucket, query):
    bucket.server.stop()
    answer = api.get(address_of(image, query))
    assert (answer.status_code, answer.json()["code"]) in [
        (HTTPStatus.SERVICE_UNAVAILABLE, "picture_unavailable"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "rendition_unavailable"),
    ]
    assert int(answer["Retry-After"]) in (10, 30)
    assert bucket.name not in answer.content.decode()
    bucket.server.start()
    assert api.get(address_of(image, query)).status_code == HTTPStatus.FOUND


def test_an_upload_that_cannot_be_kept_is_refused_and_leaves_nothing(api, bucket, settings):
    bucket.server.stop()
    answer = api.post("/api/v1/images", {"file": SimpleUploadedFile("a.png", DATA)})
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "storage_unavailable")
    assert answer["Retry-After"] == "10"
    assert not Image.objects.exists()
    bucket.server.start()
    assert bucket.names() == []
    assert [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()] == []


def test_readyz_names_the_storage_while_the_bucket_is_away(client, bucket):
    assert client.get("/readyz").json()["checks"]["storage"] == "ok"
    bucket.server.stop()
    answer = client.get("/readyz")
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.json()["checks"]["storage"] == "does not answer"
