"""Pictures that look alike: what a hash sees and does not see, what the desk shows of them, one decision over all."""

import pkgutil
from importlib import import_module
from io import BytesIO
from itertools import combinations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from PIL import Image as Picture

from gallery import desk, migrations
from gallery.imaging import verify_image
from gallery.models import Blob, Image, Resemblance, Review, ReviewerSettings, ReviewStep
from gallery.perceptual import MAX_DISTANCE, bands_of, distance, hash_of, near_bands
from gallery.review import owners, resemblance
from tests.gallery.pictures import add_image, drawn, encode_picture, keep_image
from tests.gallery.review.desk import decide, facts, make_pending, make_reviewer, review_of, state_of
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db


def hash_in(data):
    return hash_of(Picture.open(BytesIO(data)).convert("RGB"))


# --- The hash ------------------------------------------------------------------------------------


def test_copies_in_another_size_quality_and_light_are_near_and_other_pictures_are_far():
    originals = [hash_in(drawn(seed, size=(768, 512))) for seed in range(12)]
    for seed, original in enumerate(originals):
        for copy in (drawn(seed), drawn(seed, quality=40), drawn(seed, size=(333, 217)), drawn(seed, brightness=1.15)):
            assert distance(original, hash_in(copy)) <= MAX_DISTANCE
    apart = [distance(one, other) for one, other in combinations(originals, 2)]
    assert min(apart) > 2 * MAX_DISTANCE


def test_a_picture_of_one_tone_has_nothing_to_compare():
    assert hash_of(Picture.new("RGB", (64, 64), "teal")) == ""
    assert hash_of(Picture.linear_gradient("L").convert("RGB")) != ""


def test_no_pair_within_the_distance_is_missed_by_the_quarters():
    one = 0x0123456789ABCDEF
    for bits in combinations(range(0, 64, 5), MAX_DISTANCE):
        other = one ^ sum(1 << bit for bit in bits)
        pairs = zip(bands_of(f"{one:016x}"), bands_of(f"{other:016x}"), strict=True)
        assert any(band in near_bands(theirs) for band, theirs in pairs)


def test_it_is_kept_with_the_bytes_and_written_down_again_when_the_picture_enters_the_review(alice, tmp_path):
    image = keep_image(alice, tmp_path, drawn(1), caption="Discs.")
    assert distance(image.blob.perceptual_hash, hash_in(drawn(1))) <= MAX_DISTANCE
    assert not Resemblance.objects.exists()
    owners.request_publication(owner=alice, public_id=image.public_id, visibility="public")
    row = Resemblance.objects.get(review__image=image)
    assert (row.sha256, row.perceptual_hash) == (image.blob.sha256, image.blob.perceptual_hash)
    assert (row.band_0, row.band_3) == (int(row.perceptual_hash[:4], 16), int(row.perceptual_hash[12:], 16))


def test_rebuildrenditions_hashes_what_was_kept_before(alice, tmp_path):
    image = publish(alice, tmp_path, drawn(1))
    hash = image.blob.perceptual_hash
    Blob.objects.update(perceptual_hash=None)
    Resemblance.objects.update(perceptual_hash="", band_0=None, band_1=None, band_2=None, band_3=None)
    call_command("rebuildrenditions")
    assert Blob.objects.get(images=image).perceptual_hash == hash
    row = Resemblance.objects.get()
    assert (row.perceptual_hash, row.band_1) == (hash, bands_of(hash)[1])


def test_what_was_in_the_review_before_is_known_by_its_bytes_from_the_migration(alice, tmp_path):
    image = publish(alice, tmp_path, drawn(1))
    Resemblance.objects.all().delete()
    (name,) = (module.name for module in pkgutil.iter_modules(migrations.__path__) if "_resemblance" in module.name)
    import_module(f"gallery.migrations.{name}").add_digests(apps, None)
    row = Resemblance.objects.get()
    assert (row.review.image_id, row.sha256, row.perceptual_hash) == (image.pk, image.blob.sha256, "")
    assert row.band_0 is None


# --- What is found -------------------------------------------------------------------------------


def publish(owner, tmp_path, data, **fields):
    image = keep_image(owner, tmp_path, data, caption="Discs.", **fields)
    return owners.request_publication(owner=owner, public_id=image.public_id, visibility="public")


def cluster(image, reviewer, avoided=()):
    review = Review.objects.select_related("resemblance").get(image=image)
    return resemblance.cluster_of(review, reviewer, avoided=avoided, steps=review.steps.all())


def ids(alikes):
    return [alike.review.image_id for alike in alikes]


def test_the_nearest_decided_ones_and_those_that_wait_are_found(alice, bob, ines, omar, tmp_path):
    approved, refused = publish(bob, tmp_path, drawn(1, quality=50)), publish(bob, tmp_path, drawn(1))
    decide("approve", omar, approved)
    decide("reject", omar, refused, reason="trademark")
    other = publish(bob, tmp_path, drawn(2))
    decide("approve", omar, other)
    image, waiting = publish(alice, tmp_path, drawn(1)), publish(bob, tmp_path, drawn(1, size=(300, 200)))
    publish(bob, tmp_path, drawn(3))
    found = cluster(image, ines)
    assert ids(found.decided) == [refused.pk, approved.pk]
    assert found.decided[0].distance == 0
    assert 0 <= found.decided[1].distance <= MAX_DISTANCE
    assert ids(found.waiting) == [waiting.pk]


def test_a_private_picture_that_never_was_in_the_review_and_one_that_left_it_are_not_found(
    alice, bob, ines, omar, tmp_path
):
    keep_image(bob, tmp_path, drawn(1), caption="Mine alone.")
    withdrawn = publish(bob, tmp_path, drawn(1, quality=60))
    decide("approve", omar, withdrawn)
    owners.withdraw(owner=bob, public_id=withdrawn.public_id)
    trashed = publish(bob, tmp_path, drawn(1, size=(300, 200)))
    decide("approve", omar, trashed)
    Image.objects.filter(pk=trashed.pk).update(trashed_at=trashed.created_at)
    image = publish(alice, tmp_path, drawn(1))
    found = cluster(image, ines)
    assert (found.decided, found.waiting) == ([], [])


def test_pictures_of_one_tone_are_alike_by_their_bytes_alone(alice, bob, ines, omar, tmp_path):
    def plain(colour):
        output = BytesIO()
        Picture.new("RGB", (40, 40), colour).save(output, "PNG")
        return output.getvalue()

    same, different = publish(bob, tmp_path, plain("teal")), publish(bob, tmp_path, plain("navy"))
    decide("approve", omar, same)
    decide("approve", omar, different)
    assert ids(cluster(publish(alice, tmp_path, plain("teal")), ines).decided) == [same.pk]


def test_what_needs_somebody_of_its_own_waits_alone(alice, bob, ines, omar, tmp_path):
    image = publish(alice, tmp_path, drawn(1))
    own, held, handed_on, proposed, appealed = (
        publish(owner, tmp_path, drawn(1, size=(200 + index, 134)))
        for index, owner in enumerate((ines, bob, bob, bob, bob))
    )
    Review.objects.filter(image=held).update(claimed_by=omar, claimed_until=review_of(held).due_at)
    decide("escalate", omar, handed_on)
    decide("reject", omar, proposed, reason="extremism")
    decide("reject", omar, appealed, reason="trademark")
    owners.appeal(owner=bob, public_id=appealed.public_id, text="It is mine.")
    assert cluster(image, ines).waiting == []
    assert cluster(appealed, ines).waiting == []
    assert ids(cluster(image, make_reviewer("kim")).waiting) == [own.pk]


def test_the_second_person_is_not_shown_what_the_first_decided_of_the_like(alice, bob, ines, omar, kim, tmp_path):
    by_omar, by_kim = publish(bob, tmp_path, drawn(1, quality=50)), publish(bob, tmp_path, drawn(1, quality=70))
    decide("reject", omar, by_omar, reason="violence")
    decide("approve", kim, by_kim)
    image = publish(alice, tmp_path, drawn(1))
    assert len(cluster(image, ines).decided) == 2
    decide("reject", omar, image, reason="extremism")
    assert ids(cluster(image, ines).decided) == [by_kim.pk]


def test_categories_that_a_reviewer_avoids_are_not_shown_to_them(alice, bob, ines, omar, tmp_path):
    refused = publish(bob, tmp_path, drawn(1))
    decide("reject", omar, refused, reason="violence")
    image = publish(alice, tmp_path, drawn(1))
    assert ids(cluster(image, ines).decided) == [refused.pk]
    assert cluster(image, ines, avoided=["violence"]).decided == []


# --- The desk ------------------------------------------------------------------------------------


@pytest.fixture
def at_desk(ines):
    client = Client()
    client.force_login(ines)
    return client


def test_the_desk_shows_what_was_decided_of_the_like_blurred_and_those_that_wait(
    alice, bob, at_desk, omar, ines, tmp_path
):
    refused = publish(bob, tmp_path, drawn(1, quality=50))
    decide("reject", omar, refused, reason="trademark")
    image, waiting = publish(alice, tmp_path, drawn(1)), publish(bob, tmp_path, drawn(1, size=(300, 200)))
    page = at_desk.get(f"/review/{image.public_id}/")
    exam = page.context["exam"]
    (similar,) = exam.similar
    assert (similar.id, similar.what, similar.reason, similar.actor) == (
        str(refused.public_id),
        "Refused",
        "Brand or trademark",
        "Omar",
    )
    assert [(each.id, each.version) for each in exam.waiting] == [(str(waiting.public_id), 1)]
    html = page.content.decode()
    first_button = html[html.index('<button formaction="') :].partition(">")[0]
    assert first_button == f'<button formaction="/review/{image.public_id}/claim/" hidden', "Enter presses this one"
    assert html.index(first_button) < html.index('name="together"')
    assert 'aria-label="Near duplicates already decided" data-grey="on"' in html
    assert f'name="also" value="{waiting.public_id}:1" checked' in html
    assert 'data-key="d"' in html
    assert "bob@example.com" not in html
    ReviewerSettings.objects.create(user=ines, blurs=False)
    assert 'already decided" data-blur="off"' in at_desk.get(f"/review/{image.public_id}/").content.decode()


def test_one_press_decides_the_stage_and_the_ticked_ones_and_tells_of_each(alice, bob, at_desk, ines, omar, tmp_path):
    image = publish(alice, tmp_path, drawn(1))
    first, second, third = (publish(bob, tmp_path, drawn(1, size=(200 + index, 134))) for index in range(3))
    at_desk.get(f"/review/{image.public_id}/")
    decide("approve", omar, second)  # somebody was faster
    answer = at_desk.post(
        f"/review/{image.public_id}/decide/",
        {
            "together": "reject",
            "version": 1,
            "reason": "spam",
            "note": "A series.",
            "also": [f"{first.public_id}:1", f"{second.public_id}:1"],
        },
        headers={"HX-Request": "true"},
    )
    results = answer.json()["results"]
    assert [(each["id"], each["version"]) for each in results] == [
        (str(image.public_id), 2),
        (str(first.public_id), 2),
        (str(second.public_id), None),
    ]
    assert results[2]["error"].startswith("Omar approved this picture at ")
    assert [state_of(each)[0] for each in (image, first, second, third)] == [
        "rejected",
        "rejected",
        "approved",
        "pending",
    ]
    steps = ReviewStep.objects.filter(verb="reject")
    assert {(step.actor, step.reason.code, step.note) for step in steps} == {(ines, "spam", "A series.")}


def test_without_a_script_the_answer_is_the_next_page_and_says_how_many(alice, bob, at_desk, tmp_path):
    image, other = publish(alice, tmp_path, drawn(1)), publish(bob, tmp_path, drawn(1, size=(300, 200)))
    answer = at_desk.post(
        f"/review/{image.public_id}/decide/",
        {"together": "approve", "version": 1, "also": [f"{other.public_id}:1"]},
        follow=True,
    )
    assert [str(message) for message in answer.context["messages"]] == ["Approved: 2 of 2."]
    assert (state_of(image)[0], state_of(other)[0]) == ("approved", "approved")


@pytest.mark.parametrize(
    "wrong", [{"together": "quarantine"}, {"together": "reject"}, {"together": "approve", "also": ["no id"]}]
)
def test_nothing_is_decided_by_a_form_that_makes_no_sense(alice, at_desk, tmp_path, wrong):
    image = publish(alice, tmp_path, drawn(1))
    at_desk.get(f"/review/{image.public_id}/")
    answer = at_desk.post(f"/review/{image.public_id}/decide/", {"version": 1, **wrong}, headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert state_of(image)[0] == "pending"


def test_a_page_with_a_full_cluster_takes_eight_queries_and_less_than_fifty_kib(
    alice, bob, at_desk, ines, omar, tmp_path, django_assert_max_num_queries
):
    for _ in range(desk.SIMILAR + 2):
        decide("reject", omar, make_pending(bob), reason="trademark")
    images = [make_pending(alice) for _ in range(desk.TOGETHER + 30)]
    Review.objects.filter(image=images[0]).update(risk=100)
    at_desk.get("/review/settings/")
    with django_assert_max_num_queries(8):
        page = at_desk.get("/review/")
    exam = page.context["exam"]
    assert (len(exam.similar), len(exam.waiting), exam.more_waiting) == (desk.SIMILAR, desk.TOGETHER, 29)
    assert len(page.content) < 51_200


# --- REST ----------------------------------------------------------------------------------------


def test_rest_tells_a_reviewer_what_looks_alike_and_the_bulk_verb_takes_it(alice, bob, ines, omar, tmp_path):
    refused = publish(bob, tmp_path, drawn(1, quality=50))
    decide("reject", omar, refused, reason="trademark")
    image, waiting = publish(alice, tmp_path, drawn(1)), publish(bob, tmp_path, drawn(1, size=(300, 200)))
    api = client_with(make_key(ines, "review"))
    body = api.get(f"/api/v1/review/{image.public_id}/similar").json()
    (decided,), (waits,) = body["decided"], body["waiting"]
    assert (decided["id"], decided["review_status"], decided["reason"], decided["decided_by"]) == (
        str(refused.public_id),
        "rejected",
        "trademark",
        "Omar",
    )
    assert (waits["id"], waits["version"], waits["decided_by"]) == (str(waiting.public_id), 1, None)
    items = [{"id": str(image.public_id), "version": 1}, {"id": waits["id"], "version": waits["version"]}]
    results = api.post("/api/v1/review", {"verb": "approve", "items": items}, content_type="application/json").json()
    assert [each["review_status"] for each in results] == ["approved", "approved"]


def test_rest_tells_nobody_else(alice, ines, tmp_path):
    image = publish(alice, tmp_path, drawn(1))
    private = keep_image(alice, tmp_path, drawn(1))
    assert client_with(make_key(alice, "read")).get(f"/api/v1/review/{image.public_id}/similar").status_code == 403
    api = client_with(make_key(ines, "review"))
    assert api.get(f"/api/v1/review/{private.public_id}/similar").status_code == 404


def test_facts_of_before_the_hash_are_still_read(alice, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(encode_picture())
    old = {name: value for name, value in vars(verify_image(path)).items() if name != "perceptual_hash"}
    image = add_image(alice, type(facts())(**old))
    assert image.blob.perceptual_hash is None
