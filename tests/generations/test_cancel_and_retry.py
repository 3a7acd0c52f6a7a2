"""cancel and retry: what they change, and when they cannot."""

import pytest

from accounts.errors import Conflict, NotFound
from accounts.models import Usage
from generations import leases, pipeline, services
from generations.audit import audit
from generations.models import Generation, Status
from tests.generations.fakes import error, picture, reply
from tests.generations.test_submit import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000


def test_a_waiting_job_is_cancelled_at_once_and_gives_its_quota_back(alice, submit, money):
    before = money(alice)
    generation = services.cancel(user=alice, public_id=submit(alice).public_id)
    assert generation.status == Status.CANCELED
    assert money(alice) == before
    assert Usage.objects.get(user=alice, name="images_per_day").used == 0
    assert audit() == []


def test_cancelling_twice_is_the_same_as_once(alice, submit):
    generation = submit(alice)
    services.cancel(user=alice, public_id=generation.public_id)
    assert services.cancel(user=alice, public_id=generation.public_id).status == Status.CANCELED


def test_a_picture_that_comes_in_spite_of_a_cancel_is_delivered_and_paid(alice, upstream, submit, work, money):
    generation = submit(alice)
    upstream.says(lambda: services.cancel(user=alice, public_id=generation.public_id) and reply(picture()))
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert money(alice)[2] == PRICE


def test_after_a_cancel_no_further_attempt_is_made(alice, upstream, submit, work, money):
    before = money(alice)
    generation = submit(alice)
    upstream.says(lambda: services.cancel(user=alice, public_id=generation.public_id) and error(503, "UNAVAILABLE"))
    work(generation)
    assert generation.status == Status.CANCELED
    assert len(upstream.calls) == 1
    assert money(alice) == before


def test_a_finished_job_cannot_be_cancelled(alice, upstream, submit, work, money):
    generation = work(submit(alice))
    before = money(alice)
    with pytest.raises(Conflict):
        services.cancel(user=alice, public_id=generation.public_id)
    assert money(alice) == before


def test_nobody_cancels_or_retries_for_another(alice, bob, submit):
    generation = submit(alice)
    for verb in (services.cancel, services.retry):
        with pytest.raises(NotFound):
            verb(user=bob, public_id=generation.public_id)
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED


def test_a_failed_job_is_tried_again_with_a_new_hold(alice, upstream, submit, work, money):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    upstream.says(reply(picture()))
    first_hold = generation.hold_id

    again = services.retry(user=alice, public_id=generation.public_id)
    assert (again.status, again.run, again.error_code) == (Status.QUEUED, 2, "")
    assert again.hold_id != first_hold
    work(again)

    assert again.status == Status.SUCCEEDED
    assert list(again.attempts.values_list("number", "run", "outcome")) == [(1, 1, "invalid"), (2, 2, "ok")]
    assert money(alice)[2] == PRICE
    assert audit() == []


@pytest.mark.parametrize("state", ["queued", "succeeded"])
def test_what_has_not_failed_cannot_be_tried_again(state, alice, upstream, submit, work, money):
    generation = submit(alice)
    if state == "succeeded":
        work(generation)
    before = money(alice)
    with pytest.raises(Conflict):
        services.retry(user=alice, public_id=generation.public_id)
    assert money(alice) == before


def test_of_many_retries_at_once_one_buys(alice, upstream, submit, work, money):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    available = money(alice)[0]
    results = in_threads(16, lambda _: services.retry(user=alice, public_id=generation.public_id))
    assert sum(isinstance(result, Generation) for result in results) == 1
    assert money(alice) == (available - PRICE, PRICE, 0)


def test_cancel_against_claim_never_leaves_both(alice, upstream, submit, work, money):
    before = money(alice)
    for _ in range(5):
        generation = submit(alice)
        lease, _ = in_threads(
            2,
            lambda index, job=generation: (
                services.cancel(user=alice, public_id=job.public_id) if index else leases.claim(job.pk)
            ),
        )
        if lease:
            pipeline.execute(lease)
        generation.refresh_from_db()
        assert generation.status == Status.CANCELED
    assert money(alice) == before
    assert audit() == []
