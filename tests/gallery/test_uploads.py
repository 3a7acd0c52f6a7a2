"""POST /api/v1/images: a picture that somebody sends is proven to be one, and loses what it knew of its making."""

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image as PillowImage

from accounts import keys
from accounts.models import Transfer
from gallery import storage
from gallery.models import Blob, Image
from tests.gallery.hostile import corpus
from tests.gallery.pictures import encode_picture, make_user, with_c2pa
from tests.gallery.test_hostile_images import VERDICTS

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/api/v1/images"
CORPUS = corpus()


@pytest.fixture
def alice():
    return make_user("alice@example.org")


def client_of(user, *scopes):
    return Client(
        headers={"Authorization": f"Bearer {keys.create_key(user=user, scopes=scopes or ('generate', 'read')).secret}"}
    )


@pytest.fixture
def api(alice):
    return client_of(alice)


def send(api, data, name="a.png", **fields):
    return api.post(ADDRESS, {"file": SimpleUploadedFile(name, data), **fields})


def photograph():
    """A JPEG lying on its side, with a place, a maker and a comment."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "CANARY maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    buffer = io.BytesIO()
    PillowImage.new("RGB", (40, 20), "teal").save(buffer, "JPEG", exif=exif, comment=b"CANARY comment")
    return buffer.getvalue()


def bytes_of(image):
    with storage.open_stored(image.blob.storage_name) as file:
        return file.read()


def test_an_upload_is_kept_for_its_owner_and_hidden_from_lists(api, alice):
    answer = send(api, encode_picture("png", size=(30, 20)))
    assert answer.status_code == 201
    body = answer.json()
    assert answer["Location"].endswith(f"/api/v1/images/{body['id']}")
    assert (body["kind"], body["width"], body["height"], body["generation"]) == ("upload", 30, 20, None)
    assert body["provenance"] == {"ai_generated": False, "c2pa": False}
    assert api.get(ADDRESS).json()["results"] == []
    assert [row["id"] for row in api.get(f"{ADDRESS}?kind=upload").json()["results"]] == [body["id"]]
    assert api.get(f"{ADDRESS}/{body['id']}/file").status_code == 200
    assert api.get(f"{ADDRESS}/{body['id']}/file?variant=320").status_code == 200
    assert not Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()
    assert client_of(make_user("bob@example.org")).get(f"{ADDRESS}/{body['id']}").status_code == 404


def test_a_photograph_loses_its_place_and_stands_upright(api):
    sent = photograph()
    assert b"CANARY" in sent
    assert send(api, sent, "DSC1.jpg").status_code == 201
    kept = bytes_of(Image.objects.get())
    assert b"CANARY" not in kept
    assert b"Exif" not in kept
    with PillowImage.open(io.BytesIO(kept)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (20, 40))
        assert not picture.getexif()


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_each_format_stays_what_it_is_without_metadata(api, image_format):
    assert send(api, encode_picture(image_format, size=(30, 20)), "name.of.no.matter").status_code == 201
    blob = Image.objects.get().blob
    assert blob.mime_type == f"image/{image_format}"
    assert not blob.has_c2pa


def test_transparency_stays(api):
    buffer = io.BytesIO()
    PillowImage.new("RGBA", (8, 8), (200, 10, 10, 0)).save(buffer, "PNG")
    assert send(api, buffer.getvalue()).status_code == 201
    with PillowImage.open(io.BytesIO(bytes_of(Image.objects.get()))) as picture:
        assert picture.getpixel((0, 0))[3] == 0


def test_a_manifest_of_another_maker_is_not_passed_on(api):
    assert send(api, with_c2pa(encode_picture("png"))).status_code == 201
    assert Image.objects.get().blob.has_c2pa is False


@pytest.mark.parametrize("name", [name for name in CORPUS if isinstance(VERDICTS[name], str)])
def test_nothing_hostile_is_kept(api, name):
    answer = send(api, CORPUS[name])
    assert answer.status_code in (400, 413, 415)
    assert answer.json()["remedy"]
    assert not Image.objects.exists()
    assert not Blob.objects.exists()


REFUSED = {
    "a page": (b"<html>", 415, "upload_not_a_picture"),
    "a cut picture": (encode_picture("png", size=(64, 64))[:-40], 400, "invalid"),
    "24 megapixels and some": (encode_picture("png", size=(6000, 4001)), 413, "upload_too_large"),
    "more than 32 MiB": (b"\x89PNG\r\n\x1a\n" + bytes(32 * 1024 * 1024), 413, "upload_too_large"),
}


@pytest.mark.parametrize(("data", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_named(api, data, status, code):
    answer = send(api, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Image.objects.exists()


def test_it_needs_a_file_and_nothing_else(api):
    assert api.post(ADDRESS).json()["errors"][0]["field"] == "file"
    assert send(api, encode_picture("png"), title="x").json()["errors"][0]["field"] == "title"
    answer = api.post(ADDRESS, "{}", content_type="application/json")
    assert answer.status_code == 415
    assert not Image.objects.exists()


def test_it_needs_the_scope_and_a_key(alice):
    assert send(client_of(alice, "read"), encode_picture("png")).status_code == 403
    assert send(Client(), encode_picture("png")).status_code == 401
    assert not Image.objects.exists()
