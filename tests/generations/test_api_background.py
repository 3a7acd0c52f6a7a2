"""GET generations/{id}: several pictures, thoughts and drafts, and what a search brought."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gallery.models import Image
from generations.models import Evidence
from generations.spec import GenerationSpec
from tests import people
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

GROUNDING = {
    "webSearchQueries": ["height of a fox"],
    "imageSearchQueries": ["fox"],
    "groundingChunks": [
        {"web": {"uri": "https://example.org/fox", "title": "<b>Foxes</b>", "domain": "example.org"}},
        {"web": {"uri": "javascript:alert(1)", "title": "no page"}},
        {"web": {"uri": "https://example.org/fox", "title": "again"}},
    ],
    "searchEntryPoint": {"renderedContent": "<div>secret of the search entry</div>"},
}


@pytest.fixture
def client(alice_key):
    return people.client_with(alice_key)


@pytest.fixture
def made(alice, upstream, submit, work, client):
    """The body of a wish that has been worked on."""

    def make(**fields):
        wish = GenerationSpec.parse({"prompt": "a fox", **fields}, default_image_size="1K")
        generation = work(submit(alice, wish=wish))
        return client.get(f"/api/v1/generations/{generation.public_id}").json()

    return make


def test_each_call_names_its_picture_and_what_came_is_what_is_charged(upstream, made):
    upstream.says(reply(picture(png("red"))), error(400, "INVALID_ARGUMENT"), reply(picture(png("blue"))))
    body = made(count=3)
    assert body["parameters"]["count"] == 3
    assert sorted(attempt["slot"] for attempt in body["attempts"]) == [0, 1, 2]
    assert len(body["images"]) == 2
    assert body["cost"] == {"quoted": "0.174000", "held": "0.000000", "charged": "0.116000", "currency": "USD"}
    assert (body["status"], body["error"]) == ("succeeded", None)


def test_thoughts_and_drafts_come_when_they_were_asked_for(alice, upstream, made, client):
    thinking = [{"text": "First a fox. ", "thought": True}, picture(png("grey"), thought=True)]
    upstream.says(reply(*thinking, picture(png("red"))))
    body = made(thinking="high", include_thoughts=True)
    assert body["thoughts"] == "First a fox. "
    assert [image["kind"] for image in body["images"]] == ["image"]
    assert [image["kind"] for image in body["drafts"]] == ["draft"]
    assert body["cost"]["charged"] == "0.058000"
    draft = body["drafts"][0]["id"]
    assert client.get(f"/api/v1/images/{draft}").status_code == 200
    assert [image["id"] for image in client.get("/api/v1/images").json()["results"]] == [body["images"][0]["id"]]


def test_thoughts_that_nobody_asked_for_are_not_told(upstream, made):
    upstream.says(reply({"text": "hm", "thought": True}, picture(png("grey"), thought=True), picture(png("red"))))
    body = made()
    assert (body["thoughts"], body["drafts"]) == (None, [])


def test_a_draft_is_in_no_list_and_its_owners_alone(alice, bob, upstream, made):
    upstream.says(reply(picture(png("grey"), thought=True), picture(png("red"))))
    draft = made(include_thoughts=True)["drafts"][0]["id"]
    assert Image.objects.owned_by(alice).listed().count() == 1
    assert people.client_with(people.make_key(bob)).get(f"/api/v1/images/{draft}").status_code == 404


def test_what_a_search_brought_is_told_without_its_search_entry(upstream, made):
    upstream.says(reply(picture(), groundingMetadata=GROUNDING))
    body = made(grounding=True)
    assert body["grounding"] == {
        "queries": ["height of a fox", "fox"],
        "sources": [{"uri": "https://example.org/fox", "title": "<b>Foxes</b>", "domain": "example.org"}],
    }
    assert "secret of the search entry" not in str(body)
    assert Evidence.objects.get().rendered_content == "<div>secret of the search entry</div>"


def test_without_a_search_there_is_no_grounding(made, upstream):
    assert made()["grounding"] is None


def test_a_list_costs_the_same_however_much_is_in_it(upstream, made, client):
    upstream.says(reply(picture(png("grey"), thought=True), picture(), groundingMetadata=GROUNDING))
    made(include_thoughts=True, grounding=True)
    with CaptureQueriesContext(connection) as one:
        client.get("/api/v1/generations")
    for _ in range(3):
        made(include_thoughts=True, grounding=True, count=2)
    with CaptureQueriesContext(connection) as four:
        assert len(client.get("/api/v1/generations").json()["results"]) == 4
    assert len(four) == len(one)
