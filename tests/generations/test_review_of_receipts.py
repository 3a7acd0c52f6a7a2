"""The receipt tells what the review decided, and what was refused is never given out once more."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from gallery import erasure, services
from gallery.models import Image, ReviewStep
from gallery.review import owners
from generations import receipts, reusing
from tests.gallery.review.desk import decide, make_reviewer
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"prompt": "a fox", "image_size": "1K", "reuse": "auto"}


@pytest.fixture
def ines(db):
    return make_reviewer("ines")


@pytest.fixture
def omar(db):
    return make_reviewer("omar")


@pytest.fixture
def api(alice):
    return client_with(make_key(alice))


@pytest.fixture
def job(alice, upstream, submit, work):
    return work(submit(alice))


@pytest.fixture
def picture(job, api):
    """A picture whose publication is asked for."""
    image = job.outputs.get().image
    address = f"/api/v1/images/{image.public_id}"
    assert api.patch(address, {"alt_text": "A fox."}, content_type="application/json").status_code == 200
    owners.request_publication(owner=image.owner, public_id=image.public_id, visibility="public")
    return image


def receipt(api, image):
    document = api.get(f"/api/v1/images/{image.public_id}/receipt").content
    told, is_genuine = receipts.is_genuine(document)
    assert is_genuine
    return told


def quote(api):
    answer = api.post("/api/v1/quotes", BODY, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def create(api):
    answer = api.post("/api/v1/generations", BODY, content_type="application/json")
    assert answer.status_code == 202, answer.content
    return answer.json()


# --- The receipt ------------------------------------------------------------------------------------


def test_a_picture_that_never_was_in_the_review_has_no_decision(api, job):
    assert receipt(api, job.outputs.get().image)["review"] == {"state": "none", "decision": None}


def test_the_signed_receipt_tells_the_decision_and_not_who_made_it(api, picture, ines, tmp_path):
    assert receipt(api, picture)["review"] == {"state": "pending", "decision": None}
    step = decide("reject", ines, picture, reason="trademark", note="CANARY note")
    told = receipt(api, picture)
    assert told["review"] == {
        "state": "rejected",
        "decision": {
            "version": step.version,
            "outcome": "rejected",
            "reason": "trademark",
            "reason_version": 1,
            "policy_version": 1,
            "is_automated": False,
            "decided_at": step.created_at.isoformat().replace("+00:00", "Z"),
        },
    }
    assert "CANARY" not in json.dumps(told)
    assert "ines" not in json.dumps(told).lower()
    assert str(ines.public_id) not in json.dumps(told)


def test_a_changed_decision_is_no_longer_signed(api, picture, ines):
    decide("reject", ines, picture, reason="trademark")
    document = api.get(f"/api/v1/images/{picture.public_id}/receipt").content
    assert not receipts.is_genuine(document.replace(b'"outcome": "rejected"', b'"outcome": "approved"'))[1]
    assert not receipts.is_genuine(document.replace(b'"reason": "trademark"', b'"reason": "spam"'))[1]


def test_it_can_be_verified_and_a_later_decision_is_no_disagreement(api, picture, ines, omar, tmp_path, guards_off):
    decide("reject", ines, picture, reason="trademark")
    path = tmp_path / "receipt.json"
    path.write_bytes(api.get(f"/api/v1/images/{picture.public_id}/receipt").content)
    owners.appeal(owner=picture.owner, public_id=picture.public_id, text="It is mine.")
    decide("reject", omar, picture)
    said = StringIO()
    call_command("verifyreceipt", str(path), stdout=said)
    with guards_off():
        ReviewStep.objects.filter(review__image=picture, verb="reject").update(to_status="approved")
    told, _ = receipts.is_genuine(path.read_bytes())
    assert receipts.disagreements(told) == ["The log of the review does not have the decision as the receipt tells it."]


def test_a_receipt_of_before_there_were_decisions_is_still_verified(api, job):
    told = receipt(api, job.outputs.get().image)
    del told["review"]
    old, is_genuine = receipts.is_genuine(receipts.sign(told))
    assert is_genuine
    assert receipts.disagreements(old) == []


# --- Reuse ------------------------------------------------------------------------------------------


def end(how, picture, ines, omar):
    match how:
        case "rejected":
            decide("reject", ines, picture, reason="trademark")
        case "appealed":
            decide("reject", ines, picture, reason="trademark")
            owners.appeal(owner=picture.owner, public_id=picture.public_id, text="It is mine.")
        case "quarantined":
            decide("quarantine", ines, picture, reason="csam")
            decide("quarantine", omar, picture, reason="csam")
        case "trashed" | "purged":
            services.trash_image(owner=picture.owner, public_id=picture.public_id)
            if how == "purged":
                erasure.purge_trashed(owner=picture.owner, public_id=picture.public_id)


@pytest.mark.parametrize("how", ["rejected", "appealed", "quarantined", "trashed", "purged"])
def test_what_was_refused_or_is_gone_is_never_given_out_again(api, job, picture, ines, omar, how):
    assert quote(api)["reuse"]["applied"], "until then it is"
    end(how, picture, ines, omar)  # between the quote and the wish
    made = create(api)
    assert (made["reused_from"], made["status"]) == (None, "queued")
    assert made["cost"]["held"] == "0.058000"
    assert str(picture.public_id) not in json.dumps(made["images"])


@pytest.mark.parametrize("how", ["rejected", "quarantined", "trashed", "purged"])
def test_nor_when_it_ends_while_the_wish_is_answered(api, job, picture, ines, omar, how, monkeypatch):
    find, calls = reusing.find_reusable, []

    def find_and_lose(**wish):
        found = find(**wish)
        if not calls:
            end(how, picture, ines, omar)
        calls.append(found)
        return found

    monkeypatch.setattr(reusing, "find_reusable", find_and_lose)
    made = create(api)
    assert calls[0] == job
    assert (made["reused_from"], made["cost"]["held"]) == (None, "0.058000")


def test_one_that_waits_or_was_withdrawn_is_its_owners_still_and_does_not_become_public(api, job, picture, ines):
    assert create(api)["reused_from"] == str(job.public_id)
    decide("approve", ines, picture)
    key = Image.objects.get(pk=picture.pk).publication_key
    owners.withdraw(owner=picture.owner, public_id=picture.public_id)
    assert create(api)["reused_from"] == str(job.public_id)
    image = Image.objects.get(pk=picture.pk)
    assert (image.is_public, image.publication_key) == (False, None)
    assert api.get(f"/p/{key}/640").status_code == 404
