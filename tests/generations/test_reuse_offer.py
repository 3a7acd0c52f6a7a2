"""The composer says when a wish was made before, before money is spent again."""

import pytest

from gallery import services as gallery
from generations.models import Generation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def offer(client, alice):
    client.force_login(alice)

    def ask(prompt="a fox", **fields):
        body = {"prompt": prompt, "aspect_ratio": "1:1", "image_size": "1K", "modalities": "IMAGE", "count": "1"}
        return client.post("/studio/offer/", {**body, **fields}).content.decode().strip()

    return ask


def test_nothing_is_said_of_a_new_wish(offer):
    assert offer() == ""


@pytest.mark.parametrize("prompt", ["a fox", " a   fox\n", "A Fox"])
def test_the_same_wish_is_told_with_a_link_to_its_pictures(prompt, alice, upstream, submit, work, offer, money):
    generation = work(submit(alice))
    before = money(alice)
    said = offer(prompt)
    assert "You made exactly this" in said
    assert f'href="/generations/{generation.public_id}/"' in said
    assert "Using the earlier picture</a> is free" in said
    assert money(alice) == before
    assert Generation.objects.count() == 1


@pytest.mark.parametrize("change", [{"prompt": "a vixen"}, {"aspect_ratio": "3:2"}, {"image_size": "2K"}])
def test_another_wish_is_another_wish(change, alice, upstream, submit, work, offer):
    work(submit(alice))
    assert offer(**change) == ""


def test_a_wish_that_is_being_made_is_told_as_such(alice, submit, offer):
    submit(alice)
    assert "right now" in offer()


def test_what_is_in_the_trash_is_not_offered(alice, upstream, submit, work, offer):
    generation = work(submit(alice))
    gallery.trash_image(owner=alice, public_id=generation.outputs.get().image.public_id)
    assert offer() == ""


def test_what_others_made_is_not_offered(bob, upstream, submit, work, offer):
    work(submit(bob))
    assert offer() == ""


@pytest.mark.parametrize("fields", [{"prompt": ""}, {"prompt": "x" * 5000}, {"image_size": "9K"}, {"count": "many"}])
def test_a_wish_that_is_not_finished_is_no_error(fields, offer):
    assert offer(**fields) == ""


def test_looking_needs_a_post_and_a_person(client):
    assert client.post("/studio/offer/").status_code in (302, 303)
    assert client.get("/studio/offer/").status_code in (302, 405)
