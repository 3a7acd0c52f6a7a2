"""What the sweeper finds, and what it leaves alone."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from accounts import ledger
from accounts.models import Price, Transfer
from generations import leases, services, spool, sweeper
from generations.models import Generation, IdempotencyKey, Status
from generations.providers.answer import durable_file

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def messages(monkeypatch):
    """The wake-ups that the sweeper sends."""
    sent = []
    monkeypatch.setattr("generations.sweeper.run_generation", SimpleNamespace(delay=sent.append))
    return sent


def test_a_queued_job_whose_message_was_lost_is_sent_again(alice, submit, messages):
    generation = submit(alice)
    assert sweeper.sweep_jobs(resend_after_s=0).woken == 1
    assert messages == [generation.pk]


def test_a_job_that_was_woken_just_now_is_left_alone(alice, submit, messages):
    submit(alice)
    sweeper.sweep_jobs(resend_after_s=25)
    assert messages == []


def test_a_job_that_waited_too_long_fails_and_costs_nothing(alice, submit, messages, money):
    before = money(alice)
    generation = submit(alice)
    Generation.objects.update(queued_at=timezone.now() - timedelta(seconds=901))
    assert sweeper.sweep_jobs(resend_after_s=0).timed_out == 1
    generation.refresh_from_db()
    assert (generation.status, generation.error_code) == (Status.FAILED, "timeout")
    assert money(alice) == before
    assert messages == []


def test_an_expired_hold_of_a_job_that_runs_is_kept(alice, submit, monkeypatch):
    generation = submit(alice)
    later = timezone.now() + timedelta(days=1)
    monkeypatch.setattr("generations.sweeper.timezone.now", lambda: later)
    assert sweeper.release_expired_holds() == 0
    assert ledger.open_holds(alice).get() == generation.hold


def test_an_expired_hold_without_a_job_is_released(alice, money):
    from django.db import transaction

    before = money(alice)
    with transaction.atomic():
        ledger.reserve(
            user=alice,
            amount_micros=58_000,
            reference="nobody",
            key="leak",
            price=Price.objects.first(),
            expires_at=timezone.now() - timedelta(seconds=1),
        )
    assert money(alice) != before
    assert sweeper.release_expired_holds() == 1
    assert money(alice) == before
    assert Transfer.objects.get(key="leak").resolution.kind == "void"


def test_old_spool_files_go_but_not_those_of_an_open_attempt(alice, upstream, submit, spec):
    from tests.generations.test_leases import begin_call

    generation = submit(alice)
    _, attempt = begin_call(generation, spec, upstream)
    with durable_file(spool.reply_path(attempt)) as file:
        file.write(b"{}\n")
    stranger = spool.reply_path(attempt).with_name("0" * 32 + ".reply")
    stranger.write_bytes(b"")
    assert spool.sweep(older_than_s=-1) == 1
    assert spool.reply_path(attempt).exists()
    assert not stranger.exists()


def test_a_file_with_anothers_name_does_not_stop_the_sweep(settings, db):
    settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True)
    (settings.SPOOL_DIR / "thumbs.db").write_bytes(b"x")
    assert spool.sweep(older_than_s=-1) == 1


def test_idempotency_keys_are_kept_for_a_month(alice, submit):
    submit(alice, key="young")
    submit(alice, key="old")
    IdempotencyKey.objects.filter(key="old").update(created_at=timezone.now() - timedelta(days=31))
    sweeper.prune()
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["young"]
    assert Generation.objects.count() == 2


def test_a_released_lease_is_due_at_once(alice, submit, messages):
    generation = submit(alice)
    leases.claim(generation.pk)
    Generation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    sweeper.sweep_jobs(resend_after_s=0)
    assert messages == [generation.pk]


def test_cancel_of_a_waiting_job_releases_its_hold(alice, submit, money):
    before = money(alice)
    generation = services.cancel(user=alice, public_id=submit(alice).public_id)
    assert generation.status == Status.CANCELED
    assert money(alice) == before
