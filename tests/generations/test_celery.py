"""The same tasks on a broker: messages carry an id, and a repeated or lost one is harmless (J6, J7)."""

import pytest
from celery.contrib.testing.worker import start_worker

from config.celery import app
from generations import sweeper
from generations.audit import audit
from generations.events import Watch
from generations.models import Status
from generations.tasks import run_generation

pytestmark = pytest.mark.django_db(transaction=True)

WAIT_S = 30


@pytest.fixture
def broker(settings):
    """A worker of threads on Redis where the suite has one, else on a broker in memory."""
    url = settings.REDIS_URL or "memory://"
    settings.CELERY_BROKER_URL = url
    app.conf.update(broker_url=url)
    queues = ["generations", "renditions"]
    with app.connection_for_write() as connection:  # a wake-up of another test would take this one's job
        for queue in queues:
            connection.default_channel.queue_purge(queue)
    with start_worker(app, pool="threads", concurrency=8, perform_ping_check=False, queues=queues):
        yield app
    app.conf.update(broker_url=None)


def wait_for_end(generation):
    with Watch(generation.pk) as watch:
        generation.refresh_from_db()
        while not generation.is_terminal:
            assert watch.wait(WAIT_S), "nothing happened"
            generation.refresh_from_db()
    return generation


def test_a_message_on_a_broker_makes_the_picture(alice, broker, upstream, submit):
    assert wait_for_end(submit(alice)).status == Status.SUCCEEDED
    assert len(upstream.calls) == 1


def test_ten_deliveries_of_one_message_are_one_paid_call(alice, broker, upstream, submit, money):
    generation = submit(alice)
    for _ in range(10):
        run_generation.delay(generation.pk)
    wait_for_end(generation)
    # A wake-up that finds its job gone takes another one, and never one job twice.
    wait_for_end(submit(alice))
    assert len(upstream.calls) == 2
    assert money(alice)[2] == 2 * 58_000
    assert audit() == []


def test_a_flushed_broker_is_filled_again_by_the_sweeper(alice, broker, upstream, submit, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(run_generation, "delay", lambda *_: None)
        generation = submit(alice)
    assert sweeper.sweep_jobs(resend_after_s=0).woken == 1
    assert wait_for_end(generation).status == Status.SUCCEEDED


def test_a_worker_that_is_lost_gives_its_message_back():
    assert run_generation.acks_late is True
    assert run_generation.reject_on_worker_lost is True
    assert app.conf.worker_prefetch_multiplier == 1
