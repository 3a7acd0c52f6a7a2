"""Which limits apply: plans of people and groups, exceptions with a reason and an end, and the record of them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import limits, quotas
from accounts.errors import InvalidInput
from accounts.models import GroupPlan, LimitChange, Plan, Quota, SiteLimits

pytestmark = pytest.mark.django_db

GB = 1024**3
FREE = {"images_per_day": 40, "concurrent": 4, "requests_per_minute": 30, "storage_bytes": 2 * GB}


def give_plan(user, name):
    user.plan = Plan.objects.get(name=name)
    user.save()


def join(user, name, plan):
    group, _ = Group.objects.get_or_create(name=name)
    GroupPlan.objects.update_or_create(group=group, defaults={"plan": Plan.objects.get(name=plan)})
    user.groups.add(group)


# --- Plans ---


def test_the_seeded_plans_have_the_published_figures(alice):
    assert quotas.limits_for(alice) == quotas.Limits(**FREE)
    give_plan(alice, "standard")
    standard = {"images_per_day": 500, "concurrent": 16, "requests_per_minute": 120, "storage_bytes": 50 * GB}
    assert quotas.limits_for(alice) == quotas.Limits(**standard)
    give_plan(alice, "unlimited")
    assert quotas.limits_for(alice) == quotas.Limits()
    assert not Plan.objects.exclude(monthly_credit_micros=None).exists()


def test_of_own_and_groups_plans_the_highest_in_rank_is_in_force(alice, bob):
    join(alice, "guests", "free")
    join(alice, "class of 2026", "standard")
    assert limits.plan_of(alice).name == "standard"
    give_plan(alice, "unlimited")
    assert limits.plan_of(alice).name == "unlimited"
    assert limits.plan_of(bob).name == "free"
    alice.groups.clear()
    give_plan(alice, "free")
    assert limits.plan_of(alice).name == "free"


def test_among_plans_of_one_rank_the_own_one_is_in_force(alice):
    Plan.objects.create(name="club", rank=10, images_per_day=1)
    join(alice, "club", "club")
    assert limits.plan_of(alice).name == "free"


def test_what_applies_is_read_by_one_query(alice, alice_key, django_assert_num_queries):
    join(alice, "class of 2026", "standard")
    api_key = alice.api_keys.get()
    with django_assert_num_queries(1):
        limits.standing_of(alice, api_key=api_key)


# --- Exceptions ---


def test_own_limits_replace_the_plans_one_by_one(alice, bob):
    quotas.override_limits(user=alice, images_per_day=7)
    quotas.override_limits(user=alice, concurrent=0, requests_per_minute=quotas.UNLIMITED, storage_bytes=5)
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=7, concurrent=0, storage_bytes=5)
    quotas.override_limits(user=alice, images_per_day=None, storage_bytes=quotas.UNLIMITED_BYTES)
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=40, concurrent=0)
    assert quotas.limits_for(bob).concurrent == 4


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("images_per_day", -1),
        ("images_per_day", 1.5),
        ("images_per_month", True),
        ("concurrent", "7"),
        ("requests_per_minute", quotas.UNLIMITED + 1),
        ("storage_bytes", quotas.UNLIMITED_BYTES + 1),
        ("images_per_year", 1),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(alice, name, limit):
    with pytest.raises(InvalidInput) as refusal:
        quotas.override_limits(user=alice, **{name: limit})
    assert [problem.field for problem in refusal.value.errors] == [name]
    assert not Quota.objects.exists()
    assert not LimitChange.objects.exists()


@pytest.mark.parametrize("reason", ["x" * 201, "nul\0"])
def test_a_reason_that_cannot_be_kept_is_refused(alice, reason):
    with pytest.raises(InvalidInput):
        quotas.override_limits(user=alice, images_per_day=1, reason=reason)
    assert not Quota.objects.exists()


def test_an_exception_ends_by_itself(alice):
    end = timezone.now() + timedelta(hours=1)
    quotas.override_limits(user=alice, images_per_day=7, expires_at=end)
    before, after = (limits.standing_of(alice, at=end + timedelta(microseconds=tick)) for tick in (-1, 0))
    assert [(bound.source, bound.limit) for bound in before.of("images_per_day")] == [("own", 7)]
    assert [(bound.source, bound.limit) for bound in after.of("images_per_day")] == [("plan", 40)]


def test_what_has_ended_does_not_come_back_with_the_next_exception(alice):
    now = timezone.now()
    Quota.objects.create(user=alice, images_per_day=7, expires_at=now - timedelta(seconds=1))
    quotas.override_limits(user=alice, concurrent=9)
    assert (quotas.limits_for(alice).images_per_day, quotas.limits_for(alice).concurrent) == (40, 9)
    assert Quota.objects.get().expires_at is None


def test_an_end_stays_until_it_is_named_again(alice):
    end = timezone.now() + timedelta(days=1)
    quotas.override_limits(user=alice, images_per_day=7, expires_at=end)
    quotas.override_limits(user=alice, concurrent=9)
    assert Quota.objects.get().expires_at == end
    quotas.override_limits(user=alice, expires_at=None)
    assert Quota.objects.get().expires_at is None


def test_an_end_that_has_passed_is_refused(alice):
    with pytest.raises(InvalidInput) as refusal:
        quotas.override_limits(user=alice, images_per_day=7, expires_at=timezone.now())
    assert refusal.value.errors[0].field == "expires_at"
    assert not Quota.objects.exists()


# --- The record ---


def test_who_changed_what_and_why_is_kept(alice, staff):
    end = timezone.now() + timedelta(days=1)
    quotas.override_limits(user=alice, images_per_day=7)
    quotas.override_limits(user=alice, actor=str(staff.public_id), reason="exhibition", concurrent=9, expires_at=end)
    change = LimitChange.objects.latest("pk")
    assert (change.subject, change.actor) == (f"user:{alice.public_id}", str(staff.public_id))
    assert (change.reason, change.before) == ("exhibition", {"images_per_day": 7})
    assert change.after == {"images_per_day": 7, "concurrent": 9, "expires_at": end.isoformat()}
    quota = Quota.objects.get()
    assert (quota.reason, quota.set_by) == ("exhibition", str(staff.public_id))


def test_the_database_refuses_to_change_the_record(alice):
    quotas.override_limits(user=alice, images_per_day=7)
    for attempt in (LimitChange.objects.all().delete, lambda: LimitChange.objects.update(reason="other")):
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()
    assert LimitChange.objects.get().reason == ""


def test_the_sites_limits_are_one_row_with_the_same_record():
    quotas.limit_site(images_per_day=9, reason="budget")
    quotas.limit_site(concurrent=3)
    site = SiteLimits.objects.get()
    assert (site.images_per_day, site.concurrent, site.storage_bytes) == (9, 3, None)
    with pytest.raises(InvalidInput):
        quotas.limit_site(images_per_day=-1)
    assert list(LimitChange.objects.order_by("pk").values_list("subject", "before", "after")) == [
        ("site", {}, {"images_per_day": 9}),
        ("site", {"images_per_day": 9}, {"images_per_day": 9, "concurrent": 3}),
    ]
    with pytest.raises(IntegrityError), transaction.atomic():
        SiteLimits.objects.create(pk=2)


def test_two_changes_at_once_are_recorded_one_after_the_other(race, alice):
    race(8, lambda index: quotas.override_limits(user=alice, images_per_day=index))
    changes = list(LimitChange.objects.order_by("pk"))
    assert len(changes) == 8
    assert [change.before for change in changes[1:]] == [change.after for change in changes[:-1]]
