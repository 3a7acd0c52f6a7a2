"""What nobody refers to is marked, and removed a day later; nothing that is in use, or comes into use, is lost."""

import os
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from gallery import services, storage
from gallery.files import Files
from gallery.garbage import collect
from gallery.models import Blob, Garbage, Image, Rendition
from gallery.objects import Objects
from gallery.renditions import Wish, get_rendition
from tests.gallery.pictures import add_image, encode_picture, keep_image, make_user, write_file

DAY = timedelta(hours=24)


@pytest.fixture(params=["files", "s3"])
def make_old(request):
    """`make_old(*names)`, in each of the stores."""
    if request.param == "s3":
        bucket = request.getfixturevalue("bucket")
        return lambda *names: [bucket.make_old(name) for name in names]
    return lambda *names: [os.utime(storage.path_to(name), (0, 0)) for name in names]


@pytest.fixture
def owner(db):
    return make_user("alice@example.org")


def run(*, apply=True, waiting=(), **options):
    return collect(apply=apply, waiting_digests=lambda: set(waiting), **options)


def put_orphan(settings, data=None):
    return storage.put_original(*write_file(settings.SPOOL_DIR, data or encode_picture("jpeg")))


def a_day_later():
    Garbage.objects.update(marked_at=timezone.now() - DAY - timedelta(minutes=1))


def forget(image):
    """As the purge of the trash will do."""
    Image.objects.filter(pk=image.pk).delete()
    Blob.objects.update(created_at=timezone.now() - DAY)


def test_an_orphan_is_marked_waits_a_day_and_goes(settings, owner, make_old):
    name = put_orphan(settings)
    make_old(name)
    assert vars(run()) == {"marked": [name], "waiting": [], "removed": []}
    assert vars(run()) == {"marked": [], "waiting": [name], "removed": []}
    assert storage.size_of(name) is not None
    a_day_later()
    assert vars(run()) == {"marked": [], "waiting": [], "removed": [name]}
    assert storage.size_of(name) is None
    assert not Garbage.objects.exists()
    assert vars(run()) == {"marked": [], "waiting": [], "removed": []}


def test_without_apply_nothing_is_marked_and_nothing_removed(settings, owner):
    name = put_orphan(settings)
    os.utime(storage.path_to(name), (0, 0))
    assert run(apply=False).marked == [name]
    assert not Garbage.objects.exists()
    run()
    a_day_later()
    assert run(apply=False).removed == [name]
    assert storage.size_of(name) is not None
    assert Garbage.objects.count() == 1


def test_a_young_file_may_be_a_picture_on_its_way(settings, owner):
    put_orphan(settings)
    assert vars(run()) == {"marked": [], "waiting": [], "removed": []}


def test_a_picture_its_copies_a_clips_poster_and_one_in_the_trash_are_never_garbage(settings, owner):
    image = keep_image(owner, settings.SPOOL_DIR, encode_picture("png"))
    trashed = keep_image(owner, settings.SPOOL_DIR, encode_picture("webp"))
    poster = keep_image(owner, settings.SPOOL_DIR, encode_picture("jpeg"))
    Blob.objects.filter(pk=image.blob_id).update(poster=poster.blob)
    copy = get_rendition(trashed.blob, Wish("320", "webp"))
    services.trash_image(owner=owner, public_id=trashed.public_id)
    forget(poster)
    for name in (image.blob.storage_name, trashed.blob.storage_name, poster.blob.storage_name, copy.storage_name):
        os.utime(storage.path_to(name), (0, 0))
    assert vars(run()) == {"marked": [], "waiting": [], "removed": []}


def test_a_blob_that_no_image_has_goes_with_its_copies(settings, owner, make_old):
    image = keep_image(owner, settings.SPOOL_DIR, encode_picture("png"))
    kept = keep_image(owner, settings.SPOOL_DIR, encode_picture("webp"))
    copies = [get_rendition(image.blob, Wish(variant, "webp")).storage_name for variant in ("320", "640")]
    name = image.blob.storage_name
    forget(image)
    make_old(name, *copies)
    assert run().marked == [name]
    assert (Blob.objects.count(), storage.size_of(name) is None) == (2, False)
    a_day_later()
    assert run().removed == [name]
    assert list(Blob.objects.values_list("pk", flat=True)) == [kept.blob_id]
    assert not Rendition.objects.exists()
    assert [storage.size_of(each) for each in (name, *copies)] == [None] * 3
    assert storage.size_of(kept.blob.storage_name) is not None


def test_bytes_that_wait_for_the_end_of_their_job_stay(settings, owner):
    name = put_orphan(settings)
    os.utime(storage.path_to(name), (0, 0))
    assert run(waiting=[storage.original_digest(name)]).marked == []
    run()
    a_day_later()
    assert vars(run(waiting=[storage.original_digest(name)])) == {"marked": [], "waiting": [], "removed": []}
    assert storage.size_of(name) is not None
    assert not Garbage.objects.exists()  # marked anew when it waits no more


def test_what_comes_into_use_after_it_was_listed_stays(settings, owner, make_old):
    name = put_orphan(settings)
    make_old(name)
    run()
    a_day_later()
    answers = iter([set(), {storage.original_digest(name)}])  # the second question is asked before the removal
    assert collect(apply=True, waiting_digests=lambda: next(answers)).removed == []
    assert storage.size_of(name) is not None


def test_bytes_that_were_put_again_since_the_mark_stay_a_day_longer(settings, owner, make_old):
    data = encode_picture("jpeg")
    name = put_orphan(settings, data)
    make_old(name)
    run()
    a_day_later()
    put_orphan(settings, data)  # a job that has not written its row yet
    assert run().removed == []
    assert storage.size_of(name) == len(data)


def test_a_new_image_of_a_marked_blob_takes_the_mark_away(settings, owner, make_old):
    image = keep_image(owner, settings.SPOOL_DIR, encode_picture("png"))
    forget(image)
    make_old(image.blob.storage_name)
    run()
    a_day_later()
    again = keep_image(owner, settings.SPOOL_DIR, encode_picture("png"))
    assert not Garbage.objects.exists()
    assert run().removed == []
    assert (again.blob_id, storage.size_of(again.blob.storage_name)) == (image.blob_id, again.blob.byte_size)


def test_a_shorter_grace_may_be_given(settings, owner):
    name = put_orphan(settings)
    os.utime(storage.path_to(name), (0, 0))
    run()
    Garbage.objects.update(marked_at=timezone.now() - timedelta(hours=3))
    assert run(grace=timedelta(hours=4)).waiting == [name]
    assert run(grace=timedelta(hours=2)).removed == [name]


@pytest.mark.parametrize("store", [Files, Objects])
def test_whoever_puts_a_file_while_it_is_removed_ends_with_it_there(settings, bucket, monkeypatch, store):
    """At the worst moment: the remover has looked for the last time, and has not deleted yet."""
    bucket.use(settings, "s3" if store is Objects else "files")
    data = encode_picture("jpeg")
    name = put_orphan(settings, data)
    path, facts = write_file(settings.SPOOL_DIR, data)
    has_written = threading.Event()
    is_being_removed = store.is_being_removed

    def look(self, name):
        has_written.set()  # asked by `put` once its bytes are written or touched
        return is_being_removed(self, name)

    monkeypatch.setattr(store, "is_being_removed", look)
    putting = threading.Thread(target=storage.put_original, args=(path, facts))

    def last_look():
        putting.start()
        assert has_written.wait(20)
        return False

    far_off = timezone.now().timestamp() + 3600
    assert storage.remove_unused(name, stored_before=far_off, is_wanted=last_look)
    putting.join(20)
    with storage.open_stored(name) as file:
        assert file.read() == data
    assert not path.exists()
    assert not storage.stores()[0].is_being_removed(name)


@pytest.mark.parametrize("store", ["files", "s3"])
def test_a_removal_that_was_cut_off_is_undone(settings, bucket, store):
    bucket.use(settings, store)
    data = encode_picture("jpeg")
    name = put_orphan(settings, data)

    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.remove_unused(name, stored_before=timezone.now().timestamp() + 3600, is_wanted=killed)
    assert (storage.size_of(name), storage.stores()[0].is_being_removed(name)) == (len(data), False)
    if store == "files":  # killed without a last word
        storage.path_to(name).replace(storage.path_to(f"staging/{name.replace('/', '+')}.taken"))
    else:
        bucket.client.put_object(Bucket=bucket.name, Key=f"condemned/{name}", Body=b"")
    assert storage.stores()[0].is_being_removed(name)
    storage.recover(begun_before=timezone.now().timestamp() + 3600)
    assert (storage.size_of(name), storage.stores()[0].is_being_removed(name)) == (len(data), False)


@pytest.mark.parametrize("has_blob", [True, False])
def test_pictures_that_are_stored_while_their_blob_is_collected_are_whole(race, settings, make_old, has_blob):
    owner = make_user("alice@example.org")
    for colour in ("#111111", "#222222", "#333333"):
        data = encode_picture("png", colour=colour)
        if has_blob:
            image = keep_image(owner, settings.SPOOL_DIR, data)
            name = image.blob.storage_name
            forget(image)
        else:
            name = put_orphan(settings, data)
        make_old(name)
        Garbage.objects.create(name=name, marked_at=timezone.now() - 2 * DAY)
        sources = [write_file(settings.SPOOL_DIR, data, name=f"picture-{index}") for index in range(4)]

        def work(index, sources=sources):
            if index >= len(sources):
                run()
                return None
            path, facts = sources[index]
            services.keep_picture(path=path, facts=facts)
            return add_image(owner, facts)

        results = race(6, work)
        assert [result for result in results if isinstance(result, Exception)] == []
        blob = Blob.objects.get(sha256=storage.original_digest(name))
        assert {image.blob_id for image in results[:4]} == {blob.pk}
        with storage.open_stored(name) as file:
            assert file.read() == data
