"""The limits of user, key and site as submit enforces them, and what a run gives back when it ends."""

from datetime import timedelta

import http_sfv
import pytest
from django.utils import timezone

from accounts import keys, ledger, quotas
from accounts.errors import ConcurrencyLimit, InsufficientCredit, QuotaExceeded
from accounts.models import KeyUsage, Plan, SiteUsage, Transfer, Usage
from generations import services, sweeper
from generations.models import Generation, Status
from generations.spec import GenerationSpec
from tests.generations.fakes import picture, png, reply
from tests.people import client_with, make_person

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
GENERATIONS = "/api/v1/generations"


@pytest.fixture
def wish():
    return lambda count: GenerationSpec.parse({"prompt": "a fox", "count": count}, default_image_size="1K")


def key_of(user, **limits):
    return keys.create_key(user=user, limits=limits).api_key


def submit_with(api_key, spec):
    return services.submit(user=api_key.user, spec=spec, source="rest", api_key=api_key).generation


def counted():
    """(limit's name, used) of the user, the key and the site, without storage."""
    return [
        set(model.objects.exclude(name__in=["storage_bytes", "concurrent"]).values_list("name", "used"))
        for model in (Usage, KeyUsage, SiteUsage)
    ]


def both(count):
    return {("images_per_day", count), ("images_per_month", count)}


def nothing_was_kept():
    held = Transfer.objects.filter(kind=Transfer.Kind.PENDING)
    return not Generation.objects.exists() and not held.exists() and counted() == [set(), set(), set()]


def test_what_did_not_come_goes_back_to_every_window_it_was_taken_from(alice, upstream, work, wish):
    api_key = key_of(alice, images_per_day=9, images_per_month=9)
    quotas.limit_site(images_per_day=9, images_per_month=9)
    upstream.says(reply(picture(png("red"))), reply(picture(b"no picture")), reply(picture(png("blue"))))
    generation = submit_with(api_key, wish(3))
    assert counted() == [both(3)] * 3
    work(generation)
    assert (generation.status, generation.outputs.count()) == (Status.SUCCEEDED, 2)
    assert counted() == [both(2)] * 3


def test_a_failed_run_gives_all_back_to_the_day_on_which_it_began(alice, upstream, work, wish):
    api_key = key_of(alice, images_per_day=9)
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}})
    generation = submit_with(api_key, wish(2))
    earlier = generation.quota_window - timedelta(days=1)
    for model in (Usage, KeyUsage):  # it began before midnight
        model.objects.filter(name="images_per_day").update(window_start=earlier)
    Generation.objects.update(quota_window=earlier)
    today = submit_with(api_key, wish(1))
    generation.refresh_from_db()
    work(generation)
    assert generation.status == Status.FAILED
    rows = Usage.objects.filter(name="images_per_day").order_by("window_start").values_list("used", flat=True)
    assert list(rows) == [0, 1]
    assert today.quota_window == earlier + timedelta(days=1)


def test_a_run_that_is_tried_again_counts_for_the_key_that_asks(alice, submit, wish):
    api_key = key_of(alice, images_per_day=2)
    generation = submit_with(api_key, wish(2))
    services.cancel(user=alice, public_id=generation.public_id)
    assert counted()[1] == both(0)
    services.retry(user=alice, public_id=generation.public_id, api_key=api_key)
    assert counted()[1] == both(2)
    with pytest.raises(QuotaExceeded):
        submit_with(api_key, wish(1))


@pytest.mark.parametrize("whose", ["key", "site"])
def test_64_submits_under_a_limit_of_4_at_once_are_4_jobs(race, rich_in_pictures, spec, whose):
    user = rich_in_pictures(64)
    api_key = key_of(user, **({"concurrent": 4} if whose == "key" else {}))
    people = [user]
    if whose == "site":
        quotas.limit_site(concurrent=4)
        people.append(make_person("another"))
    for person in people:
        quotas.override_limits(user=person, images_per_day=1000, concurrent=1000)

    def submit_as(index):
        person = people[index % len(people)]
        return services.submit(
            user=person, spec=spec, source="rest", api_key=api_key if person == user else None
        ).generation

    outcomes = race(64, submit_as)
    assert sum(isinstance(outcome, Generation) for outcome in outcomes) == Generation.objects.count() == 4
    refusals = [outcome for outcome in outcomes if isinstance(outcome, ConcurrencyLimit)]
    assert {refusal.facts["policy"] for refusal in refusals} == {f"{whose}_concurrent"}
    assert len(refusals) == 60
    assert sum(Usage.objects.filter(name="images_per_day").values_list("used", flat=True)) == 4


def test_a_job_that_nobody_finished_frees_its_slot_when_it_is_swept(alice, submit, money):
    quotas.override_limits(user=alice, concurrent=1, images_per_day=1)
    before = money(alice)
    dead = submit(alice)
    with pytest.raises(QuotaExceeded):
        submit(alice)
    Generation.objects.filter(pk=dead.pk).update(queued_at=timezone.now() - timedelta(days=1))
    sweeper.sweep_jobs(resend_after_s=0)
    assert money(alice) == before
    assert submit(alice).status == Status.QUEUED


def test_no_room_refuses_a_wish_before_money_is_held(alice, submit, upstream, work, money):
    quotas.override_limits(user=alice, storage_bytes=1)
    first = work(submit(alice))
    image = first.outputs.get().image
    assert Usage.objects.get(name="storage_bytes").used == image.blob.byte_size
    before, jobs = money(alice), Generation.objects.count()
    with pytest.raises(QuotaExceeded) as refusal:
        submit(alice)
    assert refusal.value.facts["policy"] == "storage_bytes"
    assert (money(alice), Generation.objects.count()) == (before, jobs)
    assert counted()[0] == both(1)


def test_the_credit_of_the_month_comes_with_its_first_wish(penniless, submit, money):
    with pytest.raises(InsufficientCredit):
        submit(penniless)
    Plan.objects.filter(name="free").update(monthly_credit_micros=2 * PRICE)
    submit(penniless)
    submit(penniless)
    with pytest.raises(InsufficientCredit):
        submit(penniless)
    assert money(penniless) == (0, 2 * PRICE, 0)


def test_the_sweeper_refills_and_gives_back_what_dead_uploads_held(alice, bob):
    Plan.objects.filter(name="free").update(monthly_credit_micros=PRICE)
    available = ledger.balance_of(alice).available
    hold = quotas.reserve_storage(standing=quotas.standing_of(bob), byte_size=10)
    type(hold).objects.update(created_at=timezone.now() - timedelta(hours=2))
    swept = sweeper.sweep()
    assert (swept.refilled, swept.storage_released) == (2, 1)
    assert ledger.balance_of(alice).available == available + PRICE
    assert sweeper.sweep().refilled == 0


def told(response, header):
    items = http_sfv.List()
    items.parse(response[header].encode())
    return {item.value: dict(item.params) for item in items}


def test_an_accepted_wish_tells_every_limit_that_it_was_counted_in(alice):
    secret = keys.create_key(user=alice, scopes=["generate", "read", "account"], limits={"images_per_day": 2}).secret
    client = client_with(secret)
    response = client.post(GENERATIONS, {"prompt": "a fox"}, content_type="application/json")
    assert response.status_code == 202
    policies = told(response, "RateLimit-Policy")
    assert set(policies) == {"requests_per_minute", "images_per_day", "key_images_per_day", "concurrent"}
    assert policies["key_images_per_day"] == {"q": 2, "w": 86400, "qu": "images"}
    [(nearest, state)] = told(response, "RateLimit").items()
    assert (nearest, state["r"]) == ("key_images_per_day", 1)
    limits = client.get("/api/v1/account/limits")
    listed = {limit["name"]: limit for limit in limits.json()["results"]}
    assert (listed["key_images_per_day"]["source"], listed["key_images_per_day"]["remaining"]) == ("key", 1)
    assert (listed["images_per_day"]["source"], listed["images_per_day"]["remaining"]) == ("plan", 39)
    assert listed["storage_bytes"]["limit"] == 2 * 1024**3
    # The page, the list and the header tell the same.
    assert told(limits, "RateLimit")["key_images_per_day"]["r"] == 1


def test_the_refusal_says_whose_limit_it_is_and_costs_nothing(alice):
    secret = keys.create_key(user=alice, limits={"images_per_month": 1}).secret
    wish = {"prompt": "a fox", "count": 2}
    response = client_with(secret).post(GENERATIONS, wish, content_type="application/json")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (429, "quota_exceeded")
    assert (problem["policy"], problem["source"], problem["limit"], problem["used"]) == (
        "key_images_per_month",
        "key",
        1,
        0,
    )
    assert problem["detail"] == (
        "0 of the 1 pictures of this month (UTC) are used, and this asks for 2 more. This is the limit of this API key."
    )
    assert told(response, "RateLimit") == {"key_images_per_month": {"r": 1, "t": int(response["Retry-After"])}}
    Usage.objects.filter(name="requests_per_minute").delete()
    assert nothing_was_kept()
