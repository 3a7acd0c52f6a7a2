"""Claims, fences and what a worker that was paused, or died, may still do."""

from datetime import timedelta

import pytest
from django.utils import timezone

from generations import leases, pipeline, settlement, sweeper
from generations.audit import audit
from generations.leases import LeaseLost
from generations.models import Attempt, Generation, Status
from generations.providers.answer import durable_file, write_head
from generations.providers.breaker import Permit
from generations.providers.resilience import Retry
from generations.providers.routing import Way
from generations.reading import Yield
from generations.settlement import Conclusion
from generations.spool import reply_path
from tests.generations.fakes import picture, reply
from tests.generations.test_submit import in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def abandon(generation):
    """As if its worker had been silent for longer than a lease."""
    Generation.objects.filter(pk=generation.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def begin_call(generation, spec, provider):
    """What a worker has written when its call goes out; then nothing more is heard of it."""
    lease = leases.claim(generation.pk)
    job = pipeline.Job(lease=lease, generation=generation, spec=spec, providers=(provider,))
    [call] = pipeline._begin_attempts(job, {0: Way(Retry(), Permit("wisgate/model", 0))})
    abandon(generation)
    return job, call.attempt


def test_of_64_claims_one_wins(alice, submit):
    generation = submit(alice)
    won = [lease for lease in in_threads(64, lambda _: leases.claim(generation.pk)) if lease]
    assert len(won) == 1
    generation.refresh_from_db()
    assert (generation.status, generation.fence, won[0].fence) == (Status.RUNNING, 1, 1)


def test_ten_messages_for_one_job_are_one_call(alice, upstream, submit):
    from generations.tasks import run_generation

    generation = submit(alice)
    in_threads(10, lambda _: run_generation.run(generation.pk))
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert len(upstream.calls) == 1


def test_a_lease_in_time_is_not_taken_away(alice, submit):
    generation = submit(alice)
    lease = leases.claim(generation.pk)
    assert sweeper.sweep_jobs(resend_after_s=0).leases_expired == 0
    assert lease.rows().exists()


def test_a_heartbeat_renews_what_this_process_holds(alice, submit):
    generation = submit(alice)
    leases.claim(generation.pk)
    abandon(generation)
    assert leases.heartbeat() == 1
    assert not Generation.objects.abandoned(timezone.now()).exists()


def test_a_paused_worker_cannot_write_after_its_lease_was_taken(alice, upstream, submit, spec, work, money):
    generation = submit(alice)
    job, attempt = begin_call(generation, spec, upstream)
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)
    assert generation.status == Status.SUCCEEDED
    after = money(alice)

    with pytest.raises(LeaseLost):
        settlement.fail(job.lease.rows(), generation, code="unknown")
    with pytest.raises(LeaseLost):
        leases.park(job.lease, delay_s=0, stage="recovering")
    with pytest.raises(LeaseLost):
        pipeline._conclude(job, attempt, Yield(conclusion=Conclusion(outcome="unknown")))
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert money(alice) == after
    assert audit() == []


def test_a_call_whose_worker_died_is_unknown_and_made_once_more(alice, upstream, submit, spec, work, money):
    generation = submit(alice)
    begin_call(generation, spec, upstream)
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert list(generation.attempts.values_list("outcome", flat=True)) == ["unknown", "ok"]
    assert len(upstream.calls) == 1
    assert money(alice)[2] == 58_000


def test_with_one_paid_attempt_a_dead_worker_ends_the_job(alice, upstream, submit, spec, work, money, settings):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = 1
    before = money(alice)
    generation = submit(alice)
    begin_call(generation, spec, upstream)
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)
    assert (generation.status, generation.error_code) == (Status.FAILED, "unknown")
    assert upstream.calls == []
    assert money(alice) == before


def test_an_answer_that_a_dead_worker_had_spooled_is_adopted(alice, upstream, submit, spec, work):
    import orjson

    generation = submit(alice)
    _, attempt = begin_call(generation, spec, upstream)
    with durable_file(reply_path(attempt)) as file:
        write_head(file, status=200, headers={"x-request-id": "earlier"})
        file.write(orjson.dumps(reply(picture())))
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert upstream.calls == []
    assert generation.attempts.get().upstream_request_id == "earlier"


def test_a_half_written_spool_file_is_not_adopted(alice, upstream, submit, spec, work):
    generation = submit(alice)
    _, attempt = begin_call(generation, spec, upstream)
    path = reply_path(attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".tmp").write_bytes(b'{"status": 200')
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)
    assert list(generation.attempts.values_list("outcome", flat=True)) == ["unknown", "ok"]


def test_a_drained_process_hands_its_leases_over(alice, submit):
    generation = submit(alice)
    lease = leases.claim(generation.pk)
    assert leases.release_all() == 1
    assert not lease.rows().exists()
    assert leases.claim(generation.pk) is not None


def test_an_attempt_is_written_before_the_call_is_made(alice, upstream, submit, work):
    seen = []
    upstream.says(lambda: seen.extend(Attempt.objects.values_list("outcome", flat=True)) or reply(picture()))
    work(submit(alice))
    assert seen == [Attempt.SENT]
