"""The command: what it prints, and that pictures which wait for the end of their job are none."""

import json
import os

import pytest
from django.core.management import CommandError, call_command

from gallery import storage
from gallery.models import Garbage
from generations.models import Generation, Status
from generations.settlement import Picture
from tests.gallery.pictures import encode_picture, write_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def orphan(settings):
    name = storage.put_original(*write_file(settings.SPOOL_DIR, encode_picture("jpeg")))
    os.utime(storage.path_to(name), (0, 0))
    return name


@pytest.fixture
def collect(capsys):
    def run(*args):
        call_command("collectgarbage", *args)
        return capsys.readouterr().out

    return run


def test_it_is_dry_until_it_is_told_to_apply(orphan, collect):
    counts = "1 marked, 0 waiting, 0 removed."
    assert collect() == f"marked: {orphan}\n{counts} Nothing was changed: --apply does it.\n"
    assert collect("--apply") == f"marked: {orphan}\n{counts}\n"
    assert json.loads(collect("--json")) == {"marked": [], "waiting": [orphan], "removed": []}
    Garbage.objects.update(marked_at="2026-01-01T00:00:00Z")
    assert collect("--apply") == f"removed: {orphan}\n0 marked, 0 waiting, 1 removed.\n"
    assert storage.size_of(orphan) is None


@pytest.mark.parametrize("hours", ["0", "0.5", "nan"])
def test_a_grace_that_is_too_short_is_refused(orphan, collect, hours):
    with pytest.raises(CommandError, match="must be 1 or more") as refused:
        collect("--apply", "--grace-hours", hours)
    assert refused.value.returncode == 2
    assert not Garbage.objects.exists()


def test_a_picture_that_waits_for_the_others_of_its_wish_is_not_collected(alice, submit, orphan, settings, collect):
    """Its bytes are kept, and only its attempt's row names them."""
    _, facts = write_file(settings.SPOOL_DIR, encode_picture("jpeg"))
    path, other = write_file(settings.SPOOL_DIR, encode_picture("webp"))
    poster = storage.put_original(path, other)
    os.utime(storage.path_to(poster), (0, 0))
    generation = submit(alice)
    generation.attempts.create(
        run=1, number=1, fence=1, outcome="ok", pictures=[Picture(facts=facts, poster=other).as_json()]
    )
    assert json.loads(collect("--json"))["marked"] == []
    Generation.objects.filter(pk=generation.pk).update(status=Status.FAILED)
    assert sorted(json.loads(collect("--json"))["marked"]) == sorted([orphan, poster])


def test_a_bucket_that_is_away_is_told_and_nothing_is_marked(bucket, collect):
    bucket.server.stop()
    with pytest.raises(CommandError, match="does not answer"):
        collect("--apply")
    assert not Garbage.objects.exists()
