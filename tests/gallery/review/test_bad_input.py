"""What is wrong with a request to the review, from outside: a named error, and nothing has changed."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from gallery.models import Appeal, Notice, Review, ReviewStep, Statement
from gallery.review import owners
from tests.gallery.review.desk import decide, make_pending, make_picture, make_reviewer, review_of, state_of
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(ines):
    return client_with(make_key(ines, "read", "review", "publish"))


@pytest.fixture
def api(alice):
    return client_with(make_key(alice, "read", "publish"))


def post(client, address, body=None):
    return client.post(address, body or {}, content_type="application/json")


def verb_of(client, image, verb, **body):
    return post(client, f"/api/v1/review/{image.public_id}/{verb}", {"version": review_of(image).version, **body})


def standing():
    """All that must not have changed."""
    return (
        list(Review.objects.order_by("pk").values_list("pk", "version", "decision", "queued_at")),
        *(model.objects.count() for model in (ReviewStep, Statement, Appeal, Notice)),
    )


ILLEGAL = [
    ("pending", "undo", {}),
    ("escalated", "escalate", {}),
    ("approved", "approve", {}),
    ("approved", "reject", {"reason": "spam"}),
    ("approved", "escalate", {}),
    ("rejected", "approve", {}),
    ("rejected", "reject", {"reason": "spam"}),
    ("rejected", "escalate", {}),
    ("quarantined", "approve", {}),
    ("quarantined", "reject", {"reason": "spam"}),
    ("withdrawn", "approve", {}),
    ("withdrawn", "reject", {"reason": "spam"}),
]


@pytest.mark.parametrize(("state", "verb", "body"), ILLEGAL)
def test_what_must_not_follow_is_refused(alice, omar, desk, state, verb, body):
    image = make_pending(alice)
    match state:
        case "escalated":
            decide("escalate", omar, image)
        case "approved":
            decide("approve", omar, image)
        case "rejected":
            decide("reject", omar, image, reason="trademark")
        case "quarantined":
            decide("quarantine", omar, image, reason="csam")
            decide("quarantine", make_reviewer("kim"), image, reason="csam")
        case "withdrawn":
            owners.withdraw(owner=alice, public_id=image.public_id)
    before, where = standing(), state_of(image)
    answer = verb_of(desk, image, verb, **body)
    assert answer.status_code in (404, 409)
    assert answer.json()["code"] in ("not_found", "conflict")
    assert (standing(), state_of(image)) == (before, where)


@pytest.mark.parametrize("state", ["none", "pending", "approved"])
def test_there_is_no_appeal_where_nothing_was_refused(alice, omar, api, state):
    image = make_picture(alice) if state == "none" else make_pending(alice)
    if state == "approved":
        decide("approve", omar, image)
    before = standing()
    answer = post(api, f"/api/v1/images/{image.public_id}/appeal", {"text": "No."})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert standing() == before


def test_what_was_refused_is_not_asked_for_again(alice, omar, api):
    image = make_pending(alice)
    decide("reject", omar, image, reason="trademark")
    before = standing()
    answer = post(api, f"/api/v1/images/{image.public_id}/publish", {"visibility": "public"})
    assert (answer.status_code, answer.json()["remedy"]) == (409, "You can appeal once, on its page.")
    assert standing() == before


@pytest.mark.parametrize("version", [0, 2, 99])
@pytest.mark.parametrize(
    ("verb", "body"), [("approve", {}), ("reject", {"reason": "spam"}), ("escalate", {}), ("undo", {})]
)
def test_a_version_that_was_not_looked_at_decides_nothing(alice, desk, verb, body, version):
    image = make_pending(alice)
    before = standing()
    answer = verb_of(desk, image, verb, **body, version=version)
    assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (409, "conflict", 1)
    assert standing() == before


def test_nobody_approves_their_own_picture_by_any_door(ines, omar, desk):
    image = make_pending(ines)
    before = standing()
    for verb, body in (("claim", {}), ("approve", {}), ("reject", {"reason": "spam"}), ("escalate", {})):
        body = body if verb == "claim" else {"version": 1, **body}
        answer = post(desk, f"/api/v1/review/{image.public_id}/{verb}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "second_person_needed")
    body = {"verb": "approve", "items": [{"id": str(image.public_id), "version": 1}]}
    assert post(desk, "/api/v1/review", body).json()[0]["error"]["code"] == "second_person_needed"
    page = Client()
    page.force_login(ines)
    form = {"verb": "approve", "version": 1}
    assert page.post(f"/review/{image.public_id}/decide/", form).status_code == 403
    assert page.get(f"/review/{image.public_id}/").status_code == 403
    assert page.get("/review/", headers={"HX-Request": "true"}).status_code == 204
    assert standing() == before
    decide("approve", omar, image)


def test_a_claim_that_ran_out_decides_nothing_over_rest_and_on_the_page(alice, ines, omar, desk):
    image = make_pending(alice)
    address = f"/api/v1/review/{image.public_id}"
    assert post(desk, f"{address}/claim").status_code == 200
    Review.objects.filter(image=image).update(claimed_until=timezone.now() - timedelta(seconds=1))
    before = standing()
    answer = post(desk, f"{address}/approve", {"version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "claim_lost")
    page = Client()
    page.force_login(ines)
    form = {"verb": "approve", "version": 1}
    answer = page.post(f"/review/{image.public_id}/decide/", form, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.json()["code"]) == (409, "claim_lost")
    assert standing() == before
    other = client_with(make_key(omar, "read", "review"))
    assert post(other, f"{address}/approve", {"version": 1}).status_code == 200


@pytest.mark.parametrize(
    "items",
    [
        [{"id": str(uuid4()), "version": 1} for _ in range(201)],
        [],
        [{"id": "no id", "version": 1}],
        [{"id": str(uuid4())}],
        [{"id": str(uuid4()), "version": 1, "note": "x"}],
    ],
)
def test_a_bulk_that_cannot_be_is_refused_whole(alice, desk, items):
    image = make_pending(alice)
    before = standing()
    if len(items) == 201:
        items = [*items[:200], {"id": str(image.public_id), "version": 1}]
    answer = post(desk, "/api/v1/review", {"verb": "approve", "items": items})
    assert answer.status_code == 400
    assert answer.json()["errors"]
    assert standing() == before


@pytest.mark.parametrize(("text", "is_taken"), [("x" * 2001, False), ("x" * 2000, True), ("", False), (" \n ", False)])
def test_an_appeal_has_one_to_two_thousand_characters(alice, omar, api, text, is_taken):
    image = make_pending(alice)
    decide("reject", omar, image, reason="trademark")
    before = standing()
    answer = post(api, f"/api/v1/images/{image.public_id}/appeal", {"text": text})
    if is_taken:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "text")
    assert standing() == before
    page = Client()
    page.force_login(alice)
    answer = page.post(f"/images/{image.public_id}/appeal/", {"text": text})
    assert "an appeal has 1 to 2000" in " ".join(str(message) for message in get_messages(answer.wsgi_request))
    assert standing() == before


def test_a_cursor_of_another_list_is_refused_or_gives_nothing_away(alice, bob, desk, api):
    for owner in (alice, bob):
        for _ in range(3):
            make_pending(owner)
    following = api.get("/api/v1/images", {"limit": 1}).json()["next"]
    cursor = parse_qs(urlsplit(following).query)["cursor"][0]
    assert desk.get("/api/v1/review", {"cursor": cursor}).status_code == 400
    assert api.get("/api/v1/statements", {"cursor": cursor}).status_code == 400
    mine = parse_qs(urlsplit(desk.get("/api/v1/review", {"limit": 1}).json()["next"]).query)["cursor"][0]
    assert api.get("/api/v1/images", {"cursor": mine}).status_code == 400
    for broken in ("x", "%00", "=" * 9, cursor[:-3], "é" * 300):
        assert api.get("/api/v1/images", {"cursor": broken}).status_code == 400
        assert desk.get("/api/v1/review", {"cursor": broken}).status_code == 400
