"""A wish is begun from an earlier one: who may say so, what is kept of it, and the family on the page of a picture."""

import pkgutil
from http import HTTPStatus
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts import ledger
from accounts.errors import InvalidInput
from gallery import erasure
from gallery import services as gallery
from gallery.models import Image
from generations import migrations, services
from generations.models import Generation
from generations.spec import GenerationSpec
from generations.views.family import NEAR_RUNS, SHOWN
from tests import people
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make(alice, work, upstream):
    """One generation of a person that has its pictures, begun from whatever is named."""

    def make_one(prompt="A fox", *, owner=alice, parent=None, **wish):
        count = wish.get("count", 1)
        upstream.says(*(reply(picture(png(size=(1024, 1024)))) for _ in range(count)))
        spec = GenerationSpec.parse({"prompt": prompt, **wish}, default_image_size="1K")
        return work(services.submit(user=owner, spec=spec, source="rest", parent=parent).generation)

    return make_one


@pytest.fixture
def api(alice_key):
    return people.client_with(alice_key)


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


def picture_of(generation, index=0):
    return Image.objects.get(output__generation=generation, output__index=index)


def page_of(browser, image):
    answer = browser.get(f"/images/{image.public_id}/")
    assert answer.status_code == HTTPStatus.OK
    return answer


def shown(members):
    return [(member.tile.id, member.role, member.size, member.cost) for member in members]


# --- What is kept --------------------------------------------------------------------------------


def test_a_wish_remembers_the_generation_or_the_picture_that_it_was_begun_from(make):
    first = make(count=2)
    by_run = make("A fox, blue", parent=first.public_id)
    by_picture = make("A fox, red", parent=picture_of(first, 1).public_id)
    further = make("A fox, redder", parent=picture_of(by_picture).public_id)
    assert (first.parent, first.parent_image, first.family) == (None, None, None)
    assert (by_run.parent, by_run.parent_image, by_run.family) == (first, None, first)
    assert (by_picture.parent, by_picture.parent_image, by_picture.family) == (first, picture_of(first, 1), first)
    assert (further.parent, further.parent_image, further.family) == (by_picture, picture_of(by_picture), first)


def test_working_on_a_picture_is_to_begin_from_it(make, alice):
    first = make()
    other = make("A hen")
    edit = make("Make it blue", edit_of=str(picture_of(first).public_id))
    named = make("And green", edit_of=str(picture_of(first).public_id), parent=other.public_id)
    assert (edit.parent, edit.parent_image) == (first, picture_of(first))
    assert (named.parent, named.family) == (other, other)
    upload = gallery.add_upload(owner=alice, file=png_file())
    assert make("Make it blue", edit_of=str(upload.public_id)).parent is None


def png_file():
    return SimpleUploadedFile("mine.png", png(size=(64, 64)), "image/png")


def test_nothing_of_others_can_be_named_and_nothing_is_held_for_it(make, alice, bob, money):
    theirs = make(owner=bob)
    upload = gallery.add_upload(owner=alice, file=png_file())
    before = money(alice)
    spec = GenerationSpec.parse({"prompt": "A fox"}, default_image_size="1K")
    for named in (theirs.public_id, picture_of(theirs).public_id, uuid4(), upload.public_id):
        with pytest.raises(InvalidInput) as caught:
            services.submit(user=alice, spec=spec, source="rest", parent=named)
        assert caught.value.errors[0].field == "parent"
        assert str(named) in caught.value.message
    assert money(alice) == before
    assert not Generation.objects.filter(user=alice).exists()


def test_a_parent_whose_picture_was_purged_stays_one(make, alice, api):
    first = make()
    image = picture_of(first)
    gallery.trash_image(owner=alice, public_id=image.public_id)
    erasure.empty_trash(owner=alice)
    child = make("A fox, blue", parent=image.public_id)
    assert (child.parent, child.parent_image_id) == (first, image.pk)
    body = api.get(f"/api/v1/generations/{child.public_id}").json()
    assert body["parent"] == {"generation": str(first.public_id), "image": None}


def test_an_identical_wish_answered_by_reuse_remembers_it_too(make, alice):
    first, other = make(), make("A hen")
    spec = GenerationSpec.parse({"prompt": "A fox"}, default_image_size="1K")
    reused = services.submit(user=alice, spec=spec, source="rest", reuse=True, parent=other.public_id).generation
    assert (reused.reused_from, reused.parent, reused.family) == (first, other, other)


def test_edits_of_before_have_their_parents_from_the_migration(make):
    first = make()
    edit = make("Make it blue", edit_of=str(picture_of(first).public_id))
    edit_of_edit = make("And green", edit_of=str(picture_of(edit).public_id))
    Generation.objects.update(parent=None, parent_image=None, family=None)
    name = next(
        module.name for module in pkgutil.iter_modules(migrations.__path__) if module.name.endswith("_families")
    )
    import_module(f"generations.migrations.{name}").add_parents_of_edits(apps, None)
    edit.refresh_from_db()
    edit_of_edit.refresh_from_db()
    assert (edit.parent, edit.parent_image, edit.family) == (first, picture_of(first), first)
    assert (edit_of_edit.parent, edit_of_edit.family) == (edit, first)


# --- REST ----------------------------------------------------------------------------------------


def test_rest_takes_a_parent_and_tells_it_and_lists_a_family(api, make):
    first = make()
    make("Another one")
    image = picture_of(first)
    wish = {"prompt": "A fox", "image_size": "4K", "parent": str(image.public_id)}
    answer = api.post("/api/v1/generations", wish, "application/json")
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.content
    body = answer.json()
    assert body["parent"] == {"generation": str(first.public_id), "image": str(image.public_id)}
    assert body["family"] == str(first.public_id)
    assert api.get(f"/api/v1/generations/{first.public_id}").json()["family"] == str(first.public_id)
    listed = api.get(f"/api/v1/generations?family={first.public_id}").json()["results"]
    assert [each["id"] for each in listed] == [body["id"], str(first.public_id)]


@pytest.mark.parametrize("address", ["/api/v1/generations", "/api/v1/quotes"])
def test_rest_refuses_a_parent_by_name(api, make, bob, address):
    theirs = make(owner=bob)
    for value in (str(theirs.public_id), "nonsense", 7):
        answer = api.post(address, {"prompt": "A fox", "parent": value}, "application/json")
        assert answer.status_code == HTTPStatus.BAD_REQUEST
        assert [error["field"] for error in answer.json()["errors"]] == ["parent"]
    assert Generation.objects.exclude(pk=theirs.pk).count() == 0
    foreign = api.get(f"/api/v1/generations?family={theirs.public_id}")
    assert foreign.json()["results"] == []


def test_the_same_key_with_another_parent_is_another_request(api, make):
    first = make()
    headers = {"Idempotency-Key": "k1"}
    wish = {"prompt": "A fox in snow"}
    assert api.post("/api/v1/generations", wish, "application/json", headers=headers).status_code == HTTPStatus.ACCEPTED
    again = api.post(
        "/api/v1/generations", {**wish, "parent": str(first.public_id)}, "application/json", headers=headers
    )
    assert again.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert again.json()["code"] == "idempotency_mismatch"


# --- The studio ----------------------------------------------------------------------------------


def test_the_studio_begins_from_the_picture_of_its_address_and_can_be_told_not_to(browser, make, alice):
    first = make()
    image = picture_of(first)
    page = browser.get(f"/studio/?again={first.public_id}&parent={image.public_id}&image_size=4K")
    assert page.context["composer"].parent == str(image.public_id)
    content = page.content.decode()
    assert f'<input type="checkbox" name="parent" value="{image.public_id}" checked>' in content
    assert "Begun from this picture" in content
    form = {"prompt": "A fox", "image_size": "4K", "token": page.context["composer"].token}
    browser.post("/studio/", {**form, "parent": str(image.public_id)})
    child = Generation.objects.order_by("-pk").first()
    assert (child.parent, child.parent_image) == (first, image)
    browser.post("/studio/", form)  # the box was unticked: another wish, begun from nothing
    alone = Generation.objects.order_by("-pk").first()
    assert (alone.pk != child.pk, alone.parent) == (True, None)


def test_the_studio_begins_from_a_run_that_is_used_again(browser, make):
    first = make()
    page = browser.get(f"/studio/?again={first.public_id}")
    assert page.context["composer"].parent == str(first.public_id)
    assert "Begun from an earlier run" in page.content.decode()
    assert browser.get("/studio/").context["composer"].parent == ""


def test_the_studio_refuses_a_parent_of_others_beside_the_button(browser, make, bob):
    theirs = make(owner=bob)
    answer = browser.post("/studio/", {"prompt": "A fox", "parent": str(theirs.public_id)})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert str(theirs.public_id) in answer.context["problem"].others["parent"]
    assert Generation.objects.count() == 1


# --- The family on the page of a picture ---------------------------------------------------------


def test_a_picture_alone_has_no_family(browser, make):
    assert page_of(browser, picture_of(make())).context["family"] is None


def test_the_page_shows_the_draft_the_larger_one_and_the_rest_with_size_and_price(browser, make):
    draft = make(image_size="0.5K")
    image = picture_of(draft)
    larger = make(image_size="4K", parent=image.public_id)
    varied = make("A fox, blue", image_size="0.5K", parent=image.public_id)
    further = make("A fox, green", image_size="1K", parent=picture_of(varied).public_id)
    price = {run.pk: run.charged_micros for run in (draft, larger, varied, further)}
    assert all(price.values())

    def line(run, role, size):
        return picture_of(run).public_id, role, size, price[run.pk]

    family = page_of(browser, image).context["family"]
    assert shown(family.begun_from) == []
    assert shown(family.children) == [line(larger, "Larger", "4K"), line(varied, "Variation", "0.5K")]
    assert shown(family.relatives) == [line(further, "", "1K")]
    assert (family.runs, family.pictures, family.more, family.gone) == (4, 4, 0, 0)
    assert family.cost == sum(price.values())

    answer = page_of(browser, picture_of(larger))
    family = answer.context["family"]
    assert shown(family.begun_from) == [line(draft, "Begun from", "0.5K")]
    assert shown(family.children) == []
    assert {member.tile.id for member in family.relatives} == {
        picture_of(varied).public_id,
        picture_of(further).public_id,
    }
    page = answer.content.decode()
    assert f'href="/images/{image.public_id}/"' in page
    assert f"{family.cost / 1_000_000:.3f}" in page


def test_what_was_thrown_away_or_purged_counts_in_the_money_and_is_not_shown(browser, make, alice):
    draft = make(image_size="0.5K")
    image = picture_of(draft)
    trashed, purged, kept = (make(f"A fox {name}", parent=image.public_id) for name in ("a", "b", "c"))
    gallery.trash_image(owner=alice, public_id=picture_of(purged).public_id)
    erasure.empty_trash(owner=alice)
    gallery.trash_image(owner=alice, public_id=picture_of(trashed).public_id)
    answer = page_of(browser, image)
    family = answer.context["family"]
    assert [member.tile.id for member in family.children] == [picture_of(kept).public_id]
    assert (family.runs, family.pictures, family.more, family.gone) == (4, 2, 0, 2)
    assert family.cost == sum(run.charged_micros for run in (draft, trashed, purged, kept))
    assert str(picture_of(trashed).public_id) not in answer.content.decode()


def test_the_money_is_the_ledgers_less_what_was_refunded(browser, make, admin_refund):
    draft = make(count=2, image_size="0.5K")
    child = make("A fox, blue", parent=picture_of(draft).public_id)
    admin_refund(draft, 10_001)
    Generation.objects.filter(pk=draft.pk).update(charged_micros=1)  # a copy: nobody asks it
    family = page_of(browser, picture_of(child)).context["family"]
    one = draft.price.amount_micros
    assert family.cost == 2 * one - 10_001 + child.charged_micros
    assert [member.cost for member in family.begun_from] == [one - 5_001]
    assert [member.cost for member in family.relatives] == [one - 5_000]


@pytest.fixture
def admin_refund():
    def refund(generation, amount):
        capture = generation.hold.resolution
        ledger.refund(transfer=capture, amount_micros=amount, key=f"refund:{uuid4()}", actor="system", reason="test")

    return refund


def test_a_failed_run_of_the_family_counts_as_a_run_and_costs_nothing(browser, make, alice, work, upstream):
    first = make()
    spec = GenerationSpec.parse({"prompt": "A hen"}, default_image_size="1K")
    child = services.submit(user=alice, spec=spec, source="rest", parent=first.public_id).generation
    upstream.says(error(400, "INVALID_ARGUMENT"))
    assert work(child).status == "failed"
    family = page_of(browser, picture_of(first)).context["family"]
    assert (family.runs, family.pictures, family.cost) == (2, 1, first.charged_micros)


def test_the_page_takes_eight_queries_and_a_bounded_number_of_pictures(
    browser, make, alice, django_assert_max_num_queries
):
    draft = make(image_size="0.5K")
    image = picture_of(draft)
    gallery.edit_image(owner=alice, public_id=image.public_id, alt_text="A fox")
    _clone(draft, NEAR_RUNS + 10)
    Image.objects.filter(pk=image.pk).update(
        visibility="public", review_status="approved", publication_key="k", published_order=1
    )
    page_of(browser, image)
    with django_assert_max_num_queries(8):
        answer = page_of(browser, image)
    family = answer.context["family"]
    assert len(family.children) == SHOWN
    assert (family.runs, family.pictures) == (NEAR_RUNS + 11, NEAR_RUNS + 11)
    assert family.more == family.pictures - SHOWN - 1
    assert f"And {family.more} more." in answer.content.decode()
    assert len(answer.content) <= 50 * 1024


def _clone(draft, many):
    """Children of a generation without calling anybody."""
    output, image = draft.outputs.get(), picture_of(draft)
    for number in range(many):
        row = Generation.objects.get(pk=draft.pk)
        row.pk, row.public_id, row.created_at = None, uuid4(), timezone.now()
        row.parent, row.parent_image, row.family = draft, image, draft
        row.save(force_insert=True)
        child = Image.objects.create(
            owner=image.owner,
            blob=image.blob,
            prompt=f"Fox {number} " + "x" * 300,
            source_reference=str(row.public_id),
            image_size="1K",
        )
        row.outputs.create(image=child, attempt=output.attempt, index=0)


def test_nobody_elses_pictures_are_in_it(browser, make, bob, alice):
    mine, theirs = make(), make(owner=bob)
    make("A fox, blue", owner=bob, parent=theirs.public_id)
    child = make("A fox, blue", parent=mine.public_id)
    family = page_of(browser, picture_of(mine)).context["family"]
    assert [member.tile.id for member in family.children] == [picture_of(child).public_id]
    assert family.cost == mine.charged_micros + child.charged_micros
