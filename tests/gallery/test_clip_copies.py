"""Published and shared clips: others get a copy without metadata, their owner the original as it came."""

import hashlib
from http import HTTPStatus

import pytest
from django.core.management import call_command

from gallery import clip_copies, publishing, renditions, sharing, storage
from gallery.addresses import public_copies
from gallery.imaging import ImageRejected
from gallery.models import Image, Rendition
from gallery.public_tiles import public_pictures
from gallery.remuxing import LABEL
from gallery.review import owners
from tests.gallery import clips
from tests.gallery.pictures import keep_clip
from tests.people import client_with

pytestmark = pytest.mark.django_db

CANARY = "zanzibarcanary"
MP4 = clips.clip(words=CANARY)
GIF = clips.gif()[:-1] + b"!\xfe" + bytes([len(CANARY)]) + CANARY.encode() + b"\0;"


@pytest.fixture(autouse=True)
def _no_waiting(settings):
    settings.REVIEW_MODE = "post"


@pytest.fixture
def published(alice, tmp_path):
    """Publishes a clip of Alice's."""

    def publish(data=MP4):
        clip = keep_clip(alice, tmp_path / "spooled", data)
        return publishing.choose_visibility(
            owner=alice, public_id=clip.public_id, visibility="public", alt_text="A red ball."
        )

    return publish


def address_of(clip):
    """Where a page says that the clip is."""
    return public_pictures([Image.objects.with_blob().get(pk=clip.pk)])[0].clip


def bytes_of(answer):
    assert answer.status_code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
    return b"".join(answer.streaming_content)


@pytest.mark.parametrize(("data", "extension"), [(MP4, "mp4"), (GIF, "gif")], ids=["MP4", "GIF"])
def test_the_public_bytes_have_the_mark_and_nothing_of_the_metadata(data, extension, published, stranger):
    assert CANARY.encode() in data
    clip = published(data)
    named = address_of(clip)
    assert named == f"/p/{clip.publication_key}/clip"
    led = stranger.get(named)
    assert (led.status_code, led.headers["Cache-Control"]) == (HTTPStatus.FOUND, "public, max-age=60")
    address = led.headers["Location"]
    assert address == address_of(clip)
    answer = stranger.get(address)
    public = bytes_of(answer)
    assert CANARY.encode() not in public
    assert b"trainedAlgorithmicMedia" in public
    assert (LABEL.encode() in public) is (extension == "mp4")
    assert address.endswith(f"/{hashlib.sha256(public).hexdigest()}.{extension}")
    assert answer.headers["Content-Type"] == clip.blob.mime_type
    assert answer.headers["Cache-Control"].startswith("public")
    assert answer.headers["Content-Length"] == str(len(public))


def test_ranges_work_for_the_copy(published, stranger):
    address = stranger.get(address_of(published())).headers["Location"]
    whole = bytes_of(stranger.get(address))
    part = stranger.get(address, headers={"Range": "bytes=4-11"})
    assert (part.status_code, bytes_of(part)) == (HTTPStatus.PARTIAL_CONTENT, whole[4:12])
    assert part.headers["Content-Range"] == f"bytes 4-11/{len(whole)}"
    beyond = stranger.get(address, headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    known = stranger.get(address, headers={"If-None-Match": part.headers["ETag"]})
    assert known.status_code == HTTPStatus.NOT_MODIFIED


def test_the_original_has_no_public_address_and_stays_as_it_came(published, stranger, alice_key):
    clip = published()
    stranger.get(address_of(clip))
    assert stranger.get(f"/p/{clip.publication_key}/{clip.blob.sha256}.mp4").status_code == HTTPStatus.NOT_FOUND
    assert bytes_of(client_with(alice_key).get(f"/api/v1/images/{clip.public_id}/file")) == MP4
    with storage.open_stored(clip.blob.storage_name) as file:
        assert file.read() == MP4


def test_a_shared_clip_is_the_copy_too(published, stranger, alice):
    clip = published()
    link = f"/s/{sharing.token_of(sharing.create_link(owner=alice, public_id=clip.public_id, expires_at=None))}/"
    assert f'src="{link}clip"' in stranger.get(link).content.decode()
    answer = stranger.get(f"{link}clip")
    assert answer.headers["Cache-Control"] == "private, no-store"
    shared = bytes_of(answer)
    assert CANARY.encode() not in shared
    assert LABEL.encode() in shared


def test_it_is_made_once_and_again_when_its_file_is_lost(published, stranger, monkeypatch):
    made = []
    make = clip_copies._make
    monkeypatch.setattr(clip_copies, "_make", lambda blob: made.append(blob) or make(blob))
    clip = published()
    for _ in range(2):
        stranger.get(f"/p/{clip.publication_key}/clip")
    assert len(made) == 1
    row = Rendition.objects.get(format="mp4")
    storage.delete(row.storage_name)
    assert stranger.get(f"/p/{clip.publication_key}/clip").status_code == HTTPStatus.FOUND
    assert len(made) == 2
    assert storage.size_of(row.storage_name) == row.byte_size


def test_it_ends_with_the_publication(published, stranger, alice):
    clip = published()
    named = address_of(clip)
    address = stranger.get(named).headers["Location"]
    owners.withdraw(owner=alice, public_id=clip.public_id)
    assert stranger.get(named).status_code == HTTPStatus.NOT_FOUND
    assert stranger.get(address).status_code == HTTPStatus.NOT_FOUND


def test_a_picture_has_no_copy_called_clip(alice, stranger, settings):
    from tests.gallery.published import publish_picture

    image = publish_picture(alice, settings.SPOOL_DIR)
    assert "clip" not in public_copies([image])[image.pk]
    assert stranger.get(f"/p/{image.publication_key}/clip").status_code == HTTPStatus.NOT_FOUND


def test_a_copy_that_shows_something_else_is_not_given_away(published, stranger, monkeypatch):
    clip = published()
    verified = clip_copies._verified
    counts = iter((10, 9))
    monkeypatch.setattr(clip_copies, "_shown", lambda facts: next(counts))
    answer = stranger.get(f"/p/{clip.publication_key}/clip")
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert not Rendition.objects.filter(format="mp4").exists()
    # It is left alone for a while, however often it is asked for.
    monkeypatch.setattr(clip_copies, "_verified", lambda path: pytest.fail("it was tried again"))
    assert stranger.get(f"/p/{clip.publication_key}/clip").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    monkeypatch.setattr(clip_copies, "_verified", verified)


def test_it_is_parsed_in_a_decode_process(published, stranger, monkeypatch):
    asked = []

    def refuse(function, *args, **kwargs):
        asked.append(function.__name__)
        raise ImageRejected("not_an_image", "No.")

    clip = published()
    monkeypatch.setattr(clip_copies.renderer, "run", refuse)
    assert stranger.get(f"/p/{clip.publication_key}/clip").status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert asked == ["make_public_clip"]


def test_a_copy_of_an_older_recipe_is_made_anew_by_the_command(published, stranger, monkeypatch, capsys):
    clip = published()
    stranger.get(address_of(clip))
    call_command("rebuildrenditions")
    assert capsys.readouterr().out.startswith("2 copies and 1 placeholders made; 0 pictures failed")  # of the poster
    old = Rendition.objects.get(format="mp4").storage_name
    monkeypatch.setattr(renditions, "RECIPE_VERSION", 2)
    call_command("rebuildrenditions")
    assert capsys.readouterr().out.startswith("3 copies and 0 placeholders made; 0 pictures failed")
    row = Rendition.objects.get(format="mp4")
    assert (row.recipe, storage.size_of(old), storage.size_of(row.storage_name)) == (2, None, row.byte_size)
