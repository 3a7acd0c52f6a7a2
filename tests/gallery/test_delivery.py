"""Bytes over HTTP: validators, ranges, safe headers, and the web server that takes over."""

import hashlib
from http import HTTPStatus

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from django.utils.http import http_date

from gallery import delivery, storage
from gallery.delivery import find_file, serve_file
from gallery.errors import PictureUnavailable
from gallery.files import Files
from tests.gallery.pictures import encode_picture, keep_image, make_user, with_c2pa

pytestmark = pytest.mark.django_db

DATA = with_c2pa(encode_picture("png", size=(400, 200)))
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'
SIZE = len(DATA)


@pytest.fixture
def image(settings):
    return keep_image(make_user("alice@example.org"), settings.SPOOL_DIR, DATA)


@pytest.fixture
def fetch(image):
    """The answer to GET or HEAD of the original with these headers."""

    def run(method="get", **headers):
        request = getattr(RequestFactory(), method)("/file", headers=headers)
        return serve_file(request, find_file(image))

    return run


def read(response):
    try:
        return b"".join(response)
    finally:
        response.close()


def test_the_whole_file_is_the_stored_bytes(fetch):
    response = fetch()
    assert response.status_code == HTTPStatus.OK
    assert response["Content-Length"] == str(SIZE)
    assert response["Content-Type"] == "image/png"
    assert response["Accept-Ranges"] == "bytes"
    assert read(response) == DATA


def test_private_bytes_are_private_and_cannot_become_a_page(fetch, image):
    headers = fetch().headers
    assert headers["ETag"] == ETAG
    assert headers["Last-Modified"] == http_date(int(image.blob.created_at.timestamp()))
    assert headers["Cache-Control"] == "private, max-age=300"
    assert headers["Vary"] == "Authorization, Cookie, x-goog-api-key"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Disposition"] == f'inline; filename="plantain-{image.public_id.hex[:8]}.png"'


def test_a_download_is_an_attachment_with_a_name_of_ours(image):
    file = find_file(image, variant="320")
    response = serve_file(RequestFactory().get("/file"), file, as_attachment=True)
    assert response["Content-Disposition"] == f'attachment; filename="plantain-{image.public_id.hex[:8]}-320.webp"'


@pytest.mark.parametrize(
    ("variant", "format", "name", "mime_type"),
    [
        ("original", None, "plantain-{}.png", "image/png"),
        ("original", "png", "plantain-{}.png", "image/png"),
        ("original", "jpeg", "plantain-{}.jpg", "image/jpeg"),
        ("640", None, "plantain-{}-640.webp", "image/webp"),
        ("320", "png", "plantain-{}-320.png", "image/png"),
    ],
)
def test_each_wish_has_its_file(image, variant, format, name, mime_type):
    file = find_file(image, variant=variant, format=format)
    assert file.download_name == name.format(image.public_id.hex[:8])
    assert file.mime_type == mime_type
    assert storage.digest_of(storage.path_to(file.name)) == file.digest


def test_the_originals_own_format_is_the_original_itself(image):
    assert find_file(image, format="png").name == image.blob.storage_name


def test_the_file_is_read_in_pieces(fetch, monkeypatch):
    monkeypatch.setattr(delivery, "CHUNK_BYTES", 100)
    response = fetch()
    assert isinstance(response, StreamingHttpResponse)
    pieces = list(response)
    assert [len(piece) for piece in pieces[:-1]] == [100] * (len(pieces) - 1)
    assert b"".join(pieces) == DATA


def test_an_answer_that_is_never_read_closes_its_file(fetch, monkeypatch):
    files = []
    opened = Files.open
    monkeypatch.setattr(Files, "open", lambda *args, **span: files.append(opened(*args, **span)) or files[-1])
    fetch().close()
    assert [file.closed for file in files] == [True]


@pytest.mark.parametrize("tag", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_bytes_that_the_client_has_are_not_sent_again(fetch, tag):
    response = fetch(if_none_match=tag)
    assert response.status_code == HTTPStatus.NOT_MODIFIED
    assert response.content == b""
    assert response["ETag"] == ETAG
    assert response["Cache-Control"] == "private, max-age=300"
    assert response["Vary"] == "Authorization, Cookie, x-goog-api-key"


def test_other_bytes_than_the_client_has_are_sent(fetch):
    assert read(fetch(if_none_match='"other"')) == DATA


def test_a_copy_as_new_as_the_file_is_good(fetch, image):
    response = fetch(if_modified_since=http_date(int(image.blob.created_at.timestamp())))
    assert response.status_code == HTTPStatus.NOT_MODIFIED


def test_a_wish_for_other_bytes_than_these_fails(fetch):
    assert fetch(if_match='"other"').status_code == HTTPStatus.PRECONDITION_FAILED


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        ("Bytes=0-9", 0, 10),
        (f"bytes=0-{SIZE + 1000}", 0, SIZE),
        (f"bytes=-{SIZE + 1000}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ],
)
def test_one_range_is_answered_with_exactly_its_bytes(fetch, wanted, start, stop):
    response = fetch(range=wanted)
    assert response.status_code == HTTPStatus.PARTIAL_CONTENT
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response["Content-Length"] == str(stop - start)
    assert response["ETag"] == ETAG
    assert read(response) == DATA[start:stop]


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
def test_a_range_behind_the_end_is_416_with_the_size(fetch, wanted):
    response = fetch(range=wanted)
    assert response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert response["Content-Range"] == f"bytes */{SIZE}"
    assert response.content == b""


@pytest.mark.parametrize(
    "wanted",
    ["bytes=-", "bytes=5-2", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes", "bytes=0-" + "9" * 5000, "bytes=٣-٥"],
)
def test_a_range_that_makes_no_sense_is_ignored(fetch, wanted):
    response = fetch(range=wanted)
    assert response.status_code == HTTPStatus.OK
    assert read(response) == DATA


def test_a_download_goes_on_only_when_the_bytes_are_the_same(fetch):
    assert fetch(range="bytes=5-", if_range=ETAG).status_code == HTTPStatus.PARTIAL_CONTENT
    assert read(fetch(range="bytes=5-", if_range='"other"')) == DATA
    assert read(fetch(range="bytes=5-", if_range=f"W/{ETAG}")) == DATA
    assert read(fetch(range="bytes=5-", if_range="Sat, 21 Nov 2026 01:00:00 GMT")) == DATA


def test_not_modified_wins_over_a_range(fetch):
    assert fetch(range="bytes=0-1", if_none_match=ETAG).status_code == HTTPStatus.NOT_MODIFIED


def test_head_tells_the_length_and_sends_no_bytes(fetch):
    response = fetch("head", range="bytes=0-1")
    assert response.status_code == HTTPStatus.OK
    assert response["Content-Length"] == str(SIZE)
    assert response["ETag"] == ETAG
    assert response.content == b""


def test_bytes_that_are_gone_are_an_error_and_not_an_empty_picture(fetch, image):
    storage.delete(image.blob.storage_name)
    with pytest.raises(PictureUnavailable):
        fetch()


@pytest.mark.parametrize("location", ["/internal/media", "/internal/media/"])
def test_the_web_server_takes_over_when_it_is_told_where(settings, fetch, image, location):
    settings.MEDIA_ACCEL_REDIRECT = location
    response = fetch(range="bytes=0-1")
    assert response.status_code == HTTPStatus.OK
    assert response["X-Accel-Redirect"] == f"/internal/media/{image.blob.storage_name}"
    assert response["Content-Type"] == "image/png"
    assert "Content-Range" not in response
    assert response.content == b""


def test_the_web_server_is_not_bothered_for_what_the_client_has(settings, fetch):
    settings.MEDIA_ACCEL_REDIRECT = "/internal/media"
    response = fetch(if_none_match=ETAG)
    assert response.status_code == HTTPStatus.NOT_MODIFIED
    assert "X-Accel-Redirect" not in response
