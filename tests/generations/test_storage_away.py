"""A paid picture that cannot be stored just now: it lies in the spool, and is stored and charged once later."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from gallery import services as gallery
from generations import sweeper
from generations.audit import audit
from generations.models import Attempt, Generation, Status
from generations.spec import GenerationSpec
from generations.tasks import run_generation
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000


def make_spool_old(settings):
    for path in settings.SPOOL_DIR.glob("*"):
        os.utime(path, (0, 0))


def test_a_job_waits_for_the_bucket_beyond_its_deadline_and_is_charged_once(
    alice, upstream, submit, work, money, settings, bucket
):
    available = money(alice)[0]
    generation = submit(alice)
    bucket.server.stop()
    work(generation, rounds=1)
    assert (generation.status, generation.stage) == (Status.RUNNING, "recovering")
    settings.UPSTREAM_DEADLINE_S = 0.0
    make_spool_old(settings)
    sweeper.sweep()
    work(generation, rounds=1)
    assert (generation.status, generation.stage) == (Status.RUNNING, "recovering")
    assert money(alice) == (available - PRICE, PRICE, 0)

    bucket.server.start()
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert len(upstream.calls) == 1
    assert money(alice) == (available - PRICE, 0, PRICE)
    blob = generation.outputs.get().image.blob
    assert bucket.read(blob.storage_name) == png()
    assert [path for path in settings.SPOOL_DIR.glob("*") if path.is_file()] == []
    assert audit() == []


def test_the_ends_of_other_calls_are_not_forgotten_when_one_picture_cannot_be_stored(
    alice, upstream, submit, work, money, monkeypatch
):
    def full_disk(**_):
        raise OSError(28, "No space left on device")

    available = money(alice)[0]
    upstream.says(reply(picture()), error(400, "INVALID_ARGUMENT"))
    generation = submit(alice, wish=GenerationSpec.parse({"prompt": "a fox", "count": 2}, default_image_size="1K"))
    with monkeypatch.context() as patched:
        patched.setattr("gallery.services.keep_picture", full_disk)
        work(generation, rounds=1)
    assert sorted(generation.attempts.values_list("outcome", flat=True)) == ["invalid", Attempt.SENT]
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert sorted(generation.attempts.values_list("outcome", flat=True)) == ["invalid", "ok"]
    assert money(alice) == (available - PRICE, 0, PRICE)
    assert audit() == []


@pytest.mark.parametrize(("age_s", "delay_s"), [(1, 5), (100, 25), (3600, 60)])
def test_the_tries_grow_rare(age_s, delay_s, alice, upstream, submit, work, monkeypatch):
    def full_disk(**_):
        Attempt.objects.update(sent_at=timezone.now() - timedelta(seconds=age_s))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gallery, "keep_picture", full_disk)
    generation = submit(alice)
    monkeypatch.setattr("generations.tasks.wake_if_parked", lambda generation_id: None)
    before = timezone.now()
    run_generation.run(generation.pk)
    parked = Generation.objects.get(pk=generation.pk)
    assert (parked.next_run_at - before).total_seconds() == pytest.approx(delay_s, abs=2)
