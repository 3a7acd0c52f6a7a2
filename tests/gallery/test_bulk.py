"""Several pictures at once: each with its own result, by REST and by a form, and as a ZIP file."""

import io
import json
import re
import uuid
import zipfile
from http import HTTPStatus

import pytest
from django.utils import timezone

from gallery import collections, storage
from gallery.models import CollectionItem, Image
from tests.gallery.pictures import add_image, encode_picture, keep_image, write_file
from tests.gallery.test_library import tiles
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

REST = "/api/v1/images/actions"
FORM = "/library/actions/"
ZIP = "/api/v1/images/archive"


@pytest.fixture
def images(alice, settings):
    facts = write_file(settings.SPOOL_DIR, encode_picture("png", size=(60, 40)))[1]
    return [add_image(alice, facts) for _ in range(3)]


@pytest.fixture
def theirs(bob, settings):
    return add_image(bob, write_file(settings.SPOOL_DIR, encode_picture("png", size=(20, 40)), name="theirs")[1])


@pytest.fixture
def program(alice):
    return client_with(make_key(alice, "read", "generate"))


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


def send(client, path, **body):
    return client.post(path, body, content_type="application/json")


def ids(images):
    return [str(image.public_id) for image in images]


def states(images):
    rows = Image.objects.in_bulk([image.pk for image in images])
    return [
        (rows[image.pk].is_favourite, rows[image.pk].trashed_at is not None, rows[image.pk].version) for image in images
    ]


# --- Actions -------------------------------------------------------------------------------------


def test_each_picture_has_its_own_result_and_nobody_elses_is_touched(program, images, theirs):
    unknown = uuid.uuid4()
    answer = send(program, REST, action="trash", ids=[*ids(images[:2]), *ids([theirs]), str(unknown)])
    assert answer.status_code == HTTPStatus.OK
    missing = {"code": "not_found", "detail": answer.json()[2]["error"]["detail"]}
    assert answer.json() == [
        {"id": str(images[0].public_id), "error": None},
        {"id": str(images[1].public_id), "error": None},
        {"id": str(theirs.public_id), "error": missing},
        {"id": str(unknown), "error": missing},
    ]
    assert states([*images, theirs]) == [(False, True, 2), (False, True, 2), (False, False, 1), (False, False, 1)]


def test_actions_and_their_opposites_change_only_what_is_not_so_yet(program, images):
    for action in ("favourite", "favourite", "trash"):
        send(program, REST, action=action, ids=ids(images[:1]))
    send(program, REST, action="favourite", ids=ids(images[:2]))
    assert states(images) == [(True, True, 3), (True, False, 2), (False, False, 1)]
    send(program, REST, action="unfavourite", ids=ids(images))
    send(program, REST, action="restore", ids=ids(images))
    assert states(images) == [(False, False, 5), (False, False, 3), (False, False, 1)]


def test_pictures_enter_and_leave_a_collection(program, alice, images, theirs):
    trips = collections.create(owner=alice, name="Trips")
    send(program, REST, action="collect", ids=[*ids(images), *ids([theirs])], collection=str(trips.public_id))
    send(program, REST, action="uncollect", ids=ids(images[:1]), collection=str(trips.public_id))
    assert sorted(CollectionItem.objects.values_list("image_id", flat=True)) == [images[1].pk, images[2].pk]


def test_a_collection_of_somebody_else_is_not_there(program, bob, images):
    trips = collections.create(owner=bob, name="Trips")
    answer = send(program, REST, action="collect", ids=ids(images), collection=str(trips.public_id))
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert not CollectionItem.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "trash", "ids": []}, "ids"),
        ({"action": "trash", "ids": [str(uuid.UUID(int=number)) for number in range(201)]}, "ids"),
        ({"action": "collect"}, "collection"),
        ({"action": "trash", "collection": str(uuid.UUID(int=1))}, "collection"),
        ({"action": "explode"}, "action"),
        ({"action": "trash", "colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_done(program, images, body, field):
    answer = send(program, REST, **{"ids": ids(images), **body})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.json()["errors"][0]["field"] == field
    assert states(images) == [(False, False, 1)] * 3


def test_a_key_that_may_only_read_changes_nothing(alice, images):
    reader = client_with(make_key(alice, "read"))
    assert send(reader, REST, action="trash", ids=ids(images)).status_code == HTTPStatus.FORBIDDEN
    assert states(images) == [(False, False, 1)] * 3


# --- The form ------------------------------------------------------------------------------------


def test_the_form_trashes_and_offers_the_way_back(browser, images):
    answer = browser.post(FORM, {"action": "trash", "ids": ids(images[:2]), "next": "/library/?q=x"})
    assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, "/library/?q=x")
    page = browser.get("/library/").content.decode()
    assert "Moved to trash: 2 pictures." in page
    assert 'name="action" value="restore">Undo' in page
    browser.post(FORM, {"action": "restore", "ids": ids(images[:2])})
    assert tiles(browser.get("/library/")) == ids(images)[::-1]


@pytest.mark.parametrize("address", ["https://example.org/", "//example.org/", "javascript:alert(1)", ""])
def test_the_form_leads_to_no_other_site(browser, images, address):
    answer = browser.post(FORM, {"action": "favourite", "ids": ids(images), "next": address})
    assert answer["Location"] == "/library/"


def test_a_collection_is_chosen_on_a_page_of_its_own_or_named_there(browser, alice, images):
    trips = collections.create(owner=alice, name="Trips")
    page = browser.post(FORM, {"action": "collect", "ids": ids(images)}).content.decode()
    assert f'value="{trips.public_id}"' in page
    assert "3 pictures." in page
    browser.post(FORM, {"action": "collect", "ids": ids(images[:1]), "collection": trips.public_id})
    browser.post(FORM, {"action": "collect", "ids": ids(images[1:]), "name": "Home"})
    named = dict(CollectionItem.objects.values_list("image_id", "collection__name"))
    assert named == {images[0].pk: "Trips", images[1].pk: "Home", images[2].pk: "Home"}
    browser.post(FORM, {"action": "uncollect", "ids": ids(images), "from": trips.public_id})
    assert CollectionItem.objects.count() == 2


def test_a_tile_has_a_box_that_belongs_to_the_form(browser, images):
    page = browser.get("/library/").content.decode()
    assert page.count('type="checkbox" name="ids"') == 3
    assert page.count('form="chosen"') == 3
    assert 'id="chosen" method="post" action="/library/actions/"' in page


# --- Deleting for good -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_pictures_of_the_trash_are_purged_each_with_its_own_result(program, images, theirs):
    shut_away, kept, unknown = images[1], images[2], uuid.uuid4()
    Image.objects.filter(pk__in=[image.pk for image in (*images[:2], theirs)]).update(trashed_at=timezone.now())
    Image.objects.filter(pk=shut_away.pk).update(review_status=Image.ReviewStatus.QUARANTINED)
    asked = [*ids(images), *ids([theirs]), str(unknown), str(images[0].public_id)]
    answer = send(program, REST, action="purge", ids=asked)
    assert answer.status_code == HTTPStatus.OK
    assert [(result["id"], result["error"] and result["error"]["code"]) for result in answer.json()] == [
        (str(images[0].public_id), None),
        (str(shut_away.public_id), "conflict"),
        (str(kept.public_id), "not_found"),
        (str(theirs.public_id), "not_found"),
        (str(unknown), "not_found"),
    ]
    purged = Image.objects.exclude(purged_at=None)
    assert [(image.pk, image.blob, image.prompt) for image in purged] == [(images[0].pk, None, "")]
    again = send(program, REST, action="purge", ids=ids(images[:1]))
    assert [result["error"]["code"] for result in again.json()] == ["not_found"]


@pytest.mark.django_db(transaction=True)
def test_the_form_asks_before_it_deletes_for_good(browser, images, theirs):
    for image in (*images[:2], theirs):
        Image.objects.filter(pk=image.pk).update(trashed_at=timezone.now())
    asked = browser.post(FORM, {"action": "purge", "ids": ids([*images, theirs]), "next": "/library/trash/"})
    page = asked.content.decode()
    assert "Delete these 2 pictures for good?" in page
    assert "not in the trash: 2." in page
    assert sorted(re.findall(r'name="ids" value="([^"]+)"', page)) == sorted(ids(images[:2]))
    assert not Image.objects.exclude(purged_at=None).exists()
    answer = browser.post(FORM, {"action": "purge", "ids": ids([*images[:2], theirs]), "sure": "1"})
    assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, "/library/trash/")
    assert sorted(Image.objects.exclude(purged_at=None).values_list("pk", flat=True)) == [
        images[0].pk,
        images[1].pk,
    ]
    assert "Deleted for good: 2 pictures. 1 could not be found." in browser.get("/library/trash/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_is_shut_away_meanwhile_is_told_apart(browser, images):
    Image.objects.update(trashed_at=timezone.now())
    Image.objects.filter(pk=images[0].pk).update(review_status=Image.ReviewStatus.QUARANTINED)
    browser.post(FORM, {"action": "purge", "ids": ids(images), "sure": "1"})
    page = browser.get("/library/trash/").content.decode()
    assert "Deleted for good: 2 pictures. Kept, as the reviewers have shut it away: 1." in page
    assert list(Image.objects.filter(purged_at=None)) == [images[0]]


def test_nothing_of_the_trash_to_delete_is_not_there(browser, images):
    assert browser.post(FORM, {"action": "purge", "ids": ids(images)}).status_code == HTTPStatus.NOT_FOUND


def test_two_hundred_are_asked_for_on_one_small_page(browser, alice, images):
    rows = [Image(owner=alice, blob=images[0].blob, prompt="x" * 300, trashed_at=timezone.now()) for _ in range(200)]
    Image.objects.bulk_create(rows)
    page = browser.post(FORM, {"action": "purge", "ids": ids(rows)}).content
    assert b"And 188 more." in page
    assert page.count(b'name="ids"') == 200
    assert len(page) <= 50 * 1024


# --- ZIP -----------------------------------------------------------------------------------------


def opened(answer):
    assert answer.status_code == HTTPStatus.OK
    assert answer["Content-Type"] == "application/zip"
    assert answer["Cache-Control"] == "private, no-store"
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


def test_a_zip_has_the_original_bytes_and_what_is_known_of_them(program, alice, settings):
    data = encode_picture("jpeg", size=(90, 60))
    image = keep_image(alice, settings.SPOOL_DIR, data, prompt="Ein Föhrenwald")
    archive = opened(send(program, ZIP, ids=ids([image])))
    stem = f"{image.created_at:%Y-%m-%d}-{image.public_id}"
    assert archive.testzip() is None
    assert archive.namelist() == [f"{stem}.jpg", f"{stem}.json"]
    assert archive.read(f"{stem}.jpg") == data
    told = json.loads(archive.read(f"{stem}.json"))
    assert (told["file"], told["problem"], told["sha256"]) == (f"{stem}.jpg", None, image.blob.sha256)
    assert (told["prompt"], told["model"], told["width"]) == ("Ein Föhrenwald", image.model, 90)
    assert told["asked"] == {"aspect_ratio": "1:1", "image_size": "1K"}


def test_a_picture_whose_bytes_are_away_is_told_and_the_others_come(program, alice, settings):
    kept = keep_image(alice, settings.SPOOL_DIR, encode_picture("png", size=(90, 60)))
    lost = keep_image(alice, settings.SPOOL_DIR, encode_picture("png", size=(60, 90)))
    storage.delete(lost.blob.storage_name)
    archive = opened(send(program, ZIP, ids=ids([lost, kept])))
    told = {name[11:47]: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith("json")}
    assert told[str(lost.public_id)]["problem"] == "The bytes of this picture could not be read."
    assert told[str(kept.public_id)]["problem"] is None
    assert len(archive.namelist()) == 3


def test_a_zip_with_a_picture_of_somebody_else_is_refused(program, images, theirs):
    answer = send(program, ZIP, ids=[*ids(images), *ids([theirs])])
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.json()["errors"][0] == {"field": "ids", "message": f"You have no image {theirs.public_id}."}


def test_the_form_downloads_a_zip_and_holds_one_piece_at_a_time(browser, alice, settings, monkeypatch):
    monkeypatch.setattr("gallery.archive.CHUNK_BYTES", 1000)
    image = keep_image(alice, settings.SPOOL_DIR, encode_picture("png", size=(400, 300)))
    answer = browser.post(FORM, {"action": "download", "ids": ids([image])})
    pieces = list(answer.streaming_content)
    assert max(len(piece) for piece in pieces) < 2500
    assert zipfile.ZipFile(io.BytesIO(b"".join(pieces))).testzip() is None


def test_bytes_that_are_shut_away_are_in_no_zip(program, browser, images):
    status = Image.ReviewStatus
    Image.objects.filter(pk=images[0].pk).update(review_status=status.QUARANTINED)
    answer = send(program, ZIP, ids=ids(images))
    assert answer.json()["errors"][0] == {"field": "ids", "message": f"You have no image {images[0].public_id}."}
    assert browser.post(FORM, {"action": "download", "ids": ids(images[:1])}).status_code == HTTPStatus.NOT_FOUND
    named = opened(browser.post(FORM, {"action": "download", "ids": ids(images)})).namelist()
    assert sorted(name[11:47] for name in named) == sorted(ids(images[1:]))
