"""Copies of an original: made once, from one decode, smaller and never larger, without the original's metadata."""

import base64
import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone
from PIL import Image as Picture

from gallery import renditions, storage, tasks
from gallery.decode_pool import DecodePoolError
from gallery.errors import PictureUnavailable, RenditionUnavailable
from gallery.imaging import SHRINK_FILTER, ImageRejected, make_renditions, make_thumbhash
from gallery.models import Blob, Rendition
from gallery.renditions import Wish, get_rendition, make_eager
from gallery.thumbhash import encode_thumbhash
from tests.gallery.pictures import C2PA_CHUNK, encode_picture, keep_image, make_user, with_c2pa

pytestmark = pytest.mark.django_db


@pytest.fixture
def blob(settings):
    """A PNG of 800 x 400 pixels with C2PA."""
    data = with_c2pa(encode_picture("png", size=(800, 400)))
    return keep_image(make_user("alice@example.org"), settings.SPOOL_DIR, data).blob


@pytest.fixture
def decodes(monkeypatch):
    """The targets of every call of the decode process."""
    calls: list[list[tuple[int | None, str]]] = []
    run = renditions.renderer.run

    def count(function, source, *targets):
        if function is make_renditions:
            calls.append([(target.long_side, target.format) for target in targets[0]])
        return run(function, source, *targets)

    monkeypatch.setattr(renditions.renderer, "run", count)
    return calls


def open_copy(rendition: Rendition) -> Picture.Image:
    with storage.open_stored(rendition.storage_name) as file:
        picture = Picture.open(file)
        picture.load()
        return picture


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def test_the_task_makes_320_and_640_from_one_decode(blob, decodes):
    tasks.make_renditions(blob.pk)
    assert decodes == [[(320, "webp"), (640, "webp")]]
    rows = Rendition.objects.order_by("width").values_list("variant", "format", "width", "height", "recipe")
    assert list(rows) == [("320", "webp", 320, 160, 1), ("640", "webp", 640, 320, 1)]


def test_the_task_twice_decodes_once(blob, decodes):
    tasks.make_renditions(blob.pk)
    tasks.make_renditions(blob.pk)
    assert len(decodes) == 1
    assert Rendition.objects.count() == 2


def test_the_task_for_a_blob_that_is_gone_does_nothing(blob, decodes):
    tasks.make_renditions(blob.pk + 1)
    assert decodes == []


def test_the_placeholder_is_made_with_them_and_once(blob, monkeypatch):
    functions = []
    run = renditions.renderer.run
    monkeypatch.setattr(
        renditions.renderer, "run", lambda function, *args: functions.append(function) or run(function, *args)
    )
    get_rendition(blob, Wish("320", "webp"))
    tasks.make_renditions(blob.pk)
    assert functions == [make_renditions, make_thumbhash]
    stored = Blob.objects.get(pk=blob.pk)
    assert base64.b64decode(stored.thumbhash, validate=True) == encode_thumbhash(
        open_copy(get_rendition(stored, Wish("320", "webp"))).resize((32, 16), SHRINK_FILTER, reducing_gap=1.5)
    )


def test_without_its_placeholder_a_picture_is_shown_all_the_same(blob, monkeypatch):
    run = renditions.renderer.run

    def refuse(function, *args):
        if function is make_thumbhash:
            raise DecodePoolError("no child")
        return run(function, *args)

    with monkeypatch.context() as patched:
        patched.setattr(renditions.renderer, "run", refuse)
        assert get_rendition(blob, Wish("320", "webp")).width == 320
    assert Blob.objects.get(pk=blob.pk).thumbhash == ""
    tasks.make_renditions(blob.pk)
    assert Blob.objects.get(pk=blob.pk).thumbhash


def test_the_row_tells_what_is_on_disk(settings, blob):
    rendition = get_rendition(blob, Wish("640", "webp"))
    data = storage.path_to(rendition.storage_name).read_bytes()
    stored = Rendition.objects.get(variant="640")
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert stored.byte_size == len(data)
    assert stored.storage_name == (f"renditions/{blob.sha256[:2]}/{blob.sha256[2:4]}/{blob.sha256}-640-r1.webp")
    picture = open_copy(rendition)
    assert (picture.format, picture.size) == ("WEBP", (640, 320))
    assert C2PA_CHUNK not in data
    assert b"trainedAlgorithmicMedia" in data
    assert files_below(settings.MEDIA_ROOT / "staging") == []


def test_asking_for_a_small_copy_before_the_task_makes_both_small_ones(blob, decodes):
    get_rendition(blob, Wish("320", "webp"))
    tasks.make_renditions(blob.pk)
    assert decodes == [[(320, "webp"), (640, "webp")]]


def test_1280_is_made_when_it_is_asked_for_and_never_larger_than_the_original(blob, decodes):
    make_eager(blob)
    rendition = get_rendition(blob, Wish("1280", "webp"))
    assert decodes[1:] == [[(1280, "webp")]]
    assert (rendition.width, rendition.height) == (800, 400)


@pytest.mark.parametrize(("format", "pillow_name"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_the_original_is_converted_at_its_own_size(blob, format, pillow_name):
    picture = open_copy(get_rendition(blob, Wish("original", format)))
    assert (picture.format, picture.size) == (pillow_name, (800, 400))


def test_a_copy_whose_file_is_gone_is_made_again(blob):
    name = get_rendition(blob, Wish("320", "webp")).storage_name
    storage.delete(name)
    assert get_rendition(blob, Wish("320", "webp")).storage_name == name
    assert storage.size_of(name) == Rendition.objects.get(variant="320").byte_size
    assert Rendition.objects.count() == 2


def test_a_copy_of_an_older_recipe_is_made_again_and_its_file_goes(blob, monkeypatch):
    old = get_rendition(blob, Wish("320", "webp")).storage_name
    monkeypatch.setattr(renditions, "RECIPE_VERSION", 2)
    new = get_rendition(blob, Wish("320", "webp")).storage_name
    assert new == old.replace("-r1.", "-r2.")
    assert storage.size_of(old) is None
    assert storage.size_of(new) == Rendition.objects.get(variant="320").byte_size
    assert set(Rendition.objects.values_list("variant", "recipe")) == {("320", 2), ("640", 2)}


def test_sixteen_requests_and_the_task_at_once_decode_once(race, blob, decodes):
    def work(number):
        if number == 16:
            return tasks.make_renditions(blob.pk)
        return get_rendition(Blob.objects.get(pk=blob.pk), Wish(("320", "640")[number % 2], "webp")).variant

    assert race(17, work) == ["320", "640"] * 8 + [None]
    assert decodes == [[(320, "webp"), (640, "webp")]]


@pytest.fixture
def broken(monkeypatch):
    """Every decode is refused; counts them."""
    calls: list[object] = []

    def reject(*args):
        calls.append(args)
        raise ImageRejected("too_large", "The picture takes too long to decode.")

    monkeypatch.setattr(renditions.renderer, "run", reject)
    return calls


def test_a_picture_that_cannot_be_rendered_is_not_tried_again_at_once(settings, blob, broken):
    with pytest.raises(RenditionUnavailable) as first:
        get_rendition(blob, Wish("320", "webp"))
    with pytest.raises(RenditionUnavailable) as second:
        get_rendition(Blob.objects.get(pk=blob.pk), Wish("1280", "webp"))
    tasks.make_renditions(blob.pk)
    assert len(broken) == 1
    assert first.value.retry_after == 900
    assert 0 < second.value.retry_after <= 900
    assert Rendition.objects.count() == 0
    assert files_below(settings.MEDIA_ROOT / "renditions") == files_below(settings.MEDIA_ROOT / "staging") == []


def test_after_the_pause_it_is_tried_again(blob, decodes):
    Blob.objects.update(unrenderable_until=timezone.now() - timedelta(seconds=1))
    assert get_rendition(blob, Wish("320", "webp")).width == 320


def test_a_failure_of_ours_does_not_pause_the_picture(blob, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(renditions.renderer, "run", fail)
        with pytest.raises(RenditionUnavailable) as refusal:
            get_rendition(blob, Wish("320", "webp"))
    assert refusal.value.retry_after == 30
    assert get_rendition(blob, Wish("320", "webp")).width == 320


def test_without_the_original_no_copy_is_made(blob):
    storage.delete(blob.storage_name)
    with pytest.raises(PictureUnavailable):
        get_rendition(blob, Wish("320", "webp"))
    blob.refresh_from_db()
    assert blob.unrenderable_until is None
    assert Rendition.objects.count() == 0
