"""reuse: an earlier or running identical wish answers; nothing is charged, held or taken from the quota."""

from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Transfer, Usage
from generations import reusing, services
from generations.audit import audit
from generations.management.commands import generate
from generations.models import Generation, IdempotencyKey, Status
from generations.spec import GenerationSpec
from tests import people
from tests.generations.fakes import error, picture, reply

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000


@pytest.fixture
def ask(spec):
    def ask_for(user, wish=None, **options):
        options = {"source": "rest", "reuse": True} | options
        return services.submit(user=user, spec=wish or spec, **options).generation

    return ask_for


def used_today(user):
    return Usage.objects.get(user=user, name="images_per_day").used


def test_the_same_wish_again_is_answered_with_the_first_ones_picture(alice, upstream, submit, work, ask, money):
    first = work(submit(alice))
    before = money(alice), used_today(alice), Transfer.objects.count()
    again = ask(alice)
    assert again.pk != first.pk
    assert (again.status, again.reused_from_id, again.charged_micros) == (Status.SUCCEEDED, first.pk, 0)
    assert again.quoted_micros == 0
    assert [output.pk for output in again.shown_outputs] == [first.outputs.get().pk]
    assert (money(alice), used_today(alice), Transfer.objects.count()) == before
    assert len(upstream.calls) == 1
    assert audit() == []


def test_white_space_does_not_matter_and_case_does(alice, upstream, submit, work, ask, spec):
    first = work(submit(alice))
    assert ask(alice, replace(spec, prompt=" a \n fox ")).reused_from_id == first.pk
    assert ask(alice, replace(spec, prompt="A fox")).reused_from_id is None


@pytest.mark.parametrize("change", [{"aspect_ratio": "16:9"}, {"image_size": "2K"}, {"seed": 7}, {"count": 2}])
def test_other_parameters_are_another_wish(change, alice, upstream, submit, work, ask, spec):
    work(submit(alice))
    assert ask(alice, replace(spec, **change)).reused_from_id is None


def test_another_users_wish_is_never_reused(alice, bob, upstream, submit, work, ask):
    work(submit(alice))
    assert ask(bob).reused_from_id is None


def test_without_reuse_a_wish_is_made_anew(alice, upstream, submit, work):
    first = work(submit(alice))
    assert submit(alice).reused_from_id is None
    assert Generation.objects.exclude(pk=first.pk).get().hold is not None


def test_a_picture_in_the_trash_is_not_offered_again(alice, upstream, submit, work, ask):
    first = work(submit(alice))
    image = first.outputs.get().image
    image.trashed_at = timezone.now()
    image.save()
    assert ask(alice).reused_from_id is None


def test_one_missing_picture_of_two_is_reason_enough_to_make_them(alice, upstream, submit, work, ask, spec):
    upstream.says(reply(picture()), {"promptFeedback": {"blockReason": "SAFETY"}})
    first = work(submit(alice, wish=replace(spec, count=2)))
    assert (first.status, first.outputs.count()) == (Status.SUCCEEDED, 1)
    assert ask(alice, replace(spec, count=2)).reused_from_id is None


def test_a_failed_wish_is_not_reused(alice, upstream, submit, work, ask):
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}})
    work(submit(alice))
    assert ask(alice).reused_from_id is None


def test_the_newest_is_taken_and_never_one_that_is_reused_itself(alice, upstream, submit, work, ask):
    work(submit(alice))
    second = work(submit(alice))
    ask(alice)
    assert ask(alice).reused_from_id == second.pk
    assert audit() == []


# --- While the first one runs --------------------------------------------------------------------


def test_a_running_wish_is_waited_for_and_shared(alice, upstream, submit, work, ask, money):
    first = submit(alice)
    held = money(alice)
    again = ask(alice)
    assert (again.status, again.stage, again.reused_from_id) == (Status.RUNNING, "sharing", first.pk)
    assert money(alice) == held
    assert audit() == []
    work(first)
    again.refresh_from_db()
    assert (again.status, again.charged_micros) == (Status.SUCCEEDED, 0)
    assert again.finished_at is not None
    assert again.version == 3
    assert money(alice)[2] == PRICE
    assert len(upstream.calls) == 1
    assert audit() == []


def test_one_that_shares_is_never_worked_on(alice, upstream, submit, work, ask):
    submit(alice)
    again = ask(alice)
    work(again, rounds=2)
    assert again.status == Status.RUNNING
    assert upstream.calls == []


def test_it_fails_as_the_first_one_does_and_a_retry_is_a_job_of_its_own(alice, upstream, submit, work, ask, money):
    available = money(alice)[0]
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}}, reply(picture()))
    first = submit(alice)
    again = ask(alice)
    work(first)
    again.refresh_from_db()
    assert (again.status, again.error_code) == (Status.FAILED, "blocked")
    assert money(alice) == (available, 0, 0)
    assert audit() == []
    again = work(services.retry(user=alice, public_id=again.public_id))
    assert (again.status, again.charged_micros, again.reused_from_id) == (Status.SUCCEEDED, PRICE, None)
    assert audit() == []


def test_cancelling_the_one_that_shares_leaves_the_first_alone(alice, upstream, submit, work, ask, money):
    first = submit(alice)
    again = ask(alice)
    held, quota = money(alice), used_today(alice)
    assert services.cancel(user=alice, public_id=again.public_id).status == Status.CANCELED
    assert (money(alice), used_today(alice)) == (held, quota)
    assert work(first).status == Status.SUCCEEDED
    assert audit() == []


def test_cancelling_the_first_ends_both(alice, upstream, submit, ask, money):
    available = money(alice)[0]
    first = submit(alice)
    again = ask(alice)
    services.cancel(user=alice, public_id=first.public_id)
    again.refresh_from_db()
    assert again.status == Status.CANCELED
    assert money(alice) == (available, 0, 0)
    assert audit() == []


def test_one_that_is_asked_to_stop_is_not_joined(alice, upstream, submit, ask):
    first = submit(alice)
    Generation.objects.filter(pk=first.pk).update(cancel_requested_at=timezone.now())
    assert ask(alice).reused_from_id is None


# --- Races and keys ------------------------------------------------------------------------------


def test_the_same_key_again_is_the_same_answer(alice, upstream, submit, work, ask):
    work(submit(alice))
    again = ask(alice, idempotency_key="k")
    assert ask(alice, idempotency_key="k") == again
    assert Generation.objects.count() == 2
    assert IdempotencyKey.objects.get().generation == again


def test_twelve_at_once_are_one_job(alice, upstream, ask, race, money):
    available = money(alice)[0]
    answers = race(12, lambda _: ask(alice))
    assert [each for each in answers if isinstance(each, Exception)] == []
    origin = Generation.objects.get(reused_from=None)
    assert {each.reused_from_id or each.pk for each in answers} == {origin.pk}
    assert money(alice) == (available - PRICE, PRICE, 0)
    assert audit() == []


def test_twelve_at_once_with_one_key_are_one_row(alice, upstream, submit, work, ask, race):
    work(submit(alice))
    answers = race(12, lambda _: ask(alice, idempotency_key="k"))
    assert len({each.pk for each in answers}) == 1
    assert Generation.objects.count() == 2


def test_joining_while_the_first_one_ends_leaves_nobody_behind(alice, upstream, submit, work, ask, race):
    first = submit(alice)
    race(6, lambda index: ask(alice) if index else work(first))
    assert not Generation.objects.unfinished().exists()
    assert Generation.objects.filter(reused_from=first, status=Status.SUCCEEDED).count() == 5
    assert audit() == []


def test_the_database_refuses_a_reused_one_with_money(alice, upstream, submit, work, ask):
    first = work(submit(alice))
    again = ask(alice)
    for wrong in ({"hold": first.hold}, {"charged_micros": PRICE}, {"reused_from": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Generation.objects.filter(pk=again.pk).update(**wrong)


# --- Offers, doors and the audit -----------------------------------------------------------------


def test_the_studio_may_offer_a_wish_in_another_case(alice, upstream, submit, work, spec):
    first = work(submit(alice))
    other = replace(spec, prompt="A  FOX")
    assert reusing.find_reusable(user=alice, spec=other) is None
    assert reusing.find_reusable(user=alice, spec=other, ignore_case=True) == first


def test_rest_says_what_was_reused(alice, upstream, submit, work):
    first = work(submit(alice))
    client = people.client_with(people.make_key(alice))
    body = {"prompt": "a  fox", "image_size": "1K", "reuse": "auto"}
    answer = client.post("/api/v1/generations", body, content_type="application/json")
    assert answer.status_code == 202
    found = answer.json()
    assert found["status"] == "succeeded"
    assert found["reused_from"] == str(first.public_id)
    assert found["cost"] == {"quoted": "0.000000", "held": "0.000000", "charged": "0.000000", "currency": "USD"}
    assert found["attempts"] == []
    original = client.get(f"/api/v1/generations/{first.public_id}").json()
    assert found["images"] == original["images"]
    assert original["reused_from"] is None
    listed = client.get("/api/v1/generations").json()["results"]
    assert [each["images"] for each in listed] == [original["images"]] * 2


def test_the_pages_show_it(alice, upstream, submit, work, ask, client):
    work(submit(alice))
    again = ask(alice)
    client.force_login(alice)
    for address in (f"/generations/{again.public_id}/", "/generations/", "/studio/", "/account/"):
        assert client.get(address).status_code == 200


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"user": "bob"}, "reused_from_another_user"),
        ({"status": "running"}, "reused_left_behind"),
    ],
)
def test_the_audit_finds_what_cannot_be(change, violation, alice, bob, upstream, submit, work, ask):
    work(submit(alice))
    again = ask(alice)
    if "user" in change:
        change = {"user": bob}
    Generation.objects.filter(pk=again.pk).update(**change)
    assert violation in {each.name for each in audit()}


def test_a_command_saves_the_reused_picture(alice, upstream, submit, work, ask, tmp_path):
    work(submit(alice))
    again = ask(alice)
    saved = generate.Command()._save(again, tmp_path / "fox.png")
    assert saved.read_bytes().startswith(b"\x89PNG")


def test_a_rate_limited_first_one_keeps_the_others_waiting(alice, upstream, submit, work, ask):
    upstream.says(error(429, "RESOURCE_EXHAUSTED"), reply(picture()))
    first = submit(alice)
    work(first, rounds=1)
    again = ask(alice)
    assert again.status == Status.RUNNING
    work(first)
    again.refresh_from_db()
    assert again.status == Status.SUCCEEDED


def test_a_likeness_is_the_same_for_every_case_and_white_space():
    wishes = [GenerationSpec.parse({"prompt": text}, default_image_size="1K") for text in ("Straße  x", "STRASSE X")]
    assert wishes[0].likeness == wishes[1].likeness
    assert wishes[0].fingerprint != wishes[1].fingerprint
