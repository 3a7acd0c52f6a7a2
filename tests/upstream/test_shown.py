"""Every kind of result, once each, as its owner sees it: in the studio, over REST, and in the library."""

import base64
import re

import pytest
from django.test import Client

from accounts import ledger
from generations.audit import audit
from tests.people import client_with
from tests.upstream import chat, native
from tests.upstream.pictures import clip, gif, png

pytestmark = pytest.mark.django_db(transaction=True)

CUT = png(64, 64)[:-60]
SIGNATURE = base64.b64encode(b"signed by the model").decode()


@pytest.fixture
def seen(alice, alice_key):
    """What the three doors show of a generation: its card, its resource, and the ids of the library's tiles."""
    browser, rest = Client(), client_with(alice_key)
    browser.force_login(alice)

    def look(generation):
        studio = browser.get("/studio/").content.decode()
        card = re.search(rf'<article[^>]*id="run-{generation.public_id}".*?</article>', studio, re.DOTALL)[0]
        resource = rest.get(f"/api/v1/generations/{generation.public_id}").json()
        library = browser.get("/library/").content.decode()
        for image in resource["images"]:
            assert f"/images/{image['id']}/" in card
            assert f'id="t-{image["id"]}"' in library
            answer = rest.get(f"/api/v1/images/{image['id']}/file")
            assert (answer.status_code, answer["Content-Type"]) == (200, image["mime_type"])
        return card, resource, library

    yield look
    assert audit() == []


@pytest.mark.parametrize(
    ("data", "mime_type"), [(clip(width=128, height=72), "video/mp4"), (gif(64, 36), "image/gif")], ids=["mp4", "gif"]
)
def test_a_clip(data, mime_type, served_by, make, seen):
    served_by("chat").answers(chat.by_json(chat.picture(data, mime_type)))
    card, resource, library = seen(make(kind="video", aspect_ratio="16:9"))
    [image] = resource["images"]
    assert (resource["kind"], image["kind"], image["mime_type"]) == ("video", "video", mime_type)
    assert image["duration_ms"] >= 1900
    assert f'data-clip="/api/v1/images/{image["id"]}/file"' in library
    # A film has the browser's own controls; an animated picture is put in place of its poster.
    player = "<video" if mime_type == "video/mp4" else "data-clip="
    assert re.search(rf"{player}[^>]*/api/v1/images/{image['id']}/file", card)


def test_three_variants_of_which_one_is_corrupt(alice, served_by, make, seen):
    good = [native.answer(native.picture(png(colour=(shade, 0, 0)))) for shade in (10, 20)]
    served_by("native").answers(*good, native.answer(native.picture(b"<html>no picture</html>")))
    card, resource, _ = seen(make(count=3))
    assert (resource["status"], len(resource["images"])) == ("succeeded", 2)
    assert sorted(attempt["outcome"] for attempt in resource["attempts"]) == ["not_an_image", "ok", "ok"]
    assert resource["cost"]["charged"] == "0.116000"
    assert "2 of 3" in card
    assert ledger.balance_of(alice).held == 0


def test_a_grounded_one_that_was_thought_about(served_by, make, seen):
    served_by("native").answers(
        native.answer(
            native.text("I compose.", thought=True),
            native.picture(png(colour=(9, 9, 9)), thought=True),
            native.picture(png()),
            groundingMetadata=native.grounding("<div>search</div>", query="a tower"),
        )
    )
    card, resource, library = seen(make(grounding=True, thinking="high", include_thoughts=True))
    assert resource["thoughts"] == "I compose."
    assert resource["grounding"]["queries"] == ["a tower"]
    [draft], [image] = resource["drafts"], resource["images"]
    assert "I compose." in card
    assert draft["id"] in card
    assert re.search(r'<iframe[^>]*sandbox[^>]*title="Search suggestions"', card)
    assert resource["grounding"]["sources"][0]["title"] in card
    assert draft["id"] not in library
    assert image["id"] in library


def test_one_that_was_worked_on_with_a_reference_beside_it(alice, served_by, make, seen):
    upstream = served_by("native")
    upstream.answers(native.answer(native.picture(png(colour=(1, 2, 3)), thoughtSignature=SIGNATURE)))
    first, second = (str(make().outputs.get().image.public_id) for _ in range(2))
    upstream.answers(native.answer(native.picture(png())))
    generation = make(edit_of=first, references=[second])
    _, resource, library = seen(generation)
    assert (resource["parameters"]["edit_of"], resource["parameters"]["references"]) == (first, [second])
    assert [turn["role"] for turn in upstream.requests[-1].json["contents"]] == ["user", "model", "user"]
    browser = Client()
    browser.force_login(alice)
    page = browser.get(f"/images/{resource['images'][0]['id']}/").content.decode()
    made_from = re.search(r'<section class="lineage".*?</section>', page, re.DOTALL)[0]
    assert f"/images/{first}/" in made_from
    assert f"/images/{second}/" in made_from
    assert len(re.findall(r'<li class="tile"', library)) == 3
