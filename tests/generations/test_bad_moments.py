"""Clocks that jump over midnight, prices and plans that change under work: nothing is lost or charged twice."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from accounts import ledger, quotas
from accounts.errors import PriceUnknown, QuotaExceeded
from accounts.models import Plan, Price, Transfer, Usage
from generations import services
from generations.audit import audit
from generations.models import Generation, Status
from generations.spec import GenerationSpec
from tests.generations.fakes import picture, png, reply
from tests.people import client_with

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}
# Far enough ahead that prices are in force; the first moment of a month as well as of a day.
MIDNIGHT = datetime(2029, 3, 1, tzinfo=UTC)
BEFORE, AFTER = MIDNIGHT - timedelta(seconds=1), MIDNIGHT + timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _audited(db):
    yield
    assert audit() == []


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock of everything."""
    return lambda at: monkeypatch.setattr("django.utils.timezone.now", lambda: at)


def used(user):
    """What is counted in the windows on both sides of midnight: (day, month) before it, (day, month) after it."""
    names = ("images_per_day", "images_per_month")
    found = {}
    for row in Usage.objects.filter(user=user, name__in=names):
        found[row.window_start < MIDNIGHT, row.name] = row.used
    return [tuple(found.get((is_before, name), 0) for name in names) for is_before in (True, False)]


# --- The day's end -------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "then"), [(BEFORE, AFTER), (AFTER, BEFORE)], ids=["forward", "back"])
def test_what_fails_after_a_jump_goes_back_to_the_day_it_was_taken_from(
    first, then, alice, submit, upstream, work, clock, money
):
    before = money(alice)
    clock(first)
    failing = submit(alice)
    clock(then)
    kept = submit(alice)
    clock(AFTER)  # what is due at a time that the clock has left waits for it
    upstream.says(BLOCKED)
    assert work(failing).status == Status.FAILED
    upstream.says(reply(picture(png("red"))))
    assert work(kept).status == Status.SUCCEEDED
    assert used(alice) == ([(0, 0), (1, 1)] if first is BEFORE else [(1, 1), (0, 0)])
    assert money(alice) == (before[0] - PRICE, 0, PRICE)


def test_a_clock_that_jumps_to_and_fro_gives_nobody_a_second_day(alice, submit, clock, money):
    quotas.override_limits(user=alice, images_per_day=2, concurrent=100)
    before = money(alice)
    for at in (BEFORE, AFTER, BEFORE, AFTER):
        clock(at)
        submit(alice)
    for at in (BEFORE, AFTER, BEFORE):
        clock(at)
        with pytest.raises(QuotaExceeded) as refusal:
            submit(alice)
        assert refusal.value.retry_after == (1 if at is BEFORE else 86_399)
    assert [day for day, _ in used(alice)] == [2, 2]
    assert money(alice) == (before[0] - 4 * PRICE, 4 * PRICE, 0)


def test_a_job_that_waits_over_midnight_and_is_cancelled_leaves_both_days_empty(alice, submit, clock, money):
    before = money(alice)
    clock(BEFORE)
    job = submit(alice)
    clock(AFTER)
    services.cancel(user=alice, public_id=job.public_id)
    assert used(alice) == [(0, 0), (0, 0)]
    services.retry(user=alice, public_id=job.public_id)
    assert used(alice) == [(0, 0), (1, 1)]
    clock(BEFORE)
    services.cancel(user=alice, public_id=job.public_id)
    assert used(alice) == [(0, 0), (0, 0)]
    assert money(alice) == before


# --- Prices --------------------------------------------------------------------------------------


def later_price(spec, amount_micros, valid_from, **fields):
    return Price.objects.create(
        model=spec.model,
        size=spec.image_size,
        amount_micros=amount_micros,
        cost_micros=1,
        valid_from=valid_from,
        **fields,
    )


def test_a_price_that_starts_in_the_past_of_holds_and_charges_changes_none_of_them(
    alice, submit, spec, upstream, work, money
):
    before = money(alice)
    upstream.says(reply(picture(png("red"))), reply(picture(png("blue"))))
    charged, held = work(submit(alice)), submit(alice)
    later_price(spec, 1_000, charged.created_at - timedelta(hours=1))
    charged.refresh_from_db()
    assert (charged.charged_micros, charged.price.amount_micros) == (PRICE, PRICE)
    assert work(held).charged_micros == PRICE
    assert money(alice) == (before[0] - 2 * PRICE, 0, 2 * PRICE)
    assert submit(alice).quoted_micros == 1_000  # from now on


def test_what_has_no_price_is_refused_on_every_way_and_never_free(
    alice, alice_key, submit, spec, upstream, work, money
):
    upstream.says(BLOCKED)
    failed = work(submit(alice))
    before, jobs, holds = money(alice), Generation.objects.count(), Transfer.objects.count()
    later_price(spec, 1, timezone.now(), is_offered=False)
    with pytest.raises(PriceUnknown):
        submit(alice)
    with pytest.raises(PriceUnknown):
        services.retry(user=alice, public_id=failed.public_id)
    for path in ("generations", "quotes", f"generations/{failed.public_id}/retry"):
        answer = client_with(alice_key).post(f"/api/v1/{path}", {"prompt": "a fox"}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (503, "price_unknown")
    assert (money(alice), Generation.objects.count(), Transfer.objects.count()) == (before, jobs, holds)


@pytest.mark.parametrize("amount", [0, -1, 2**53, 2**63 - 1])
def test_the_database_keeps_no_price_that_is_none(amount, spec):
    with pytest.raises(IntegrityError), transaction.atomic():
        later_price(spec, amount, timezone.now())


# --- Plans ---------------------------------------------------------------------------------------


def remove_past_the_models(plan):
    with transaction.atomic():
        Plan.objects.filter(pk=plan.pk)._raw_delete("default")
        transaction.get_connection().check_constraints()


def test_a_plan_in_use_is_not_removed_and_its_holders_work_goes_on(alice, submit, upstream, work, money):
    plan = Plan.objects.create(name="club", rank=50, images_per_day=5, concurrent=5)
    alice.plan = plan
    alice.save()
    before, job = money(alice), submit(alice)
    with pytest.raises(ProtectedError):
        plan.delete()
    with pytest.raises(IntegrityError):
        remove_past_the_models(plan)
    assert quotas.limits_for(alice).images_per_day == 5
    upstream.says(reply(picture(png("red"))))
    assert work(job).status == Status.SUCCEEDED
    assert money(alice) == (before[0] - PRICE, 0, PRICE)


def test_a_plan_that_is_exchanged_under_work_counts_what_was_done_under_the_old_one(alice, submit):
    alice.plan = Plan.objects.create(name="club", rank=50, images_per_day=5, concurrent=5)
    alice.save()
    for _ in range(3):
        submit(alice)
    Plan.objects.create(name="small", rank=60, images_per_day=2, concurrent=5)
    alice.plan = Plan.objects.get(name="small")
    alice.save()
    with pytest.raises(QuotaExceeded) as refusal:
        submit(alice)
    assert (refusal.value.facts["limit"], refusal.value.facts["used"]) == (2, 3)
    assert ledger.open_holds(alice).count() == 3
    assert GenerationSpec.from_canonical(Generation.objects.first().spec).count == 1
