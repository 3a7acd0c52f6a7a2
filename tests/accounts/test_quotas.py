"""What is counted, given back and told: pictures, jobs at once, requests; of the user, the key and the site."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import http_sfv
import pytest
from django.core.cache import cache
from django.db import transaction
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts import counters, keys, quotas
from accounts.errors import ConcurrencyLimit, QuotaExceeded, RateLimited, ServiceError
from accounts.models import KeyUsage, SiteUsage, Usage

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
MINUTE = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


@pytest.fixture(params=["database", "cache"])
def counter(request, settings):
    """Both places where requests are counted; the cache stands for Redis, whose two commands it has as well."""
    settings.REDIS_URL = "redis://cache" if request.param == "cache" else ""


def take(user, count, at=NOON, api_key=None):
    with transaction.atomic():
        standing = quotas.standing_of(user, api_key=api_key, at=at)
        return quotas.take_images(standing=standing, count=count, at=at).day


def give_back(user, count, day=MIDNIGHT, api_key=None):
    quotas.give_back_images(user=user, api_key_id=api_key and api_key.pk, count=count, day=day)


def key_of(user, **limits):
    return keys.create_key(user=user, limits=limits).api_key


def admit(user, at=NOON, api_key=None):
    """The user's own state after one more request."""
    return quotas.admit_request(user=user, api_key=api_key, at=at)[0]


def used(user, name="images_per_day", start=MIDNIGHT):
    return Usage.objects.get(user=user, name=name, window_start=start).used


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
    assert error.facts == {
        "policy": "images_per_day",
        "source": "plan",
        "limit": 40,
        "used": 39,
        "reset": 43170,
        "window": 86400,
    }
    assert error.retry_after == 43170
    assert error.message == (
        "39 of the 40 pictures of this day (UTC) are used, and this asks for 2 more. "
        "This is the limit of the free plan."
    )
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
        quotas.take_images(standing=quotas.standing_of(alice), count=2, at=NOON)
        transaction.set_rollback(True)
    assert used(alice) == 1


@pytest.mark.django_db(transaction=True)
def test_pictures_are_not_taken_outside_a_transaction(alice):
    with pytest.raises(transaction.TransactionManagementError):
        quotas.take_images(standing=quotas.standing_of(alice), count=1)
    assert not Usage.objects.exists()


def test_pictures_go_back_to_their_day_and_never_below_nothing(alice, bob):
    take(alice, 3)
    take(bob, 3)
    give_back(alice, 2)
    assert (used(alice), used(alice, "images_per_month", MARCH)) == (1, 1)
    give_back(alice, 2)
    assert used(alice) == 0
    give_back(alice, 2, day=MIDNIGHT - timedelta(days=1))
    assert (used(bob), Usage.objects.filter(name="images_per_day").count()) == (3, 2)


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
            quotas.take_images(standing=quotas.standing_of(alice), count=1, at=NOON)
            # Any row that only this user's transactions read and write would do.
            seen = Usage.objects.filter(user=alice, name="probe").count()
            Usage.objects.create(user=alice, name="probe", window_start=MIDNIGHT + timedelta(seconds=seen))
            return seen

    assert sorted(race(16, count_others)) == list(range(16))


# --- Pictures a month ---


def test_a_month_begins_on_its_first_day_and_what_failed_goes_back_to_the_month_it_came_from(alice):
    quotas.override_limits(user=alice, images_per_day=quotas.UNLIMITED, images_per_month=5)
    last_moment = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
    assert take(alice, 5, at=last_moment) == datetime(2026, 2, 28, tzinfo=UTC)
    with pytest.raises(QuotaExceeded) as refusal:
        take(alice, 1, at=last_moment)
    assert refusal.value.facts == {
        "policy": "images_per_month",
        "source": "own",
        "limit": 5,
        "used": 5,
        "reset": 1,
        "window": 28 * 86400,
    }
    assert used(alice, start=datetime(2026, 2, 28, tzinfo=UTC)) == 5  # the day was not charged for the refused one
    take(alice, 2, at=MARCH)
    give_back(alice, 3, day=datetime(2026, 2, 28, tzinfo=UTC))
    assert used(alice, "images_per_month", datetime(2026, 2, 1, tzinfo=UTC)) == 2
    assert used(alice, "images_per_month", MARCH) == 2


def test_a_clock_that_jumps_back_over_midnight_counts_each_picture_once(alice):
    after = take(alice, 2, at=MIDNIGHT)
    before = take(alice, 1, at=MIDNIGHT - timedelta(seconds=1))
    give_back(alice, 2, day=after)
    give_back(alice, 1, day=before)
    assert set(Usage.objects.values_list("used", flat=True)) == {0}


@pytest.mark.parametrize(
    "moment", [datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
)
def test_days_have_86400_seconds_also_where_summer_time_begins_and_ends(moment):
    berlin = moment.astimezone(ZoneInfo("Europe/Berlin"))
    assert counters.window_of("images_per_day", berlin).seconds == 86400
    assert counters.window_of("images_per_day", berlin).start == moment.replace(hour=0, minute=0)
    assert counters.window_of("requests_per_minute", berlin).start == moment


def test_the_months_of_a_year_follow_each_other_without_a_gap():
    start = datetime(2027, 12, 1, tzinfo=UTC)
    for days in (31, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31):  # 2028 is a leap year
        window = counters.window_of("images_per_month", start + timedelta(days=days, microseconds=-1))
        assert (window.start, window.seconds) == (start, days * 86400)
        start = window.end


# --- The key's and the site's ---


def test_a_limit_that_a_key_gets_later_counts_what_it_has_used_and_what_comes_back(alice):
    key = key_of(alice)
    take(alice, 3, api_key=key)
    key = keys.update_key(user=alice, key_id=key.public_id, limits={"images_per_day": 4})
    take(alice, 1, api_key=key)
    with pytest.raises(QuotaExceeded):
        take(alice, 1, api_key=key)
    give_back(alice, 1, api_key=key)  # of those that were taken before
    take(alice, 1, api_key=key)
    with pytest.raises(QuotaExceeded):
        take(alice, 1, api_key=key)


def test_a_key_has_its_own_count_beside_its_users(alice):
    key, other = key_of(alice, images_per_day=2, images_per_month=3), key_of(alice)
    take(alice, 2, api_key=key)
    with pytest.raises(QuotaExceeded) as refusal:
        take(alice, 1, api_key=key)
    assert (refusal.value.facts["policy"], refusal.value.facts["source"]) == ("key_images_per_day", "key")
    assert refusal.value.message.endswith("This is the limit of this API key.")
    assert used(alice) == 2
    take(alice, 5, api_key=other)
    assert used(alice) == 7
    assert set(KeyUsage.objects.values_list("api_key", "name", "used")) == {
        (key.pk, "images_per_day", 2),
        (key.pk, "images_per_month", 2),
        (other.pk, "images_per_day", 5),  # it may get a limit later
        (other.pk, "images_per_month", 5),
    }
    give_back(alice, 1, api_key=key)
    take(alice, 1, api_key=key)
    with pytest.raises(QuotaExceeded):
        take(alice, 2, at=NOON + timedelta(days=1), api_key=key)  # the third and fourth of the key's month


def test_the_tighter_of_user_and_key_wins(alice):
    key = key_of(alice, images_per_day=100)
    quotas.override_limits(user=alice, images_per_day=1)
    take(alice, 1, api_key=key)
    with pytest.raises(QuotaExceeded) as refusal:
        take(alice, 1, api_key=key)
    assert refusal.value.facts["policy"] == "images_per_day"
    assert KeyUsage.objects.get(name="images_per_day").used == 1


def test_a_site_without_limits_counts_nothing_and_one_with_a_limit_counts_what_was_before(alice, bob):
    take(alice, 3)
    assert not SiteUsage.objects.exists()
    quotas.limit_site(images_per_day=4)
    quotas.recount_site(at=NOON)
    take(bob, 1)
    with pytest.raises(QuotaExceeded) as refusal:
        take(bob, 1)
    assert (refusal.value.facts["policy"], refusal.value.facts["used"]) == ("site_images_per_day", 4)
    assert (used(bob), used(bob, "images_per_month", MARCH)) == (1, 1)
    give_back(alice, 1)
    take(bob, 1)
    quotas.limit_site(images_per_day=None)
    assert not SiteUsage.objects.exists()
    take(bob, 9)


@pytest.mark.parametrize("whose", ["user", "key", "site"])
@pytest.mark.parametrize("measure", ["images_per_day", "images_per_month"])
def test_of_64_threads_each_limit_admits_exactly_as_many_as_it_says(race, alice, whose, measure):
    key = key_of(alice, **({measure: 7} if whose == "key" else {}))
    quotas.override_limits(user=alice, images_per_day=7 if (whose, measure) == ("user", "images_per_day") else 1000)
    if whose == "site":
        quotas.limit_site(**{measure: 7})
    elif (whose, measure) == ("user", "images_per_month"):
        quotas.override_limits(user=alice, images_per_month=7)
    outcomes = race(64, lambda _: take(alice, 1, api_key=key))
    assert outcomes.count(MIDNIGHT) == 7
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 57
    # What the last of its limits refused has left nothing in the first ones.
    assert (used(alice), used(alice, "images_per_month", MARCH)) == (7, 7)


def test_taking_and_giving_back_at_once_ends_in_no_deadlock_and_at_nothing(race, alice, bob):
    quotas.limit_site(images_per_day=1000, images_per_month=1000, concurrent=1000)
    people = [(alice, key_of(alice, images_per_day=1000, images_per_month=1000)), (bob, None)]

    def take_and_give_back(index):
        user, key = people[index % 2]
        day = take(user, 1, api_key=key)
        if index % 8 == 0:
            quotas.recount_site(at=NOON)
        with transaction.atomic():
            give_back(user, 1, day=day, api_key=key)

    assert race(32, take_and_give_back) == [None] * 32
    quotas.recount_site(at=NOON)
    for model in (Usage, KeyUsage, SiteUsage):
        assert set(model.objects.values_list("used", flat=True)) == {0}


# --- At once ---


def check(person, api_key=None, **running):
    quotas.check_concurrent(standing=quotas.standing_of(person, api_key=api_key), running=quotas.Running(**running))


def test_as_many_at_once_as_allowed_and_no_more(alice):
    check(alice, user=3)
    with pytest.raises(ConcurrencyLimit) as refusal:
        check(alice, user=4)
    facts = {"policy": "concurrent", "source": "plan", "limit": 4, "used": 4, "reset": None, "window": None}
    assert refusal.value.facts == facts
    assert refusal.value.retry_after == 5
    quotas.override_limits(user=alice, concurrent=quotas.UNLIMITED)
    check(alice, user=1000)


def test_the_keys_and_the_sites_jobs_at_once_are_limited_too(alice):
    key = key_of(alice, concurrent=2)
    quotas.limit_site(concurrent=9)
    check(alice, key, user=3, key=1, site=8)
    for running, policy in (({"key": 2, "site": 8}, "key_concurrent"), ({"key": 1, "site": 9}, "site_concurrent")):
        with pytest.raises(ConcurrencyLimit) as refusal:
            check(alice, key, user=3, **running)
        assert refusal.value.facts["policy"] == policy


# --- Requests a minute ---


@pytest.mark.usefixtures("counter")
def test_requests_are_counted_in_their_minute(alice, bob):
    quotas.override_limits(user=alice, requests_per_minute=2)
    first = admit(alice)
    assert (first.limit, first.remaining, first.resets_at) == (2, 1, MINUTE + timedelta(minutes=1))
    assert admit(alice, MINUTE).remaining == 0
    with pytest.raises(RateLimited) as refusal:
        quotas.admit_request(user=alice, at=NOON)
    facts = {"policy": "requests_per_minute", "source": "own", "limit": 2, "used": 2, "reset": 30, "window": 60}
    assert refusal.value.facts == facts
    assert refusal.value.retry_after == 30
    assert admit(bob).remaining == 29
    assert admit(alice, NOON + timedelta(seconds=30)).remaining == 1


@pytest.mark.usefixtures("counter")
def test_a_limit_of_no_requests_refuses_the_first(alice):
    quotas.override_limits(user=alice, requests_per_minute=0)
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)


@pytest.mark.usefixtures("counter")
def test_of_64_requests_at_once_as_many_are_admitted_as_the_minute_has(race, alice):
    outcomes = race(64, lambda _: admit(alice))
    admitted = [outcome.remaining for outcome in outcomes if isinstance(outcome, quotas.LimitState)]
    assert sorted(admitted) == list(range(30))
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 34


def test_requests_of_unlimited_users_are_not_counted(alice):
    quotas.override_limits(user=alice, requests_per_minute=quotas.UNLIMITED)
    states = quotas.admit_request(user=alice, at=NOON)
    assert states == ()
    assert quotas.rate_headers(states, at=NOON) == {}
    assert not Usage.objects.exists()


@pytest.mark.usefixtures("counter")
def test_requests_of_a_key_and_of_everybody_are_limited_beside_the_users(alice, bob):
    key = key_of(alice, requests_per_minute=1)
    quotas.limit_site(requests_per_minute=3)
    assert [state.name for state in quotas.admit_request(user=alice, api_key=key, at=NOON)] == [
        "key_requests_per_minute",
        "requests_per_minute",
        "site_requests_per_minute",
    ]
    with pytest.raises(RateLimited) as refusal:
        quotas.admit_request(user=alice, api_key=key, at=NOON)
    assert refusal.value.facts["policy"] == "key_requests_per_minute"
    assert admit(alice).remaining == 28  # what its key refused cost the user nothing
    assert admit(bob).remaining == 29
    with pytest.raises(RateLimited) as refusal:
        admit(bob)
    assert refusal.value.facts["policy"] == "site_requests_per_minute"


def test_the_database_counts_while_redis_is_away(alice, settings, monkeypatch):
    def away(*args, **kwargs):
        raise RedisConnectionError

    settings.REDIS_URL = "redis://cache"
    monkeypatch.setattr(counters, "cache", type("Away", (), {"add": away, "incr": away, "get": away})())
    quotas.override_limits(user=alice, requests_per_minute=1)
    assert admit(alice).remaining == 0
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)
    assert quotas.describe_standing(quotas.standing_of(alice, at=NOON), running=0, at=NOON)[3].used == 1


# --- What is told ---


@pytest.mark.usefixtures("counter")
def test_every_limit_is_described_as_it_stands(alice):
    take(alice, 3)
    quotas.override_limits(user=alice, concurrent=quotas.UNLIMITED, requests_per_minute=1)
    quotas.admit_request(user=alice, at=NOON)
    with pytest.raises(RateLimited):
        quotas.admit_request(user=alice, at=NOON)
    states = quotas.describe_standing(quotas.standing_of(alice, at=NOON), running=2, at=NOON)
    assert [(state.name, state.limit, state.used, state.remaining, state.resets_at) for state in states] == [
        ("images_per_day", 40, 3, 37, MIDNIGHT + timedelta(days=1)),
        ("images_per_month", None, 3, None, datetime(2026, 4, 1, tzinfo=UTC)),
        ("concurrent", None, 2, None, None),
        ("requests_per_minute", 1, 1, 0, MINUTE + timedelta(minutes=1)),
        ("storage_bytes", 2 * 1024**3, 0, 2 * 1024**3, None),
    ]


def test_the_keys_and_the_sites_limits_are_described_after_the_users(alice):
    key = key_of(alice, images_per_day=5, concurrent=2)
    quotas.limit_site(images_per_month=9)
    take(alice, 2, api_key=key)
    quotas.recount_site(at=NOON)
    running = quotas.Running(user=3, key=1)
    states = quotas.describe_standing(quotas.standing_of(alice, api_key=key, at=NOON), running=running, at=NOON)
    assert [(state.name, state.source, state.limit, state.used) for state in states[5:]] == [
        ("key_images_per_day", "key", 5, 2),
        ("key_concurrent", "key", 2, 1),
        ("site_images_per_month", "site", 9, 2),
    ]
    assert parsed(quotas.rate_headers(states, at=NOON))["RateLimit"] == {"concurrent": {"r": 1}}


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
    headers = quotas.rate_headers(
        quotas.describe_standing(quotas.standing_of(alice, at=NOON), running=3, at=NOON), at=NOON
    )
    assert parsed(headers) == {
        "RateLimit-Policy": {
            "images_per_day": {"q": 40, "w": 86400, "qu": "images"},
            "concurrent": {"q": 4, "qu": "concurrent-requests"},
            "requests_per_minute": {"q": 30, "w": 60, "qu": "requests"},
            "storage_bytes": {"q": 2 * 1024**3, "qu": "content-bytes"},
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
    counters.add_storage(alice, 7)
    quotas.admit_request(user=alice, at=NOON)
    assert counters.prune(before=MIDNIGHT) == 2  # the day before, and March, which began before that
    assert set(Usage.objects.values_list("name", flat=True)) == {
        "images_per_day",
        "requests_per_minute",
        "storage_bytes",
    }
