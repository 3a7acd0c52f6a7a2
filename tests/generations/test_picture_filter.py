"""What was refused for a category that a picture rule names is brought along by nobody, at no door; others are."""

from http import HTTPStatus

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.errors import InvalidInput
from accounts.models import Transfer, Usage, User
from gallery import erasure
from gallery.errors import PictureRejected
from gallery.models import Blob, Image, PictureHit, Resemblance, Rule
from gallery.review import owners
from gallery.screening.rules import Wording, check_wording, switch_rule
from generations import services
from generations.models import Generation
from generations.spec import GenerationSpec
from tests import people
from tests.gallery.pictures import drawn, keep_image
from tests.gallery.review.desk import decide, make_reviewer

pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v1"


@pytest.fixture
def refuse(bob, tmp_path):
    """A picture of Bob that two reviewers have refused for a category."""
    reviewers = [make_reviewer("ines"), make_reviewer("omar")]

    def refuse_one(data, *, reason="csam", verb="quarantine"):
        image = keep_image(bob, tmp_path, data, caption="Discs.")
        owners.request_publication(owner=bob, public_id=image.public_id, visibility="public")
        for reviewer in reviewers:
            image.refresh_from_db()
            if image.review_status in ("pending", "escalated"):
                decide(verb, reviewer, image, reason=reason)
        image.refresh_from_db()
        assert image.review_status in ("rejected", "quarantined")
        return image

    return refuse_one


@pytest.fixture
def api(alice_key):
    return people.client_with(alice_key)


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


def file_of(data, name="mine.png"):
    return SimpleUploadedFile(name, data)


def nothing_was_kept(user):
    return not (
        Image.objects.filter(owner=user).exists()
        or Generation.objects.filter(user=user).exists()
        or Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()
        or Usage.objects.filter(name="images_per_day", used__gt=0).exists()
    )


def hits():
    return list(
        PictureHit.objects.order_by("pk").values_list("user__email", "door", "rule", "rule_version", "category")
    )


def test_an_upload_by_rest_of_the_same_bytes_is_refused_by_name_and_nothing_is_kept(api, alice, refuse):
    refuse(drawn(1))
    blobs = Blob.objects.count()
    answer = api.post(f"{API}/images", {"file": file_of(drawn(1))})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    body = answer.json()
    assert (body["code"], body["rule_class"], body["rule"], body["rule_version"]) == (
        "picture_rejected",
        "csam",
        "refused_csam",
        1,
    )
    assert body["errors"][0]["field"] == "file"
    assert nothing_was_kept(alice)
    assert Blob.objects.count() == blobs
    assert hits() == [("alice@example.com", "upload", "refused_csam", 1, "csam")]
    assert PictureHit.objects.get().distance == 0


@pytest.mark.parametrize(
    "copy", [drawn(1, quality=50), drawn(1, size=(600, 400)), drawn(1, brightness=1.1)], ids=["jpeg", "larger", "light"]
)
def test_a_near_copy_is_refused_too_and_another_picture_is_not(api, alice, refuse, copy):
    refuse(drawn(1))
    assert api.post(f"{API}/images", {"file": file_of(copy)}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert nothing_was_kept(alice)
    assert api.post(f"{API}/images", {"file": file_of(drawn(2))}).status_code == HTTPStatus.CREATED
    assert len(hits()) == 1


def test_the_pages_refuse_it_beside_the_references(browser, alice, refuse):
    refuse(drawn(1), reason="minor_safety", verb="reject")
    form = {"prompt": "A fox", "uploads": file_of(drawn(1))}
    answer = browser.post("/studio/", form)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "looks like it (Safety of minors)" in answer.context["problem"].fields["references"]
    answer = browser.post("/images/upload/", {"uploads": file_of(drawn(1))}, headers={"HX-Request": "true"})
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "Safety of minors" in answer.content.decode()
    assert nothing_was_kept(alice)
    assert [hit[1:3] for hit in hits()] == [("upload", "refused_minor_safety")] * 2


@pytest.mark.parametrize("field", ["references", "edit_of"])
def test_one_that_is_there_already_is_refused_as_a_reference(api, alice, refuse, tmp_path, money, field):
    mine = keep_image(alice, tmp_path, drawn(1, quality=60))
    refuse(drawn(1))
    before = money(alice)
    named = [str(mine.public_id)] if field == "references" else str(mine.public_id)
    answer = api.post(f"{API}/generations", {"prompt": "A fox", field: named}, content_type="application/json")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("picture_rejected", field)
    assert (money(alice), Generation.objects.filter(user=alice).count()) == (before, 0)
    assert hits() == [("alice@example.com", "reference", "refused_csam", 1, "csam")]


def test_a_quote_says_so_and_keeps_no_hit(api, alice, refuse, tmp_path):
    mine = keep_image(alice, tmp_path, drawn(1))
    refuse(drawn(1))
    wish = {"prompt": "A fox", "references": [str(mine.public_id)]}
    answer = api.post(f"{API}/quotes", wish, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "picture_rejected")
    assert hits() == []


def test_a_retry_after_the_decision_is_refused(alice, refuse, submit, tmp_path, money):
    mine = keep_image(alice, tmp_path, drawn(1))
    wish = GenerationSpec.parse({"prompt": "A fox", "references": [str(mine.public_id)]}, default_image_size="1K")
    generation = submit(alice, wish=wish)
    services.cancel(user=alice, public_id=generation.public_id)
    before = money(alice)
    refuse(drawn(1))
    with pytest.raises(PictureRejected):
        services.retry(user=alice, public_id=generation.public_id)
    generation.refresh_from_db()
    assert (generation.status, generation.run, money(alice)) == ("canceled", 1, before)


def test_other_categories_and_pictures_that_were_approved_are_no_reason(api, refuse, bob, tmp_path):
    refuse(drawn(1), reason="trademark", verb="reject")
    approved = keep_image(bob, tmp_path, drawn(2), caption="Discs.")
    owners.request_publication(owner=bob, public_id=approved.public_id, visibility="public")
    decide("approve", User.objects.get(name="Ines"), approved)
    for data in (drawn(1), drawn(2)):
        assert api.post(f"{API}/images", {"file": file_of(data)}).status_code == HTTPStatus.CREATED
    assert hits() == []


def test_a_decision_that_was_overturned_is_none_any_more(api, refuse, bob):
    image = refuse(drawn(1), reason="minor_safety", verb="reject")
    owners.appeal(owner=bob, public_id=image.public_id, text="It is a disc.")
    refused = api.post(f"{API}/images", {"file": file_of(drawn(1))})
    assert refused.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, "the refusal holds while the appeal is open"
    for nick in ("kim", "lena"):
        decide("approve", make_reviewer(nick), image)
    image.refresh_from_db()
    assert image.review_status == "approved"
    assert api.post(f"{API}/images", {"file": file_of(drawn(1))}).status_code == HTTPStatus.CREATED


def test_the_rule_is_switched_off_and_its_distance_is_set_by_its_next_version(api, staff, refuse):
    refuse(drawn(1))
    switch_rule(code="refused_csam", version=1, is_enabled=False, by=staff)
    assert api.post(f"{API}/images", {"file": file_of(drawn(1))}).status_code == HTTPStatus.CREATED
    latest = Rule.objects.get(code="refused_csam", version=2)
    Rule.objects.create(
        code="refused_csam",
        version=3,
        label=latest.label,
        kind="picture",
        body="~ 0",
        action="block",
        category="csam",
        is_enabled=True,
    )
    assert api.post(f"{API}/images", {"file": file_of(drawn(1))}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert hits()[0][2:4] == ("refused_csam", 3)


def test_it_is_known_again_after_its_owner_is_gone(api, refuse, bob):
    image = refuse(drawn(1))
    other = refuse(drawn(2), reason="trademark", verb="reject")
    erasure.purge_pictures_of(bob)
    image.refresh_from_db()
    assert (image.blob, image.purged_at is None) == (None, False)
    assert {row.review.image_id for row in Resemblance.objects.all()} == {image.pk, other.pk}
    assert api.post(f"{API}/images", {"file": file_of(drawn(1))}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_of_what_was_not_refused_nothing_is_known_after_a_purge(alice, tmp_path):
    image = keep_image(alice, tmp_path, drawn(1), caption="Discs.")
    owners.request_publication(owner=alice, public_id=image.public_id, visibility="public")
    assert Resemblance.objects.count() == 1
    erasure.purge_pictures_of(alice)
    assert Resemblance.objects.count() == 0


def test_operators_see_the_hit_and_nothing_of_the_picture(api, staff, refuse, alice):
    known = refuse(drawn(1))
    api.post(f"{API}/images", {"file": file_of(drawn(1), "holiday-in-rome.png")})
    visitor = Client()
    visitor.force_login(staff)
    page = visitor.get("/admin/gallery/picturehit/").content.decode()
    for told in ("alice@example.com", "refused_csam", "upload", str(known.public_id)):
        assert told in page
    assert "holiday-in-rome" not in page
    visitor.force_login(alice)
    assert visitor.get("/admin/gallery/picturehit/").status_code == HTTPStatus.FOUND


@pytest.mark.parametrize(
    ("body", "action", "field"),
    [("~ 7", "block", "body"), ("four", "block", "body"), ("", "block", "body"), ("~ 4", "flag", "action")],
)
def test_a_picture_rule_that_would_not_work_is_not_written(body, action, field):
    wording = Wording(label="x", kind="picture", body=body, action=action, category="csam", risk=100, is_enabled=True)
    with pytest.raises(InvalidInput) as caught:
        check_wording(wording)
    assert caught.value.errors[0].field == field
