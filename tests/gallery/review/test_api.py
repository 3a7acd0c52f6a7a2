"""The review over REST: who may call it, what it takes, and what it answers."""

import pytest

from gallery.models import Report, ReviewStep, Statement
from gallery.review import owners
from tests.gallery.review.desk import decide, make_pending, make_picture, make_reviewer, review_of, state_of
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(ines):
    return client_with(make_key(ines, "read", "review"))


@pytest.fixture
def api(alice):
    return client_with(make_key(alice, "read", "publish"))


def post(client, image, verb, body=None, kind="review"):
    address = f"/api/v1/{kind}/{image.public_id}/{verb}"
    return client.post(address, body if body is not None else {}, content_type="application/json")


def test_an_owner_publishes_and_withdraws(api, alice):
    image = make_picture(alice)
    answer = post(api, image, "publish", {"visibility": "public"}, "images")
    assert (answer.status_code, answer.json()["visibility"], answer.json()["review_status"]) == (
        200,
        "public",
        "pending",
    )
    answer = post(api, image, "withdraw", kind="images")
    assert (answer.json()["visibility"], answer.json()["review_status"]) == ("private", "none")


@pytest.mark.parametrize("body", [{}, {"visibility": "private"}, {"visibility": "public", "when": "now"}])
def test_a_wrong_request_is_refused_by_name(api, alice, body):
    image = make_picture(alice)
    answer = post(api, image, "publish", body, "images")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == ("when" if "when" in body else "visibility")
    assert state_of(image) == ("none", "private", False)


def test_a_picture_without_alternative_text_names_the_field(api, alice):
    image = make_picture(alice, caption="")
    answer = post(api, image, "publish", {"visibility": "public"}, "images")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "alt_text")


def test_publishing_needs_its_scope_and_the_picture(alice, bob, api):
    image = make_picture(alice)
    reading = client_with(make_key(alice, "read", "generate"))
    for verb, body in (("publish", {"visibility": "public"}), ("withdraw", {}), ("appeal", {"text": "No."})):
        assert post(reading, image, verb, body, "images").status_code == 403
        assert post(client_with(make_key(bob)), image, verb, body, "images").status_code == 404
    assert state_of(image) == ("none", "private", False)


def test_the_queue_is_for_reviewers_with_the_scope(alice, ines, desk, api):
    image = make_pending(alice, visibility="unlisted")
    answer = desk.get("/api/v1/review").json()["results"]
    assert [each["id"] for each in answer] == [str(image.public_id)]
    assert (answer[0]["version"], answer[0]["source"], answer[0]["visibility"]) == (1, "request", "unlisted")
    assert "alice" not in str(answer)
    assert desk.get("/api/v1/review", {"source": "appeal"}).json()["results"] == []
    assert api.get("/api/v1/review").status_code == 403
    assert client_with(make_key(ines, "read")).get("/api/v1/review").status_code == 403
    ines.groups.clear()
    assert desk.get("/api/v1/review").status_code == 403
    assert post(desk, image, "approve", {"version": 1}).status_code == 403
    assert state_of(image)[0] == "pending"


def test_a_reviewer_claims_decides_and_takes_back(alice, ines, desk):
    image = make_pending(alice)
    assert post(desk, image, "claim").json()["claimed_until"]
    answer = post(desk, image, "approve", {"version": 1, "note": "Fine."})
    assert (answer.status_code, answer.json()["review_status"], answer.json()["version"]) == (200, "approved", 2)
    assert post(desk, image, "undo", {"version": 2}).json()["review_status"] == "pending"
    assert post(desk, image, "escalate", {"version": 3}).json()["review_status"] == "escalated"
    assert ReviewStep.objects.filter(actor=ines).count() == 3
    assert post(desk, image, "reject", {"version": 4, "reason": "spam"}).json()["review_status"] == "rejected"


def test_the_slower_one_gets_409_with_who_decided(alice, desk):
    image = make_pending(alice)
    decide("reject", make_reviewer("omar"), image, reason="spam")
    answer = post(desk, image, "approve", {"version": 1})
    body = answer.json()
    assert (answer.status_code, body["code"], body["decided_by"], body["version"]) == (409, "conflict", "Omar", 2)
    assert body["review_status"] == "rejected"


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("approve", {}, "version"),
        ("approve", {"version": 1, "reason": "spam"}, "reason"),
        ("approve", {"version": 1, "note": "x" * 501}, "note"),
        ("reject", {"version": 1}, "reason"),
        ("reject", {"version": 1, "reason": "ugly"}, "reason"),
        ("undo", {"version": -1}, "version"),
        ("claim", {"steal": True}, "steal"),
    ],
)
def test_what_is_wrong_with_a_decision_is_named(alice, desk, verb, body, field):
    image = make_pending(alice)
    answer = post(desk, image, verb, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert state_of(image)[0] == "pending"


def test_ones_own_picture_and_a_second_time_are_forbidden(alice, ines, desk):
    own = make_pending(ines)
    answer = post(desk, own, "approve", {"version": 1})
    assert (answer.status_code, answer.json()["code"]) == (403, "second_person_needed")
    assert state_of(own)[0] == "pending"
    assert desk.get("/api/v1/review").json()["results"] == []


def test_many_at_once_tell_of_each(alice, desk):
    images = [make_pending(alice) for _ in range(2)]
    decide("approve", make_reviewer("omar"), images[0])
    body = {"verb": "approve", "items": [{"id": str(image.public_id), "version": 1} for image in images]}
    first, second = desk.post("/api/v1/review", body, content_type="application/json").json()
    assert (first["review_status"], first["error"]["code"], first["error"]["decided_by"]) == (None, "conflict", "Omar")
    assert (second["review_status"], second["version"], second["error"]) == ("approved", 2, None)
    body["items"] *= 101
    answer = desk.post("/api/v1/review", body, content_type="application/json")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "items")


def test_a_viewer_reports_a_public_picture(alice, bob, ines):
    image = make_pending(alice)
    viewer = client_with(make_key(bob, "read"))
    assert post(viewer, image, "report", {"reason": "hate"}, "images").status_code == 404
    decide("approve", ines, image)
    assert post(viewer, image, "report", {"reason": "hate", "note": "Look."}, "images").status_code == 204
    assert Report.objects.get().reason.code == "hate"
    answer = post(viewer, image, "report", {"reason": "ugly"}, "images")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "reason")


def test_an_owner_appeals_once(api, alice, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="trademark")
    answer = post(api, image, "appeal", {"text": "x" * 2001}, "images")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "text")
    assert post(api, image, "appeal", {"text": "It is mine."}, "images").json()["review_status"] == "appealed"
    assert post(api, image, "appeal", {"text": "Again."}, "images").status_code == 409


def test_statements_have_the_names_of_the_dsa_database(api, alice, bob, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="trademark", note="Remove the sign.")
    (body,) = api.get("/api/v1/statements").json()["results"]
    assert (body["image"], body["reason"], body["policy_version"], body["is_in_force"]) == (
        str(image.public_id),
        "trademark",
        1,
        True,
    )
    assert body["appealable_until"]
    assert body["money"] == "The decision does not change what the picture cost: it was charged for being made."
    assert body["dsa"] == {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": "Terms of use: rights of others",
        "incompatible_content_explanation": "The picture shows a brand, a trademark or somebody else's work.",
        "incompatible_content_illegal": "No",
        "category": "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        "content_type": ["CONTENT_TYPE_SYNTHETIC_MEDIA"],
        "content_date": f"{image.created_at:%Y-%m-%d}",
        "application_date": f"{Statement.objects.get().created_at:%Y-%m-%d}",
        "decision_facts": Statement.objects.get().facts,
        "source_type": "SOURCE_VOLUNTARY",
        "automated_detection": "No",
        "automated_decision": "AUTOMATED_DECISION_NOT_AUTOMATED",
        "puid": f"{image.public_id}-2",
    }
    assert client_with(make_key(bob)).get("/api/v1/statements").json()["results"] == []
    owners.appeal(owner=alice, public_id=image.public_id, text="It is mine.")
    (body,) = api.get("/api/v1/statements").json()["results"]
    assert (body["is_in_force"], body["appealable_until"]) == (True, None)
    decide("reject", make_reviewer("omar"), image)
    assert api.get("/api/v1/statements").json()["results"][0]["is_in_force"] is True
    assert review_of(image).decision.from_status == "appealed"


def test_a_decision_that_was_taken_back_was_never_told(api, alice, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    decide("undo", ines, image)
    assert api.get("/api/v1/statements").json()["results"] == []
