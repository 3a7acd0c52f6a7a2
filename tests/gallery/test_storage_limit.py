"""Bytes kept: counted with each picture in its transaction, refused before anything is stored."""

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.utils import timezone

from accounts import counters, quotas
from accounts.errors import QuotaExceeded
from accounts.models import SiteUsage, StorageHold, Usage
from gallery import services, storage
from gallery.errors import StorageUnavailable
from gallery.models import Blob, Image
from tests.gallery.pictures import encode_picture
from tests.people import client_with

pytestmark = pytest.mark.django_db(transaction=True)

SENT = encode_picture("png", size=(30, 20))


def upload(user, data=SENT):
    return services.add_upload(owner=user, file=SimpleUploadedFile("a.png", data))


def used(user):
    row = Usage.objects.filter(user=user, name="storage_bytes").first()
    return row.used if row else 0


def kept_files():
    return sorted(name for name, _ in storage.stored_names(storage.ORIGINALS))


@pytest.fixture
def size(bob):
    """The bytes that one upload takes, as somebody else's shows."""
    return upload(bob).blob.byte_size


def test_each_upload_is_counted_also_one_of_the_same_bytes(alice, size):
    first, second = upload(alice), upload(alice)
    assert first.blob_id == second.blob_id
    assert used(alice) == 2 * size
    assert not StorageHold.objects.exists()


def test_the_last_byte_is_given_and_one_more_refused(alice, alice_key, size):
    quotas.override_limits(user=alice, storage_bytes=2 * size)
    upload(alice)
    upload(alice)
    answer = client_with(alice_key).post("/api/v1/images", {"file": SimpleUploadedFile("a.png", SENT)})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["policy"]) == (429, "quota_exceeded", "storage_bytes")
    assert (problem["limit"], problem["used"], problem["reset"], problem["window"]) == (2 * size, 2 * size, None, None)
    assert problem["detail"].endswith("This limit was set for your account.")
    assert "Retry-After" not in answer
    assert answer["RateLimit"] == '"storage_bytes";r=0'
    assert Image.objects.filter(owner=alice).count() == 2


def test_what_finds_no_room_leaves_nothing_behind(alice, size):
    quotas.override_limits(user=alice, storage_bytes=size - 1)
    files, blobs = kept_files(), Blob.objects.count()
    with pytest.raises(QuotaExceeded) as refusal:
        upload(alice, encode_picture("png", size=(31, 21)))
    assert "and this file needs" in refusal.value.message
    assert (kept_files(), Blob.objects.count(), used(alice)) == (files, blobs, 0)
    assert not StorageHold.objects.exists()


def test_a_disk_that_fails_gives_the_bytes_back(alice, monkeypatch):
    def fail(**_):
        raise OSError("the disk is full")

    monkeypatch.setattr(services, "keep_picture", fail)
    with pytest.raises(StorageUnavailable):
        upload(alice)
    assert used(alice) == 0
    assert not StorageHold.objects.exists()
    assert not Image.objects.exists()


def test_the_bytes_of_a_dead_upload_are_given_back_once_by_the_sweeper(race, alice):
    standing = quotas.standing_of(alice)
    quotas.reserve_storage(standing=standing, byte_size=100)
    dead = quotas.reserve_storage(standing=standing, byte_size=1000)
    StorageHold.objects.filter(pk=dead.pk).update(created_at=timezone.now() - timedelta(hours=2))
    assert sum(race(4, lambda _: quotas.release_dead_storage(timezone.now()))) == 1
    assert used(alice) == 100
    with transaction.atomic():
        quotas.keep_storage(dead)  # it was not dead, only slow: its picture is counted all the same
    assert used(alice) == 1100


@pytest.mark.parametrize("whose", ["user", "site"])
def test_of_64_uploads_at_once_as_many_are_admitted_as_have_room(race, alice, whose):
    if whose == "site":
        quotas.limit_site(storage_bytes=799)
    quotas.override_limits(user=alice, storage_bytes=799 if whose == "user" else 10_000)
    standing = quotas.standing_of(alice)
    outcomes = race(64, lambda _: quotas.reserve_storage(standing=standing, byte_size=100))
    assert sum(isinstance(outcome, StorageHold) for outcome in outcomes) == 7
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 57
    assert (used(alice), StorageHold.objects.count()) == (700, 7)


def test_a_site_with_a_limit_counts_what_everybody_keeps(alice, bob, size):
    assert not SiteUsage.objects.exists()
    quotas.limit_site(storage_bytes=3 * size)
    assert SiteUsage.objects.get().used == size
    upload(alice)
    upload(bob)
    with pytest.raises(QuotaExceeded) as refusal:
        upload(alice)
    assert refusal.value.facts["policy"] == "site_storage_bytes"
    SiteUsage.objects.update(used=1)
    quotas.recount_site()
    assert SiteUsage.objects.get().used == 3 * size
    quotas.limit_site(storage_bytes=None)
    assert not SiteUsage.objects.exists()
    upload(alice)
    assert used(alice) == 2 * size


def test_bytes_are_never_counted_below_nothing(alice):
    counters.add_storage(alice, 5)
    counters.free_storage(alice, 9)
    assert used(alice) == 0


def test_what_was_kept_before_storage_was_counted_is_counted_by_the_migration(alice, bob, size):
    poster = upload(bob, encode_picture("png", size=(31, 21))).blob
    Blob.objects.filter(pk=upload(alice).blob_id).update(poster=poster)  # as a clip has one
    Usage.objects.filter(user=alice).delete()
    Usage.objects.filter(user=bob).update(used=1)
    migration = import_module("gallery.migrations.0004_count_storage")
    migration.count_storage(apps, SimpleNamespace(connection=connection))
    assert used(alice) == size + poster.byte_size
    assert used(bob) == size + 2 * poster.byte_size
