"""Moving all pictures into a bucket and back, while they are made and looked at, with interruptions."""

import hashlib
import json
import threading

import pytest
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from gallery import moving, services, storage
from gallery.delivery import find_file, serve_file
from gallery.models import Blob
from gallery.objects import Objects
from gallery.renditions import Wish, get_rendition
from tests.gallery.pictures import add_image, encode_picture, keep_image, make_user, write_file

pytestmark = pytest.mark.django_db

COLOURS = ("#101010", "#202020", "#303030", "#404040")


@pytest.fixture
def images(bucket, settings):
    """Four pictures, one with a copy, in files; the bucket is ready to take them."""
    bucket.use(settings, "files", "s3")
    owner = make_user("alice@example.org")
    made = [keep_image(owner, settings.SPOOL_DIR, encode_picture("png", colour=colour)) for colour in COLOURS]
    get_rendition(made[0].blob, Wish("320", "webp"))
    bucket.use(settings, "s3", "files")
    return made


@pytest.fixture
def move(capsys):
    """Runs the command with --json; returns its exit status and what it printed."""

    def run(*args):
        status = 0
        try:
            call_command("migratemedia", "--json", *args)
        except CommandError as error:
            status = error.returncode
        return status, json.loads(capsys.readouterr().out)

    return run


def digest_of(answer):
    try:
        return hashlib.sha256(b"".join(answer)).hexdigest()
    finally:
        answer.close()


def report(*, there, copied, **problems):
    return {"there": there, "copied": copied, "missing": [], "corrupt": [], **problems}


def test_without_apply_it_counts(images, bucket, move):
    assert move("--to", "s3") == (0, report(there=0, copied=6))
    assert bucket.names() == []


def test_everything_is_copied_once_and_its_digest_is_equal(images, bucket, move, settings):
    assert move("--to", "s3", "--apply") == (0, report(there=0, copied=6))
    assert move("--to", "s3", "--apply") == (0, report(there=6, copied=0))
    bucket.use(settings, "s3")
    call_command("verifyblobs")
    assert len(bucket.names()) == 6
    for image in images:
        assert bucket.read(image.blob.storage_name) == storage.path_to(image.blob.storage_name).read_bytes()
    assert get_rendition(images[0].blob, Wish("320", "webp")).storage_name in bucket.names()


def test_and_back(images, bucket, move, settings):
    move("--to", "s3", "--apply")
    before = {path: path.read_bytes() for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()}
    for path in before:
        path.unlink()
    bucket.use(settings, "files", "s3")
    assert move("--to", "files", "--apply") == (0, report(there=0, copied=6))
    assert {path: path.read_bytes() for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("stores", "target"), [(["files"], "s3"), (["files", "s3"], "s3"), (["s3"], "s3"), (["s3", "files"], "files")]
)
def test_it_is_refused_until_new_pictures_go_there_and_both_are_read(images, bucket, settings, stores, target):
    bucket.use(settings, *stores)
    with pytest.raises(CommandError, match="Set MEDIA_STORES=") as refused:
        call_command("migratemedia", "--to", target, "--apply")
    assert refused.value.returncode == 2
    assert bucket.names() == []


def test_a_run_that_was_cut_off_goes_on_where_it_ended(images, bucket, move, monkeypatch):
    monkeypatch.setattr(moving, "AT_ONCE", 1)
    put, puts = Objects.put, []

    def cut_off(self, *args, **options):
        puts.append(1)
        if len(puts) == 3:
            raise KeyboardInterrupt
        put(self, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "put", cut_off)
        with pytest.raises(KeyboardInterrupt):
            call_command("migratemedia", "--to", "s3", "--apply")
    there = len(bucket.names())
    assert 2 <= there < 6
    assert move("--to", "s3", "--apply") == (0, report(there=there, copied=6 - there))


def test_a_bucket_that_goes_away_ends_it_with_a_sentence(images, bucket, move):
    bucket.server.stop()
    with pytest.raises(CommandError, match="Run it again to go on") as ended:
        call_command("migratemedia", "--to", "s3", "--apply")
    assert ended.value.returncode == 1
    bucket.server.start()
    assert move("--to", "s3", "--apply") == (0, report(there=0, copied=6))


def test_what_is_missing_or_corrupt_is_named_and_not_copied(images, bucket, move):
    missing, corrupt = images[1].blob.storage_name, images[2].blob.storage_name
    storage.path_to(missing).unlink()
    storage.path_to(corrupt).write_bytes(b"x" * images[2].blob.byte_size)
    expected = report(there=0, copied=4, missing=[missing], corrupt=[corrupt])
    assert move("--to", "s3", "--apply") == (1, expected)
    assert len(bucket.names()) == 4


@pytest.mark.django_db(transaction=True)
def test_nothing_is_missing_while_pictures_are_made_and_looked_at(race, images, bucket, settings):
    """Three look at all pictures again and again, two make new ones, one moves them all."""
    is_over = threading.Event()
    sources = [
        write_file(settings.SPOOL_DIR, encode_picture("png", colour=f"#0000{number:02x}"), name=f"new-{number}")
        for number in range(8)
    ]

    def look():
        looked = 0
        while not is_over.is_set() or looked == 0:
            for image in images:
                answer = serve_file(RequestFactory().get("/file"), find_file(image), cache_control="public")
                assert digest_of(answer) == image.blob.sha256
                looked += 1
        return looked

    def work(index):
        if index < 3:
            return look()
        if index < 5:
            for path, facts in sources[index - 3 :: 2]:
                services.keep_picture(path=path, facts=facts)
                add_image(images[0].owner, facts)
            return None
        try:
            call_command("migratemedia", "--to", "s3", "--apply")
        finally:
            is_over.set()
        return None

    results = race(6, work)
    assert [result for result in results if isinstance(result, BaseException)] == []
    bucket.use(settings, "s3")
    for blob in Blob.objects.all():
        with storage.open_stored(blob.storage_name) as file:
            assert storage.digest_of_stream(file) == blob.sha256
    assert Blob.objects.count() == 12
