"""The words of purged pictures leave SQLite's index, and its file, with the next sweeps."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from gallery import erasure, search, services
from gallery.models import Image, SearchEntry
from gallery.order import ByPlace
from generations import sweeper
from tests.gallery.pictures import add_image, encode_picture, write_file

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's vacuum does it"),
]

CANARY = "zanzibarquincecanary"


@pytest.fixture
def facts(tmp_path):
    return write_file(tmp_path / "made", encode_picture("png", size=(60, 40)))[1]


@pytest.fixture
def picture(alice, facts):
    """One with the canary in its words, between others; in the trash for 31 days."""
    add_image(alice, facts, prompt="A fox")
    image = add_image(alice, facts, prompt=f"A {CANARY}")
    add_image(alice, facts, prompt="A hen")
    Image.objects.filter(pk=image.pk).update(trashed_at=timezone.now() - timedelta(days=31))
    return image


def in_the_file():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.execute("PRAGMA database_list")
        path = Path(cursor.fetchone()[2])
    return sum(CANARY.encode() in each.read_bytes() for each in (path, Path(f"{path}-wal")) if each.exists())


def purge_one(image):
    erasure.purge_trashed(owner=image.owner, public_id=image.public_id)


def purge_all(image):
    assert erasure.empty_trash(owner=image.owner) == 1


def purge_overdue(image):
    assert erasure.purge_overdue(timezone.now()) == 1


@pytest.mark.parametrize("purge", [purge_one, purge_all, purge_overdue])
def test_however_a_picture_is_purged_its_words_leave_the_file(picture, purge):
    purge(picture)
    assert in_the_file() == 1  # this is what FTS5 does
    assert sweeper.sweep().words_forgotten == 1
    assert in_the_file() == 0
    assert not SearchEntry.objects.filter(pk=picture.pk).exists()
    assert sweeper.sweep().words_forgotten == 0


def test_the_others_are_found_as_before(alice, picture):
    def found(query):
        order = ByPlace(images=Image.objects.owned_by(alice), owner_id=alice.pk, query=query)
        return [image.prompt for image in order.following(None, 100)]

    purge_one(picture)
    for _ in range(2):
        assert (found("a fox"), found("hen"), found(CANARY), found("purged"), found("@purged")) == (
            ["A fox"],
            ["A hen"],
            [],
            [],
            [],
        )
        search.forget_purged()


# What other entries there are decides how FTS5 has cut its parts; with the last three of these numbers a merge once
# looked finished before it was.
@pytest.mark.parametrize("others", [0, 83, 85, 117])
def test_a_merge_that_does_not_end_goes_on_with_the_next_sweep_while_others_write(alice, picture, facts, others):
    for number in range(40):
        add_image(alice, facts, prompt=" ".join(f"word{number}x{place}" for place in range(400)))
    for number in range(others):
        add_image(alice, facts, prompt=f"extra{number}")
    purge_one(picture)
    calls = 1
    while not search.forget_purged(pages=2, steps=1):
        calls += 1
        add_image(alice, facts, prompt=f"meanwhile{calls} " * 50)
        assert calls < 500
    assert calls > 1
    assert in_the_file() == 0


def test_what_is_purged_during_a_merge_has_one_of_its_own(alice, picture, facts):
    for number in range(40):
        add_image(alice, facts, prompt=" ".join(f"word{number}x{place}" for place in range(400)))
    other = add_image(alice, facts, prompt=f"{CANARY} too")
    purge_one(picture)
    assert search.forget_purged(pages=1, steps=1) == 0
    services.trash_image(owner=alice, public_id=other.public_id)
    purge_one(other)
    assert search.forget_purged() == 1
    assert in_the_file() == 1
    assert search.forget_purged() == 1
    assert in_the_file() == 0


def test_an_account_that_ends_leaves_no_words_to_the_next_sweep(alice, picture):
    erasure.purge_pictures_of(alice)
    assert in_the_file() == 0
    assert search.forget_purged() == 0


def test_what_is_deleted_is_overwritten_whatever_the_build_of_sqlite():
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete")
        assert cursor.fetchone()[0] == 1
