from datetime import UTC, datetime, timedelta

import http_sfv
import pytest
from django.core.cache import cache
from django.db import transaction
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts import quotas
from accounts.errors import ConcurrencyLimit, InvalidInput, QuotaExceeded, RateLimited, ServiceError
from accounts.models import Plan, Quota, Usage

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
MINUTE = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture(params=["database", "cache"])
def counter(request, settings):
    """Both places where requests are counted; the cache stands for Redis, whose two commands it has as well."""
    settings.REDIS_URL = "redis://cache" if request.param == "cache" else ""


def take(user, count, at=NOON):
    with transaction.atomic():
        return quotas.take_images(user=user, count=count, at=at)


def used(user, name="images_per_day", start=MIDNIGHT):
    return Usage.objects.get(user=user, name=name, window_start=start).used


# --- Which limits ---


def test_a_user_has_the_limits_of_the_plan(alice):
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=40, concurrent=4, requests_per_minute=30)


def test_own_limits_replace_the_plans_one_by_one(alice, bob):
    quotas.override_limits(user=alice, images_per_day=7)
    quotas.override_limits(user=alice, concurrent=0, requests_per_minute=quotas.UNLIMITED)
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=7, concurrent=0, requests_per_minute=None)
    quotas.override_limits(user=alice, images_per_day=None)
    assert quotas.limits_for(alice).images_per_day == 40
    assert quotas.limits_for(bob).concurrent == 4


@pytest.mark.parametrize("limit", [-1, quotas.UNLIMITED + 1])
def test_a_limit_that_no_column_holds_is_refused(alice, limit):
    with pytest.raises(InvalidInput) as refusal:
        quotas.override_limits(user=alice, images_per_day=limit)
    assert refusal.value.errors[0].field == "images_per_day"
    assert not Quota.objects.exists()


def test_an_unlimited_plan_has_no_limits(alice):
    alice.plan = Plan.objects.get(name="unlimited")
    alice.save()
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=None, concurrent=None, requests_per_minute=None)


# --- Pictures a day ---


def test_pictures_are_counted_in_their_utc_day(alice):
    assert take(alice, 3) == MIDNIGHT
    assert take(alice, 2, at=MIDNIGHT) == MIDNIGHT
    assert take(alice, 1, at=MIDNIGHT - timedelta(microseconds=1)) == MIDNIGHT - timedelta(days=1)
    assert used(alice) == 5
    assert used(alice, start=MIDNIGHT - timedelta(days=1)) == 1


def test_the_last_picture_is_given_and_one_more_refused_with_the_facts(alice):
    take(alice, 39)
    with pytest.raises(QuotaExceeded) as refusal:
        take(alice, 2)
    error = refusal.value
    assert error.facts == {"policy": "images_per_day", "limit": 40, "used": 39, "reset": 43170}
    assert error.retry_after == 43170
    assert error.message == "39 of the 40 pictures of this day (UTC) are used, and this asks for 2 more."
    assert used(alice) == 39
    take(alice, 1)
    assert used(alice) == 40


def test_more_than_the_limit_is_refused_as_the_first_of_the_day(alice):
    quotas.override_limits(user=alice, images_per_day=3)
    with pytest.raises(QuotaExceeded):
        take(alice, 4)
    assert not Usage.objects.exists()


def test_a_limit_of_none_at_all_refuses_the_first_picture(alice):
    quotas.override_limits(user=alice, images_per_day=0)
    with pytest.raises(QuotaExceeded):
        take(alice, 1)


def test_a_limit_that_was_lowered_below_what_is_used_refuses(alice):
    take(alice, 5)
    quotas.override_limits(user=alice, images_per_day=3)
    with pytest.raises(QuotaExceeded):
        take(alice, 1)
    assert used(alice) == 5


def test_pictures_of_unlimited_users_are_counted_too(alice):
    quotas.override_limits(user=alice, images_per_day=quotas.UNLIMITED)
    take(alice, 100)
    assert used(alice) == 100


def test_a_transaction_that_is_undone_gives_its_pictures_back(alice):
    take(alice, 1)
    with transaction.atomic():
        quotas.take_images(user=alice, count=2, at=NOON)
        transaction.set_rollback(True)
    assert used(alice) == 1


@pytest.mark.django_db(transaction=True)
def test_pictures_are_not_taken_outside_a_transaction(alice):
    with pytest.raises(transaction.TransactionManagementError):
        quotas.take_images(user=alice, count=1)
    assert not Usage.objects.exists()


def test_pictures_go_back_to_their_day_and_never_below_nothing(alice, bob):
    take(alice, 3)
    take(bob, 3)
    quotas.give_back_images(user=alice, count=2, window_start=MIDNIGHT)
    assert used(alice) == 1
    quotas.give_back_images(user=alice, count=2, window_start=MIDNIGHT)
    assert used(alice) == 0
    quotas.give_back_images(user=alice, count=2, window_start=MIDNIGHT - timedelta(days=1))
    assert (used(bob), Usage.objects.count()) == (3, 2)


@pytest.mark.parametrize("limit", [1, 17])
def test_of_64_threads_as_many_take_a_picture_as_are_left(race, alice, limit):
    quotas.override_limits(user=alice, images_per_day=limit)
    outcomes = race(64, lambda _: take(alice, 1))
    assert outcomes.count(MIDNIGHT) == limit
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 64 - limit
    assert used(alice) == limit


def test_taking_pictures_puts_the_transactions_of_an_unlimited_user_in_a_line(race, alice):
    """What is counted after take_images is exact: nobody else of the same user is between it and the commit."""
    quotas.override_limits(user=alice, images_per_day=quotas.UNLIMITED)

    def count_others(_):
        with transaction.atomic():
            quotas.take_images(user=alice, count=1, at=NOON)
            # Any row that only this user's transactions read and write would do.
            seen = Usage.objects.filter(user=alice, name="probe").count()
            Usage.objects.create(user=alice, name="probe", window_start=MIDNIGHT + timedelta(seconds=seen))
            return seen

    assert sorted(race(16, count_others)) == list(range(16))


# --- At once ---


def test_as_many_at_once_as_allowed_and_no_more(alice):
    quotas.check_concurrent(user=alice, running=3)
    with pytest.raises(ConcurrencyLimit) as refusal:
        quotas.check_concurrent(user=alice, running=4)
    assert refusal.value.facts == {"policy": "concurrent", "limit": 4, "used": 4, "reset": None}
    assert refusal.value.retry_after == 5
    quotas.override_limits(user=alice, concurrent=quotas.UNLIMITED)
    quotas.check_concurrent(user=alice, running=1000)


# --- Requests a minute ---


@pytest.mark.usefixtures("counter")
def test_requests_are_counted_in_their_minute(alice, bob):
    quotas.override_limits(user=alice, requests_per_minute=2)
    first = quotas.admit_request(user=alice, at=NOON)
    assert (first.limit, first.remaining, first.resets_at) == (2, 1, MINUTE + timedelta(minutes=1))
    assert quotas.admit_request(user=alice, at=MINUTE).remaining == 0
    with pytest.raises(RateLimited) as refusal:
        quotas.admit_request(user=alice, at=NOON)
    assert refusal.value.facts == {"policy": "requests_per_minute", "limit": 2, "used": 2, "reset": 30}
    assert refusal.value.retry_after == 30
    assert quotas.admit_request(user=bob, at=NOON).remaining == 29
    assert quotas.admit_request(user=alice, at=NOON + timedelta(seconds=30)).remaining == 1


@pytest.mark.usefixtures("counter")
def test_a_limit_of_no_requests_refuses_the_first(alice):
    quotas.override_limits(user=alice, requests_per_minute=0)
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)


@pytest.mark.usefixtures("counter")
def test_of_64_requests_at_once_as_many_are_admitted_as_the_minute_has(race, alice):
    outcomes = race(64, lambda _: quotas.admit_request(user=alice, at=NOON))
    admitted = [outcome.remaining for outcome in outcomes if isinstance(outcome, quotas.LimitState)]
    assert sorted(admitted) == list(range(30))
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 34


def test_requests_of_unlimited_users_are_not_counted(alice):
    quotas.override_limits(user=alice, requests_per_minute=quotas.UNLIMITED)
    state = quotas.admit_request(user=alice, at=NOON)
    assert (state.limit, state.remaining) == (None, None)
    assert quotas.rate_headers([state], at=NOON) == {}
    assert not Usage.objects.exists()


def test_the_database_counts_while_redis_is_away(alice, settings, monkeypatch):
    def away(*args, **kwargs):
        raise RedisConnectionError

    settings.REDIS_URL = "redis://cache"
    monkeypatch.setattr(quotas, "cache", type("Away", (), {"add": away, "incr": away, "get": away})())
    quotas.override_limits(user=alice, requests_per_minute=1)
    assert quotas.admit_request(user=alice, at=NOON).remaining == 0
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)
    assert quotas.describe_limits(user=alice, running=0, at=NOON)[2].used == 1


# --- What is told ---


@pytest.mark.usefixtures("counter")
def test_every_limit_is_described_as_it_stands(alice):
    take(alice, 3)
    quotas.override_limits(user=alice, concurrent=quotas.UNLIMITED, requests_per_minute=1)
    quotas.admit_request(user=alice, at=NOON)
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)
    states = quotas.describe_limits(user=alice, running=2, at=NOON)
    assert [(state.name, state.limit, state.used, state.remaining, state.resets_at) for state in states] == [
        ("images_per_day", 40, 3, 37, MIDNIGHT + timedelta(days=1)),
        ("concurrent", None, 2, None, None),
        ("requests_per_minute", 1, 1, 0, MINUTE + timedelta(minutes=1)),
    ]


def parsed(headers):
    """Each header as {name: parameters}, read by a parser of structured fields (RFC 9651)."""
    lists = {}
    for name, value in headers.items():
        items = http_sfv.List()
        items.parse(value.encode())
        lists[name] = {item.value: dict(item.params) for item in items}
    return lists


def test_the_headers_are_structured_fields_that_name_the_limit_nearest_to_its_end(alice):
    take(alice, 4)
    headers = quotas.rate_headers(quotas.describe_limits(user=alice, running=3, at=NOON), at=NOON)
    assert parsed(headers) == {
        "RateLimit-Policy": {
            "images_per_day": {"q": 40, "w": 86400, "qu": "images"},
            "concurrent": {"q": 4, "qu": "concurrent-requests"},
            "requests_per_minute": {"q": 30, "w": 60, "qu": "requests"},
        },
        "RateLimit": {"concurrent": {"r": 1}},
    }


def test_a_refusals_headers_agree_with_its_retry_after(alice):
    quotas.override_limits(user=alice, images_per_day=0)
    with pytest.raises(QuotaExceeded) as refusal:
        take(alice, 1)
    assert parsed(quotas.refusal_headers(refusal.value)) == {
        "RateLimit-Policy": {"images_per_day": {"q": 0, "w": 86400, "qu": "images"}},
        "RateLimit": {"images_per_day": {"r": 0, "t": refusal.value.retry_after}},
    }
    assert quotas.refusal_headers(ServiceError(limit=3)) == {}


def test_old_counts_are_pruned(alice, settings):
    settings.REDIS_URL = ""  # with a cache the requests are counted there
    take(alice, 1, at=MIDNIGHT - timedelta(seconds=1))
    take(alice, 1)
    quotas.admit_request(user=alice, at=NOON)
    assert quotas.prune_usage(before=MIDNIGHT) == 1
    assert Usage.objects.count() == 2
