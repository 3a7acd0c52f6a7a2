"""Keeping a picture, and giving it to somebody."""

import pytest
from django.db import transaction

from gallery import services, storage
from gallery.models import Blob, Image
from tests.gallery.pictures import add_image, encode_picture, keep_image, make_user, with_c2pa, write_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return make_user("alice@example.org")


@pytest.fixture
def bob():
    return make_user("bob@example.org")


@pytest.fixture
def kept(settings):
    """The facts of a PNG with C2PA whose bytes are in the storage."""
    path, facts = write_file(settings.SPOOL_DIR, with_c2pa(encode_picture("png", size=(48, 32))))
    services.keep_picture(path=path, facts=facts)
    return facts


def test_keeping_a_picture_stores_its_bytes_and_no_row(settings):
    data = encode_picture("webp")
    path, facts = write_file(settings.SPOOL_DIR, data)
    name = services.keep_picture(path=path, facts=facts)
    assert storage.path_to(name).read_bytes() == data
    assert Blob.objects.count() == Image.objects.count() == 0


def test_an_image_is_private_and_knows_its_bytes(alice, kept):
    image = add_image(alice, kept, honours_image_size=False)
    image.refresh_from_db()
    assert (image.owner, image.kind, image.visibility, image.review_status) == (alice, "image", "private", "none")
    assert (image.honours_aspect_ratio, image.honours_image_size) == (True, False)
    assert image.source_reference == "4b1d2c3e-0000-4000-8000-000000000001"
    blob = image.blob
    assert (blob.sha256, blob.byte_size, blob.mime_type) == (kept.sha256, kept.byte_size, "image/png")
    assert (blob.width, blob.height, blob.has_c2pa) == (48, 32, True)
    assert blob.dominant_colour == kept.dominant_colour
    assert storage.size_of(blob.storage_name) == kept.byte_size


def test_the_caption_is_the_alternative_text(alice, kept):
    image = add_image(alice, kept, caption="A yellow disc on blue.")
    assert (image.caption, image.alt_text) == ("A yellow disc on blue.", "A yellow disc on blue.")


def test_without_a_caption_there_is_no_alternative_text(alice, kept):
    assert add_image(alice, kept).alt_text == ""


def test_a_caption_that_no_database_stores_does_not_lose_the_picture(alice, kept):
    image = add_image(alice, kept, caption="A\0 disc \ud800.")
    image.refresh_from_db()
    assert image.alt_text == "A disc ?."


def test_identical_bytes_of_two_people_share_a_blob_and_no_image(alice, bob, kept):
    first, second = add_image(alice, kept), add_image(bob, kept)
    assert first.blob_id == second.blob_id
    assert first.public_id != second.public_id
    assert (Blob.objects.count(), Image.objects.count()) == (1, 2)


def test_a_transaction_that_is_undone_leaves_bytes_and_no_rows(alice, kept):
    with transaction.atomic():
        add_image(alice, kept)
        transaction.set_rollback(True)
    assert Blob.objects.count() == Image.objects.count() == 0
    assert storage.size_of(storage.original_name(kept.sha256, mime_type="image/png")) == kept.byte_size


def test_sixteen_jobs_with_identical_bytes_make_one_file_one_blob_and_sixteen_images(settings, race, alice):
    data = encode_picture("png", colour="#445566")

    def work(number):
        path, facts = write_file(settings.SPOOL_DIR, data, name=f"picture-{number}")
        services.keep_picture(path=path, facts=facts)
        return add_image(alice, facts, source_reference=f"job-{number}").blob_id

    blob_ids = race(16, work)
    blob = Blob.objects.get()
    assert blob_ids == [blob.pk] * 16
    assert Image.objects.count() == 16
    assert [path.name for path in (settings.MEDIA_ROOT / "originals").rglob("*.png")] == [f"{blob.sha256}.png"]


def test_kept_images_of_different_bytes_have_blobs_of_their_own(settings, alice):
    keep_image(alice, settings.SPOOL_DIR, encode_picture("png", colour="#000000"))
    keep_image(alice, settings.SPOOL_DIR, encode_picture("png", colour="#ffffff"))
    assert Blob.objects.count() == 2
