"""What an owner reads and sends on the page of a picture: who can see it, why not, and what can be done."""

import re

import pytest
from django.test import Client

from tests.gallery.review.desk import decide, make_pending, make_picture, make_reviewer, state_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine(alice):
    client = Client()
    client.force_login(alice)
    return client


def page_of(client, image):
    html = client.get(f"/images/{image.public_id}/").content.decode()
    section = html[html.index("Who can see it") : html.index("Title and alt text")]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section))


def post(client, image, verb, **fields):
    answer = client.post(f"/images/{image.public_id}/{verb}/", fields, follow=True)
    return [str(message) for message in answer.context["messages"]]


def test_a_private_picture_can_be_published_and_withdrawn(alice, mine, ines):
    image = make_picture(alice)
    assert "Private Only you." in page_of(mine, image)
    assert post(mine, image, "publish", visibility="public") == [
        "Sent to a reviewer. Until it is approved only you can see it."
    ]
    assert "In review Waiting for a reviewer. Until then only you can see it." in page_of(mine, image)
    decide("approve", ines, image)
    assert "Public Everybody, in the gallery." in page_of(mine, image)
    assert post(mine, image, "withdraw") == ["Only you can see it now. Its address does not answer any more."]
    assert state_of(image) == ("approved", "private", False)


def test_without_alternative_text_the_page_says_what_is_missing(alice, mine):
    image = make_picture(alice, caption="")
    assert "first say what it shows" in page_of(mine, image)
    assert post(mine, image, "publish", visibility="public") == [
        "Say in a sentence what the picture shows, for those who cannot see it."
    ]
    assert state_of(image) == ("none", "private", False)


def test_the_form_changes_the_words_the_prompt_and_the_visibility_together(alice, mine, ines):
    image = make_picture(alice, caption="")
    assert mine.get(f"/images/{image.public_id}/publish/").status_code == 200
    form = {"visibility": "public", "alt_text": "A blue disc.", "discloses_prompt": ["0", "1"]}
    assert post(mine, image, "publish", **form) == ["Sent to a reviewer. Until it is approved only you can see it."]
    decide("approve", ines, image)
    image.refresh_from_db()
    assert (image.alt_text, image.discloses_prompt, image.is_public) == ("A blue disc.", True, True)
    key = image.publication_key
    assert post(mine, image, "publish", visibility="unlisted", discloses_prompt="0") == [
        "Whoever has its address can see it now."
    ]
    image.refresh_from_db()
    assert (image.visibility, image.discloses_prompt) == ("unlisted", False)
    assert image.publication_key == key
    assert post(mine, image, "publish", visibility="unlisted", alt_text=" ") == [
        "Say in a sentence what the picture shows, for those who cannot see it."
    ]
    image.refresh_from_db()
    assert image.alt_text == "A blue disc."
    assert post(mine, image, "publish", visibility="private", alt_text="") == ["Only you can see it now."]
    assert state_of(image) == ("none", "private", False)  # the words that were approved are gone


def test_a_refusal_is_explained_and_can_be_appealed_once(alice, mine, ines, omar):
    image = make_pending(alice)
    decide("reject", ines, image, reason="trademark", note="Remove the sign.")
    page = page_of(mine, image)
    for words in (
        "Not published: brand or trademark.",
        "The picture shows a brand, a trademark or somebody else&#x27;s work.",
        "The reviewer wrote: &quot;Remove the sign.&quot;",
        "Terms of use: rights of others, version 1",
        "The decision does not change what the picture cost: it was charged for being made.",
        "Once, until",
    ):
        assert words in page
    assert "Ines" not in page
    assert post(mine, image, "appeal", text=" ") == ["Nothing is written; an appeal has 1 to 2000."]
    assert post(mine, image, "appeal", text="It is mine.") == ["Sent. Another person will look at it."]
    assert "Appealed Another person looks at your appeal." in page_of(mine, image)
    decide("reject", omar, image, note="It is not.")
    page = page_of(mine, image)
    assert "You appealed, and another person has decided the same. They wrote: &quot;It is not.&quot;" in page
    assert "Send the appeal" not in page
    assert "You have appealed already" in post(mine, image, "appeal", text="Again.")[0]


def test_an_appeal_that_was_won_is_told(alice, mine, ines, omar):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    post(mine, image, "appeal", text="It is no advertisement.")
    decide("approve", omar, image)
    decide("approve", make_reviewer("kim"), image)
    page = page_of(mine, image)
    assert "Public Everybody, in the gallery." in page
    assert "You appealed, and another person has decided for you." in page


def test_what_is_shut_away_is_told_without_a_way_to_appeal(alice, mine, ines, omar):
    image = make_pending(alice)
    decide("quarantine", ines, image, reason="csam")
    assert "In review" in page_of(mine, image)
    decide("quarantine", omar, image, reason="csam")
    page = page_of(mine, image)
    assert "Nobody but the reviewers can see it, not even you." in page
    assert "Send the appeal" not in page


def test_other_people_find_nothing(alice, bob, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    client = Client()
    client.force_login(bob)
    for verb in ("publish", "withdraw", "appeal"):
        answer = client.post(f"/images/{image.public_id}/{verb}/", {"visibility": "public", "text": "Mine."})
        assert answer.status_code == 404
    assert state_of(image) == ("rejected", "public", False)


def test_the_library_names_the_state_on_the_tile(alice, mine, ines):
    refused, _, public = make_pending(alice), make_pending(alice), make_pending(alice)
    make_picture(alice)
    decide("reject", ines, refused, reason="spam")
    decide("approve", ines, public)
    html = mine.get("/library/").content.decode()
    assert re.findall(r'pic-state">([^<]+)<', html) == ["Public", "In review", "Not published"]
