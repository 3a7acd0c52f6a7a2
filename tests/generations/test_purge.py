"""Deleting pictures of the trash for good: by their owner, all at once, and by themselves after TRASH_DAYS."""

import json
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput, NotFound
from accounts.models import Usage
from gallery import collections, erasure, services
from gallery.models import CollectionItem, Image, Review, ReviewStep
from gallery.review import owners
from generations import archives, receipts, reusing, sweeper
from generations import services as wishes
from generations.audit import audit
from generations.models import Status
from generations.spec import GenerationSpec
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db(transaction=True)

TRASH = "/library/trash/"
EMPTY = "/library/trash/empty/"


@pytest.fixture
def job(alice, submit, work, upstream):
    return work(submit(alice))


@pytest.fixture
def picture(job):
    return Image.objects.get(output__generation=job)


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


def stored(user):
    return Usage.objects.get(user=user, name="storage_bytes").used


def trash(image, *, days=0):
    Image.objects.filter(pk=image.pk).update(trashed_at=timezone.now() - timedelta(days=days))


def quarantine(image):
    Image.objects.filter(pk=image.pk).update(review_status=Image.ReviewStatus.QUARANTINED)


def is_purged(image):
    image.refresh_from_db()
    return image.purged_at is not None


def address(image):
    return f"/images/{image.public_id}/purge/"


# --- The verbs -----------------------------------------------------------------------------------


def test_only_ones_own_pictures_in_the_trash_can_be_purged(alice, bob, picture):
    with pytest.raises(NotFound):
        erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    trash(picture)
    with pytest.raises(NotFound):
        erasure.purge_trashed(owner=bob, public_id=picture.public_id)
    assert erasure.empty_trash(owner=bob) == 0
    assert not is_purged(picture)


def test_a_purged_picture_leaves_nothing_but_its_row_and_sound_books(alice, job, picture):
    receipt = json.loads(receipts.receipt_of(user=alice, public_id=picture.public_id))
    collections.add(collection=collections.create(owner=alice, name="Foxes"), images=[picture])
    trash(picture)
    erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    assert is_purged(picture)
    assert (picture.blob_id, picture.prompt, picture.visibility) == (None, "", "private")
    assert not CollectionItem.objects.exists()
    assert stored(alice) == 0
    with pytest.raises(NotFound):
        erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    with pytest.raises(NotFound):
        services.restore_image(owner=alice, public_id=picture.public_id)
    assert audit() == []
    out = StringIO()
    call_command("verifyblobs", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["missing"], found["corrupt"]) == ([], [])
    assert "The picture is not kept any more." in receipts.disagreements(receipt["receipt"])


def test_what_is_quarantined_is_not_its_owners_to_purge(alice, picture, submit, work, settings):
    other = Image.objects.get(output__generation=work(submit(alice)))
    for image in (picture, other):
        trash(image, days=31)
    quarantine(picture)
    with pytest.raises(Conflict):
        erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    assert erasure.empty_trash(owner=alice) == 1
    assert sweeper.sweep().pictures_purged == 0
    assert (is_purged(picture), is_purged(other)) == (False, True)


def test_one_that_waits_for_a_reviewer_leaves_the_queue(alice, picture):
    Image.objects.filter(pk=picture.pk).update(alt_text="a fox")
    owners.request_publication(owner=alice, public_id=picture.public_id, visibility="public")
    trash(picture)
    erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    assert (is_purged(picture), picture.review_status) == (True, "none")
    assert Review.objects.get(image=picture).queued_at is None
    assert ReviewStep.objects.filter(review__image=picture).last().verb == "erase"


def test_of_two_who_purge_at_once_one_does_and_the_room_is_given_back_once(alice, picture, submit, work, race):
    kept = Image.objects.get(output__generation=work(submit(alice)))
    trash(picture)
    counts = race(4, lambda _: erasure.empty_trash(owner=alice))
    assert sorted(counts) == [0, 0, 0, 1]
    assert stored(alice) == kept.blob.byte_size


def test_a_picture_that_is_restored_while_the_trash_is_emptied_is_either_back_or_gone(alice, picture, race):
    Image.objects.filter(pk=picture.pk).update(alt_text="a fox")
    owners.request_publication(owner=alice, public_id=picture.public_id, visibility="public")
    trash(picture)

    def restore():
        try:
            return services.restore_image(owner=alice, public_id=picture.public_id).trashed_at is None
        except NotFound:
            return False

    is_back, count = race(2, lambda index: erasure.empty_trash(owner=alice) if index else restore())
    assert (is_purged(picture), count) == ((False, 0) if is_back else (True, 1))
    assert (picture.trashed_at is None) is is_back
    assert (Review.objects.get(image=picture).queued_at is not None) is is_back
    assert stored(alice) == (picture.blob.byte_size if is_back else 0)


# --- By itself -----------------------------------------------------------------------------------


def test_the_sweeper_purges_what_has_been_in_the_trash_too_long(alice, picture, submit, work, settings):
    young = Image.objects.get(output__generation=work(submit(alice)))
    trash(picture, days=31)
    trash(young, days=29)
    settings.TRASH_DAYS = 0
    assert sweeper.sweep().pictures_purged == 0
    settings.TRASH_DAYS = 30
    assert sweeper.sweep().pictures_purged == 1
    assert (is_purged(picture), is_purged(young)) == (True, False)
    assert sweeper.sweep().pictures_purged == 0


# --- Pages and REST ------------------------------------------------------------------------------


def test_the_pages_ask_first_and_work_as_forms(browser, picture):
    trash(picture)
    page = browser.get(TRASH).content.decode()
    assert f'href="{address(picture)}"' in page
    assert f'href="{EMPTY}"' in page
    assert "deleted for good 30 days after they came here" in page
    for each in (address(picture), EMPTY):
        assert "This cannot be undone." in browser.get(each).content.decode()
    assert not is_purged(picture)
    answer = browser.post(address(picture), follow=True)
    assert answer.redirect_chain == [(TRASH, HTTPStatus.FOUND)]
    assert "The picture is deleted for good." in answer.content.decode()
    assert is_purged(picture)
    assert "1 picture" not in browser.post(EMPTY, follow=True).content.decode()
    assert "There is nothing in the trash" in browser.get(EMPTY).content.decode()


def test_a_quarantined_picture_offers_no_deletion(browser, picture):
    trash(picture)
    quarantine(picture)
    assert address(picture) not in browser.get(TRASH).content.decode()
    assert browser.get(address(picture)).status_code == HTTPStatus.NOT_FOUND
    assert browser.post(address(picture)).status_code == HTTPStatus.CONFLICT
    assert not is_purged(picture)


def test_nothing_is_purged_without_the_forms_token_or_by_others(alice, bob, staff, stranger, picture):
    trash(picture)
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    for each in (address(picture), EMPTY):
        assert careful.post(each).status_code == HTTPStatus.FORBIDDEN
        assert stranger.post(each)["Location"].startswith("/accounts/login/")
    for person in (bob, staff):
        visitor = Client()
        visitor.force_login(person)
        assert visitor.post(address(picture)).status_code == HTTPStatus.NOT_FOUND
        visitor.post(EMPTY)
    assert not is_purged(picture)


def test_purge_over_rest_needs_the_scope_and_the_trash(alice, bob_key, picture):
    rest = f"/api/v1/images/{picture.public_id}/purge"
    program = client_with(make_key(alice, "read", "generate"))
    assert program.post(rest).status_code == HTTPStatus.NOT_FOUND
    trash(picture)
    assert client_with(bob_key).post(rest).status_code == HTTPStatus.NOT_FOUND
    assert client_with(make_key(alice, "read")).post(rest).status_code == HTTPStatus.FORBIDDEN
    assert not is_purged(picture)
    assert program.post(rest).status_code == HTTPStatus.NO_CONTENT
    assert program.post(rest).status_code == HTTPStatus.NOT_FOUND
    assert program.get(rest.removesuffix("/purge")).status_code == HTTPStatus.NOT_FOUND


# --- Those who knew the picture ------------------------------------------------------------------


def test_its_job_is_shown_everywhere_without_it(browser, alice, job, picture, spec, tmp_path):
    again = wishes.submit(user=alice, spec=spec, source="rest", reuse=True).generation
    trash(picture)
    erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    program = client_with(make_key(alice, "read"))
    for each in (job, again):
        assert program.get(f"/api/v1/generations/{each.public_id}").json()["images"] == []
        told = browser.get(f"/generations/{each.public_id}/").content.decode()
        assert "One picture was deleted for good." in told
        assert str(picture.public_id) not in told
    assert program.get("/api/v1/generations").status_code == HTTPStatus.OK
    for page in ("/generations/", "/studio/", "/library/"):
        answer = browser.get(page)
        assert answer.status_code == HTTPStatus.OK
        assert str(picture.public_id) not in answer.content.decode()
    assert browser.get(f"/images/{picture.public_id}/").status_code == HTTPStatus.NOT_FOUND
    assert reusing.find_reusable(user=alice, spec=spec) is None
    with (tmp_path / "all.zip").open("wb") as file:
        archives.write_archive(alice, file)


def test_a_job_with_one_of_two_pictures_purged_lacks_nothing_else(browser, alice, submit, work, spec, upstream):
    job = work(submit(alice, wish=replace(spec, count=2)))
    first, second = Image.objects.filter(output__generation=job).order_by("pk")
    trash(first)
    erasure.purge_trashed(owner=alice, public_id=first.public_id)
    told = browser.get(f"/generations/{job.public_id}/").content.decode()
    assert "One picture was deleted for good." in told
    assert str(second.public_id) in told
    assert "not charged" not in told
    body = client_with(make_key(alice, "read")).get(f"/api/v1/generations/{job.public_id}").json()
    assert [image["id"] for image in body["images"]] == [str(second.public_id)]


@pytest.mark.parametrize("field", ["references", "edit_of"])
def test_a_purged_picture_cannot_be_brought_along(alice, picture, submit, work, upstream, money, field):
    name = str(picture.public_id)
    wish = GenerationSpec.parse(
        {"prompt": "a hat", field: [name] if field == "references" else name}, default_image_size="1K"
    )
    waiting = submit(alice, wish=wish)
    trash(picture)
    erasure.purge_trashed(owner=alice, public_id=picture.public_id)
    before, calls = money(alice), len(upstream.calls)
    with pytest.raises(InvalidInput, match=name):
        submit(alice, wish=wish)
    assert money(alice) == before
    # One that waited already is not painted without it.
    work(waiting)
    assert (waiting.status, waiting.error_code, waiting.charged_micros) == (Status.FAILED, "picture_gone", 0)
    assert name in waiting.error_detail
    assert len(upstream.calls) == calls
    assert money(alice)[1] == 0
    assert audit() == []
