"""The audit of jobs against money names each corruption that somebody with rights on the database could plant."""

import json

import pytest
from django.core.management import call_command

from accounts.models import Transfer
from generations.audit import audit
from generations.models import Attempt, DraftPreview, Generation, Output, Status
from tests.generations.fakes import error

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def succeeded(alice, upstream, submit, work):
    return work(submit(alice))


@pytest.fixture
def failed(alice, upstream, submit, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    return work(submit(alice))


def names():
    return {violation.name for violation in audit()}


def update(generation, **fields):
    Generation.objects.filter(pk=generation.pk).update(**fields)


def test_a_sound_history_has_no_violation(succeeded, alice, submit, upstream, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    work(submit(alice))
    submit(alice)
    assert audit() == []


def test_a_picture_that_vanished_is_named(succeeded):
    Output.objects.all().delete()
    assert names() == {"charged_without_picture", "charged_is_not_price_times_pictures"}


def test_another_charge_than_the_ledgers_is_named(succeeded):
    update(succeeded, charged_micros=1)
    assert "charged_is_not_captured" in names()


def test_a_failure_turned_into_a_success_is_named(failed):
    update(failed, status=Status.SUCCEEDED)
    assert "succeeded_without_capture" in names()


def test_a_success_turned_into_a_failure_is_named(succeeded):
    update(succeeded, status=Status.FAILED)
    assert {"captured_without_success", "charged_without_success"} <= names()


def test_a_job_ended_by_hand_keeps_an_open_hold_and_is_named(alice, submit):
    update(submit(alice), status=Status.CANCELED)
    assert names() == {"ended_with_open_hold"}


def test_a_finished_job_reopened_by_hand_is_named(failed):
    update(failed, status=Status.QUEUED)
    assert names() == {"unfinished_without_hold"}


def test_an_attempt_left_open_is_named(succeeded):
    Attempt.objects.update(outcome=Attempt.SENT)
    assert names() == {"ended_with_open_attempt"}


def test_a_draft_that_outlives_its_job_is_named(succeeded):
    attempt = succeeded.attempts.get()
    DraftPreview.objects.create(attempt=attempt, content=b"x", width=1, height=1, dominant_colour="#000000")
    assert names() == {"ended_with_draft_preview"}


def test_a_hold_without_its_job_is_named(alice, submit):
    submit(alice).delete()
    assert names() == {"hold_without_generation"}


def test_the_picture_of_somebody_else_is_named(succeeded, bob):
    image = succeeded.outputs.get().image
    image.owner = bob
    image.save()
    assert names() == {"picture_of_another_user"}


def test_a_transfer_with_a_changed_reference_is_named(succeeded, guards_off):
    with guards_off():
        Transfer.objects.filter(kind=Transfer.Kind.PENDING).update(reference="elsewhere")
    assert "hold_of_another_generation" in names()


def test_the_command_prints_each_violation_and_exits_with_1(succeeded, capsys):
    update(succeeded, charged_micros=1)
    with pytest.raises(SystemExit) as ended:
        call_command("verifyledger", "--json")
    assert ended.value.code == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is False
    assert "charged_is_not_captured" in {violation["name"] for violation in printed["violations"]}
