"""The page of one picture: what was asked and came, its receipt, its neighbours, and who may see it."""

from http import HTTPStatus

import pytest
from django.test import Client

from gallery import services as gallery
from gallery.models import Image
from generations.spec import GenerationSpec
from tests.gallery.pictures import with_c2pa
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def make(alice, submit, work, upstream):
    """A picture of Alice, made by a job as every other one."""

    def make_one(prompt="A fox", *, says=None, **wish):
        if says:
            upstream.says(*says)
        else:
            upstream.says(reply(picture(png(size=(1024, 1024)))))
        spec = GenerationSpec.parse({"prompt": prompt, **wish}, default_image_size="1K")
        generation = work(submit(alice, wish=spec))
        return Image.objects.get(output__generation=generation)

    return make_one


def page_of(browser, image):
    answer = browser.get(f"/images/{image.public_id}/")
    assert answer.status_code == HTTPStatus.OK
    return answer


def row(answer, name):
    found = next(row for row in answer.context["rows"] if row.name == name)
    return found.asked, found.received, found.holds


def test_the_picture_its_prompt_and_what_may_be_done_with_it(browser, make):
    image = make("A fox <script>alert(1)</script>")
    page = page_of(browser, image).content.decode()
    address = f"/api/v1/images/{image.public_id}/file"
    assert '<h1 dir="auto" id="prompt">A fox &lt;script&gt;alert(1)&lt;/script&gt;</h1>' in page
    assert f'srcset="{address}?variant=640 640w, {address}?variant=1280 1024w"' in page
    assert 'width="1024" height="1024"' in page
    assert f'href="/studio/?again={image.source_reference}&amp;parent={image.public_id}"' in page
    for query in ("download=1", "download=1&amp;format=jpeg", "download=1&amp;format=webp"):
        assert f'href="{address}?{query}"' in page
    assert "format=png" not in page  # it is one already
    assert f'action="/images/{image.public_id}/trash/"' in page
    assert "AI generated. The original carries no content credentials" in page


def test_what_came_as_asked_is_said(browser, make):
    answer = page_of(browser, make(aspect_ratio="1:1", image_size="1K"))
    assert row(answer, "Model") == ("Nano Banana 2", "gemini-3.1-flash-image-preview", None)
    assert row(answer, "Shape") == ("1:1", "1:1", True)
    assert row(answer, "Size") == ("1K", "1024 × 1024", True)
    assert row(answer, "File")[1].startswith("PNG, ")
    assert row(answer, "Caption") == ("No", "None", None)
    assert 'class="off"' not in answer.content.decode()


def test_what_differs_is_amber(browser, make):
    wish = {"aspect_ratio": "3:2", "image_size": "2K", "modalities": ["TEXT", "IMAGE"]}
    answer = page_of(browser, make(says=[reply(picture(png(size=(700, 300))))], **wish))
    assert row(answer, "Shape") == ("3:2", "21:9", False)
    assert row(answer, "Size") == ("2K", "700 × 300", False)
    assert row(answer, "Caption") == ("Yes", "None", False)
    assert answer.content.decode().count('class="off"') == 3


def test_the_receipt_tells_cost_attempts_requests_and_every_movement_of_money(browser, make):
    image = make(says=[error(503, "UNAVAILABLE"), reply(picture(with_c2pa(png(size=(1024, 1024)))))])
    answer = page_of(browser, image)
    generation = image.output.generation
    assert [attempt.outcome for attempt in answer.context["attempts"]] == ["unavailable", "ok"]
    assert [(move.code, move.amount_micros) for move in answer.context["moves"]] == [
        ("hold", 58_000),
        ("capture", 58_000),
    ]
    assert answer.context["timing"].total >= answer.context["timing"].queue >= 0
    page = answer.content.decode()
    for fact in (
        "$0.058",
        "HTTP 503",
        str(generation.public_id),
        str(generation.hold.pk),
        image.blob.sha256,
        "The original carries content credentials (C2PA).",
    ):
        assert fact in page


def test_a_prompt_of_4000_characters_is_there_whole_and_no_heading(browser, make):
    prompt = ("word " * 800).strip()
    answer = page_of(browser, make(prompt))
    page = answer.content.decode()
    assert f">{prompt}</p>" in page
    assert len(answer.context["heading"]) <= 260
    assert len(page.encode()) <= 50_000


def test_a_title_becomes_the_heading_and_the_prompt_stays(browser, make, alice):
    image = make("A fox in snow")
    gallery.edit_image(owner=alice, public_id=image.public_id, title="Reynard", alt_text="A red fox")
    page = page_of(browser, image).content.decode()
    assert '<h1 dir="auto">Reynard</h1>' in page
    assert ">A fox in snow</p>" in page
    assert 'alt="A red fox"' in page


def test_neighbours_are_those_of_the_library(browser, make, alice, bob):
    newest_first = [make(f"Number {number}") for number in range(5)][::-1]
    add_image_of_bob = make_foreign(bob, newest_first[0])
    gallery.trash_image(owner=alice, public_id=newest_first[1].public_id)
    answer = page_of(browser, newest_first[2])
    assert [tile.id for tile in answer.context["newer"]] == [newest_first[0].public_id]
    assert [tile.id for tile in answer.context["older"]] == [image.public_id for image in newest_first[3:]]
    page = answer.content.decode()
    assert f'href="/images/{newest_first[0].public_id}/" rel="prev" data-key="arrowleft"' in page
    assert f'href="/images/{newest_first[3].public_id}/" rel="next" data-key="arrowright"' in page
    assert str(add_image_of_bob.public_id) not in page


def make_foreign(owner, like):
    return Image.objects.create(owner=owner, blob=like.blob, prompt="Not yours")


def test_in_the_trash_it_can_be_restored_and_the_money_is_still_told(browser, make, alice):
    image = make()
    gallery.trash_image(owner=alice, public_id=image.public_id)
    page = page_of(browser, image).content.decode()
    assert "This picture is in the trash" in page
    assert f'action="/images/{image.public_id}/restore/"' in page
    assert f'action="/images/{image.public_id}/trash/"' not in page
    assert "$0.058" in page
    body = browser.get(f"/api/v1/generations/{image.output.generation.public_id}").json()
    assert body["cost"]["charged"] == "0.058000"
    assert [each["trashed_at"] is None for each in body["images"]] == [False]


def test_a_picture_without_a_job_has_a_page_too(browser, alice, make):
    image = Image.objects.create(owner=alice, blob=make().blob, prompt="A fox & a hen", model="model-x")
    answer = page_of(browser, image)
    assert 'href="/studio/?prompt=A+fox+%26+a+hen&amp;model=model-x' in answer.content.decode()
    assert "generation" not in answer.context


def test_it_is_for_its_owner_alone(make, bob, staff, stranger):
    image = make("A secret fox")
    for person in (bob, staff):
        visitor = Client()
        visitor.force_login(person)
        answer = visitor.get(f"/images/{image.public_id}/")
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "secret" not in answer.content.decode()
    answer = stranger.get(f"/images/{image.public_id}/")
    assert answer["Location"] == f"/accounts/login/?next=/images/{image.public_id}/"


def test_it_costs_seven_queries_with_or_without_neighbours(browser, make, django_assert_num_queries):
    image = make()
    page_of(browser, image)
    with django_assert_num_queries(7):
        page_of(browser, image)
    make()
    make()
    with django_assert_num_queries(7):
        page_of(browser, image)


# --- Its family ----------------------------------------------------------------------------------


def test_it_shows_the_others_of_its_wish_but_for_those_in_the_trash(browser, alice, submit, work, upstream):
    upstream.says(*(reply(picture(png(size=(1024, 1024), colour=colour))) for colour in ("red", "blue", "green")))
    generation = work(
        submit(alice, wish=GenerationSpec.parse({"prompt": "A fox", "count": 3}, default_image_size="1K"))
    )
    first, second, third = (output.image for output in generation.outputs.order_by("index"))
    answer = page_of(browser, first)
    assert [each.tile.id for each in answer.context["variations"]] == [second.public_id, third.public_id]
    gallery.trash_image(owner=alice, public_id=second.public_id)
    answer = page_of(browser, first)
    assert [each.tile.id for each in answer.context["variations"]] == [third.public_id]
    assert "From the same wish" in answer.content.decode()


def test_the_same_wish_is_offered_in_each_larger_size_and_the_studio_has_its_price(browser, make):
    image = make(image_size="1K", aspect_ratio="3:2")
    answer = page_of(browser, image)
    assert [size for size, _ in answer.context["larger"]] == ["2K", "4K"]
    address = answer.context["larger"][1][1]
    assert address == f"/studio/?again={image.source_reference}&parent={image.public_id}&count=1&image_size=4K"
    composer = browser.get(address).context["composer"]
    assert (composer.prompt, composer.image_size, composer.aspect_ratio, composer.count) == ("A fox", "4K", "3:2", "1")
    assert page_of(browser, make(image_size="4K")).context["larger"] == []


def test_a_favourite_is_made_on_its_page(browser, make):
    image = make()
    page = f"/images/{image.public_id}/"
    answer = browser.post("/library/actions/", {"action": "favourite", "ids": [str(image.public_id)], "next": page})
    assert answer["Location"] == page
    assert 'value="unfavourite" aria-pressed="true"' in page_of(browser, image).content.decode()
