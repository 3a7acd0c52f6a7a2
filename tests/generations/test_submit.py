"""submit(): quota, hold and job in one transaction, or nothing at all."""

from dataclasses import replace

import pytest

from accounts import quotas
from accounts.errors import ConcurrencyLimit, IdempotencyMismatch, InsufficientCredit, QuotaExceeded
from accounts.models import Entry, Quota, Transfer, Usage
from generations.errors import QueueFull
from generations.models import Generation, IdempotencyKey, Status
from tests.conftest import run_race

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000


def nothing_was_kept(user):
    return (
        not Generation.objects.filter(user=user).exists()
        and not Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()
        and not IdempotencyKey.objects.exists()
        and not Usage.objects.filter(name="images_per_day", used__gt=0).exists()
    )


def limit(user, **limits):
    Quota.objects.update_or_create(user=user, defaults=limits)


def test_a_wish_is_queued_with_its_price_held(alice, submit, money):
    available = money(alice)[0]
    generation = submit(alice)
    assert generation.status == Status.QUEUED
    assert generation.quoted_micros == PRICE
    assert generation.hold.amount_micros == PRICE
    assert generation.hold.reference == str(generation.public_id)
    assert money(alice) == (available - PRICE, PRICE, 0)


def test_without_credit_nothing_is_kept(penniless, submit):
    with pytest.raises(InsufficientCredit) as refusal:
        submit(penniless, key="k")
    assert refusal.value.facts == {"available": "0.000000", "required": "0.058000", "held": "0.000000"}
    assert nothing_was_kept(penniless)


def test_the_daily_quota_is_exact(alice, submit):
    limit(alice, images_per_day=2, concurrent=10)
    submit(alice)
    submit(alice)
    entries = Entry.objects.count()
    with pytest.raises(QuotaExceeded):
        submit(alice, key="k")
    assert Generation.objects.count() == 2
    assert Entry.objects.count() == entries
    assert not IdempotencyKey.objects.exists()


def test_more_at_once_than_allowed_is_refused_and_takes_no_quota(alice, submit):
    limit(alice, concurrent=1, images_per_day=5)
    submit(alice)
    with pytest.raises(ConcurrencyLimit):
        submit(alice)
    assert Usage.objects.get(user=alice, name="images_per_day").used == 1


def test_a_full_queue_refuses_and_keeps_nothing(alice, submit, settings):
    settings.QUEUE_LIMIT = 0
    with pytest.raises(QueueFull) as refusal:
        submit(alice)
    assert refusal.value.retry_after
    assert nothing_was_kept(alice)


def test_the_same_key_again_is_the_same_generation(alice, submit, money):
    first = submit(alice, key="k")
    before = money(alice)
    assert submit(alice, key="k") == first
    assert money(alice) == before


def test_the_same_key_for_another_wish_is_refused(alice, submit, spec, money):
    submit(alice, key="k")
    before = money(alice)
    with pytest.raises(IdempotencyMismatch):
        submit(alice, key="k", wish=replace(spec, prompt="a bear"))
    assert Generation.objects.count() == 1
    assert money(alice) == before


def test_two_people_may_use_the_same_key(alice, bob, submit):
    assert submit(alice, key="k") != submit(bob, key="k")


def in_threads(count, function):
    return run_race(count, function)


def test_64_requests_with_one_key_are_one_job(alice, submit, money):
    limit(alice, images_per_day=1, concurrent=1)
    available = money(alice)[0]
    results = in_threads(64, lambda _: submit(alice, key="k"))
    assert {result.pk for result in results} == {Generation.objects.get().pk}
    assert money(alice) == (available - PRICE, PRICE, 0)


def test_64_requests_with_credit_for_10_are_10_jobs(rich_in_pictures, submit, money):
    user = rich_in_pictures(10)
    limit(user, images_per_day=1000, concurrent=1000)
    results = in_threads(64, lambda _: submit(user))
    accepted = [result for result in results if isinstance(result, Generation)]
    assert len(accepted) == Generation.objects.count() == 10
    assert all(isinstance(result, InsufficientCredit) for result in results if result not in accepted)
    assert money(user) == (0, 10 * PRICE, 0)
    assert Usage.objects.get(user=user, name="images_per_day").used == 10


def test_64_requests_under_a_limit_of_4_at_once_are_4_jobs(rich_in_pictures, submit):
    user = rich_in_pictures(64)
    limit(user, images_per_day=1000, concurrent=4)
    results = in_threads(64, lambda _: submit(user))
    assert Generation.objects.count() == 4
    assert sum(isinstance(result, ConcurrencyLimit) for result in results) == 60


def test_limits_describe_what_submit_enforces(alice, submit):
    limit(alice, images_per_day=3, concurrent=2)
    submit(alice)
    states = {state.name: state for state in quotas.describe_standing(quotas.standing_of(alice), running=1)}
    assert (states["images_per_day"].limit, states["images_per_day"].used) == (3, 1)
    assert (states["concurrent"].limit, states["concurrent"].used) == (2, 1)
