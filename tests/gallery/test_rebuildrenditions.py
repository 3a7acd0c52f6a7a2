"""The command makes the copies that are missing or of an older recipe, and goes on where it was cut off."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gallery import renditions, storage
from gallery.imaging import ImageRejected
from gallery.models import Blob, Image, Rendition
from gallery.renditions import Wish, get_rendition
from tests.gallery.pictures import encode_picture, keep_image, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def images(settings):
    owner = make_user("alice@example.org")
    return [keep_image(owner, settings.SPOOL_DIR, encode_picture("png", colour=each)) for each in ("red", "blue")]


@pytest.fixture
def rebuild(capsys):
    def run():
        call_command("rebuildrenditions")
        return capsys.readouterr().out

    return run


def recipes():
    return sorted(Rendition.objects.values_list("variant", "format", "recipe"))


def test_what_is_missing_is_made_and_then_nothing(images, rebuild):
    assert rebuild() == "4 copies and 2 placeholders made; 0 pictures failed, 0 are left alone for a while.\n"
    assert recipes() == [("320", "webp", 1)] * 2 + [("640", "webp", 1)] * 2
    assert rebuild() == "0 copies and 0 placeholders made; 0 pictures failed, 0 are left alone for a while.\n"


def test_a_copy_whose_file_was_lost_is_made_again(images, rebuild):
    rebuild()
    name = Rendition.objects.filter(variant="320")[0].storage_name
    storage.delete(name)
    assert rebuild().startswith("1 copies and 0 placeholders made")
    assert storage.size_of(name) is not None


def test_every_copy_of_an_older_recipe_is_made_anew(images, rebuild, monkeypatch):
    jpeg = get_rendition(images[0].blob, Wish("original", "jpeg"))
    rebuild()
    old = [row.storage_name for row in Rendition.objects.all()]
    monkeypatch.setattr(renditions, "RECIPE_VERSION", 2)
    assert rebuild().startswith("5 copies and 0 placeholders made")
    assert {recipe for _, _, recipe in recipes()} == {2}
    assert ("original", "jpeg", 2) in recipes()
    assert jpeg.storage_name in old
    assert [storage.size_of(name) for name in old] == [None] * 5


def test_a_picture_that_cannot_be_rendered_is_left_alone_for_a_while(images, rebuild, monkeypatch, capsys):
    run = renditions.renderer.run
    bad = storage.path_to(images[0].blob.storage_name)

    def refuse(function, source, *targets):
        if source == str(bad):
            raise ImageRejected("too_large", "more memory than there is")
        return run(function, source, *targets)

    monkeypatch.setattr(renditions.renderer, "run", refuse)
    with pytest.raises(CommandError) as failed:
        rebuild()
    assert failed.value.returncode == 1
    printed = capsys.readouterr()
    assert printed.out == "2 copies and 1 placeholders made; 1 pictures failed, 0 are left alone for a while.\n"
    assert images[0].blob.storage_name in printed.err
    assert rebuild() == "0 copies and 0 placeholders made; 0 pictures failed, 1 are left alone for a while.\n"
    monkeypatch.undo()
    Blob.objects.update(unrenderable_until=timezone.now() - timedelta(seconds=1))
    assert rebuild().startswith("2 copies and 1 placeholders made")


def test_a_run_that_was_cut_off_goes_on_where_it_ended(images, rebuild, monkeypatch):
    rendered = []
    run = renditions.renderer.run

    def cut_off(*args):
        rendered.append(args)
        if len(rendered) == 2:
            raise KeyboardInterrupt
        return run(*args)

    with monkeypatch.context() as patched:
        patched.setattr(renditions.renderer, "run", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rebuild()
    assert Rendition.objects.count() == 2
    assert rebuild().startswith("2 copies and 2 placeholders made")


def test_of_clips_it_makes_those_of_the_poster(images, rebuild):
    clip, poster = images
    Blob.objects.filter(pk=clip.blob_id).update(poster=poster.blob)
    Image.objects.filter(pk=poster.pk).delete()
    assert rebuild().startswith("2 copies and 1 placeholders made")
    assert set(Rendition.objects.values_list("blob_id", flat=True)) == {poster.blob_id}
    of_clip, of_poster = (Blob.objects.get(pk=pk).thumbhash for pk in (clip.blob_id, poster.blob_id))
    assert of_clip == of_poster != ""


def test_pictures_of_before_there_were_placeholders_get_theirs_from_the_copy(images, rebuild, monkeypatch):
    rebuild()
    before = dict(Blob.objects.values_list("sha256", "thumbhash"))
    assert all(before.values())
    Blob.objects.update(thumbhash="")
    storage.delete(images[0].blob.storage_name)  # the original is not needed
    assert rebuild() == "0 copies and 2 placeholders made; 0 pictures failed, 0 are left alone for a while.\n"
    assert dict(Blob.objects.values_list("sha256", "thumbhash")) == before


def test_uploads_get_none(images, rebuild):
    Image.objects.update(kind="upload")
    assert rebuild().startswith("0 copies and 0 placeholders made")
