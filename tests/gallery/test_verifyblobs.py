"""The audit of the storage: it finds what is missing, corrupt and orphaned, and changes nothing."""

import json
import os

import pytest
from django.core.management import CommandError, call_command

from gallery import storage
from gallery.renditions import Wish, get_rendition
from tests.gallery.pictures import encode_picture, keep_image, make_user, write_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def image(settings):
    return keep_image(make_user("alice@example.org"), settings.SPOOL_DIR, encode_picture("png"))


@pytest.fixture
def verify(capsys):
    """Runs the command with --json; returns its exit status and what it printed."""

    def run():
        status = 0
        try:
            call_command("verifyblobs", "--json")
        except CommandError as error:
            status = error.returncode
        return status, json.loads(capsys.readouterr().out)

    return run


def snapshot(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def make_old(name):
    os.utime(storage.path_to(name), (0, 0))


def test_a_sound_storage_is_reported_as_such(image, capsys):
    get_rendition(image.blob, Wish("320", "webp"))
    call_command("verifyblobs")
    assert capsys.readouterr().out == "1 originals checked: 0 missing, 0 corrupt, 0 orphaned.\n"


def test_an_empty_instance_is_sound(verify):
    assert verify() == (0, {"checked": 0, "missing": [], "corrupt": [], "orphaned": []})


def test_a_missing_original_is_named_and_the_exit_status_is_1(image, verify):
    storage.delete(image.blob.storage_name)
    assert verify() == (1, {"checked": 1, "missing": [image.blob.storage_name], "corrupt": [], "orphaned": []})


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"x", lambda data: data[:20], lambda data: data + b"\0"])
def test_a_changed_cut_or_grown_original_is_corrupt(settings, image, verify, damage):
    path = storage.path_to(image.blob.storage_name)
    path.write_bytes(damage(path.read_bytes()))
    before = snapshot(settings.MEDIA_ROOT)
    assert verify() == (1, {"checked": 1, "missing": [], "corrupt": [image.blob.storage_name], "orphaned": []})
    assert snapshot(settings.MEDIA_ROOT) == before


def test_an_old_original_without_a_row_is_an_orphan_and_no_failure(settings, image, verify):
    name = storage.put_original(*write_file(settings.SPOOL_DIR, encode_picture("jpeg")))
    make_old(name)
    make_old(image.blob.storage_name)
    assert verify() == (0, {"checked": 1, "missing": [], "corrupt": [], "orphaned": [name]})
    assert storage.size_of(name) is not None


def test_a_young_original_without_a_row_may_be_on_its_way(settings, verify):
    storage.put_original(*write_file(settings.SPOOL_DIR, encode_picture("jpeg")))
    assert verify()[1]["orphaned"] == []


def test_the_right_bytes_under_another_name_are_an_orphan(image, verify):
    name = image.blob.storage_name.replace(".png", ".jpg")
    storage.path_to(name).write_bytes(storage.path_to(image.blob.storage_name).read_bytes())
    make_old(name)
    assert verify() == (0, {"checked": 1, "missing": [], "corrupt": [], "orphaned": [name]})


def test_an_old_copy_without_a_row_is_an_orphan_and_one_with_a_row_is_not(image, verify):
    kept = get_rendition(image.blob, Wish("320", "webp"))
    gone = get_rendition(image.blob, Wish("original", "jpeg"))
    make_old(kept.storage_name)
    make_old(gone.storage_name)
    gone.delete()
    assert verify() == (0, {"checked": 1, "missing": [], "corrupt": [], "orphaned": [gone.storage_name]})


def test_the_text_names_each_file(image, capsys):
    name = image.blob.storage_name
    storage.delete(name)
    with pytest.raises(CommandError):
        call_command("verifyblobs")
    assert capsys.readouterr().out == (f"missing: {name}\n1 originals checked: 1 missing, 0 corrupt, 0 orphaned.\n")
