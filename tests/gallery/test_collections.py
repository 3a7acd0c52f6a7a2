"""Collections, on their pages and over REST: one's own alone, for themselves and for each picture."""

import uuid
from http import HTTPStatus

import pytest

from accounts.errors import InvalidInput, NotFound
from gallery import collections, services
from gallery.models import Collection, CollectionItem
from tests.gallery.pictures import add_image, encode_picture, write_file
from tests.gallery.test_library import tiles
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

REST = "/api/v1/collections"


@pytest.fixture
def facts(settings):
    return write_file(settings.SPOOL_DIR, encode_picture("png", size=(60, 40)))[1]


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def program(alice):
    return client_with(make_key(alice, "read", "generate"))


@pytest.fixture
def trips(alice):
    return collections.create(owner=alice, name="Trips")


def patch(client, path, **body):
    return client.patch(path, body, content_type="application/json")


# --- The verbs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "  \n ", "x" * 101, "Trips", " Trips "])
def test_a_name_is_needed_has_a_limit_and_is_there_once(alice, bob, trips, name):
    with pytest.raises(InvalidInput):
        collections.create(owner=alice, name=name)
    assert list(Collection.objects.values_list("name", flat=True)) == ["Trips"]
    assert collections.create(owner=bob, name="Trips").name == "Trips"


def test_there_is_a_limit_of_collections(alice, monkeypatch, trips):
    monkeypatch.setattr(collections, "MAX_COLLECTIONS", 1)
    with pytest.raises(InvalidInput, match="You have 1 collections"):
        collections.create(owner=alice, name="Another")
    assert Collection.objects.count() == 1


def test_no_picture_of_somebody_else_gets_into_a_collection(alice, bob, facts, trips):
    with pytest.raises(NotFound):
        collections.add(collection=trips, images=[add_image(alice, facts), add_image(bob, facts)])
    assert not CollectionItem.objects.exists()


def test_collections_are_assigned_as_a_whole_and_the_same_again_changes_nothing(alice, facts, trips):
    home, image = collections.create(owner=alice, name="Home"), add_image(alice, facts)

    def assign(*public_ids):
        edited = services.edit_image(owner=alice, public_id=image.public_id, collection_ids=public_ids)
        return edited.version, sorted(collection.name for collection in edited.collections.all())

    assert assign(trips.public_id, home.public_id) == (2, ["Home", "Trips"])
    assert assign(home.public_id, trips.public_id) == (2, ["Home", "Trips"])
    assert assign(home.public_id) == (3, ["Home"])
    assert assign() == (4, [])


# --- REST ----------------------------------------------------------------------------------------


def test_a_collection_is_made_renamed_listed_and_deleted_over_rest(program, alice, facts):
    answer = program.post(REST, {"name": "Trips"}, content_type="application/json")
    assert answer.status_code == HTTPStatus.CREATED
    body = answer.json()
    path = f"{REST}/{body['id']}"
    assert answer["Location"] == f"http://testserver{path}"
    assert patch(program, path, name="Journeys").json() == {**body, "name": "Journeys"}
    assert program.get(path).json()["name"] == "Journeys"
    assert [row["name"] for row in program.get(REST).json()["results"]] == ["Journeys"]
    image = add_image(alice, facts)
    patch(program, f"/api/v1/images/{image.public_id}", collections=[body["id"]])
    assert program.get(f"/api/v1/images/{image.public_id}").json()["collections"] == [body["id"]]
    assert program.delete(path).status_code == HTTPStatus.NO_CONTENT
    assert program.get(path).status_code == HTTPStatus.NOT_FOUND
    assert program.get(f"/api/v1/images/{image.public_id}").json()["collections"] == []


def test_an_image_enters_only_collections_of_its_owner(program, alice, bob, facts):
    image, theirs = add_image(alice, facts), collections.create(owner=bob, name="Theirs")
    for public_id in (theirs.public_id, uuid.uuid4()):
        answer = patch(program, f"/api/v1/images/{image.public_id}", title="New", collections=[str(public_id)])
        assert answer.status_code == HTTPStatus.BAD_REQUEST
        assert answer.json()["errors"][0]["field"] == "collections"
    image.refresh_from_db()
    assert (image.title, image.version, CollectionItem.objects.count()) == ("", 1, 0)


def test_collections_of_others_are_not_there(program, bob):
    theirs = collections.create(owner=bob, name="Theirs")
    path = f"{REST}/{theirs.public_id}"
    answers = [program.get(path), patch(program, path, name="Mine"), program.delete(path)]
    answers.append(program.get("/api/v1/images", {"collection": theirs.public_id}))
    assert [answer.status_code for answer in answers] == [HTTPStatus.NOT_FOUND] * 4
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"


def test_reading_alone_does_not_change_collections(alice, trips):
    reader = client_with(make_key(alice, "read"))
    answers = [
        reader.post(REST, {"name": "New"}, content_type="application/json"),
        patch(reader, f"{REST}/{trips.public_id}", name="New"),
        reader.delete(f"{REST}/{trips.public_id}"),
    ]
    assert [answer.status_code for answer in answers] == [HTTPStatus.FORBIDDEN] * 3
    assert list(Collection.objects.values_list("name", flat=True)) == ["Trips"]


def test_filters_find_favourites_collections_ratios_and_visibility(program, alice, facts, trips):
    plain, loved = add_image(alice, facts), add_image(alice, facts, aspect_ratio="16:9")
    patch(program, f"/api/v1/images/{loved.public_id}", favourite=True, collections=[str(trips.public_id)])

    def found(**query):
        return [row["id"] for row in program.get("/api/v1/images", query).json()["results"]]

    both = [str(loved.public_id), str(plain.public_id)]
    assert found(favourite="true") == found(collection=trips.public_id) == found(aspect_ratio="16:9") == both[:1]
    assert found(favourite="false") == both[1:]
    assert found(visibility="private", review_status="none") == both
    assert found(visibility="public") == []
    assert found(collection=trips.public_id, q="circle", favourite="true", kind="image") == both[:1]


# --- Pages ---------------------------------------------------------------------------------------


def test_a_collection_is_made_on_its_page_and_shows_its_pictures_the_newest_first(browser, alice, facts):
    answer = browser.post("/collections/", {"name": "Trips"})
    trips = Collection.objects.get()
    assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, f"/collections/{trips.public_id}/")
    first, _, third = (add_image(alice, facts) for _ in range(3))
    collections.add(collection=trips, images=[third, first])
    page = f"/collections/{trips.public_id}/"
    assert tiles(browser.get(page)) == [str(third.public_id), str(first.public_id)]
    assert tiles(browser.get(f"{page}?before={third.public_id}")) == [str(first.public_id)]
    assert tiles(browser.get("/library/", {"collection": trips.public_id, "q": "circle"})) == tiles(browser.get(page))
    assert "Trips" in browser.get("/collections/").content.decode()
    services.trash_image(owner=alice, public_id=third.public_id)
    assert tiles(browser.get(page)) == [str(first.public_id)]


def test_a_name_that_cannot_be_is_told_beside_its_field(browser, trips):
    answer = browser.post("/collections/", {"name": "Trips"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "You have a collection called “Trips” already." in answer.content.decode()
    collections.create(owner=trips.owner, name="Home")
    answer = browser.post(f"/collections/{trips.public_id}/rename/", {"name": "Home"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "You have a collection called “Home” already." in answer.content.decode()
    assert sorted(Collection.objects.values_list("name", flat=True)) == ["Home", "Trips"]


def test_a_collection_is_renamed_and_deleted_and_its_pictures_stay(browser, alice, facts, trips):
    image = add_image(alice, facts)
    collections.add(collection=trips, images=[image])
    browser.post(f"/collections/{trips.public_id}/rename/", {"name": "Journeys"})
    trips.refresh_from_db()
    assert trips.name == "Journeys"
    browser.post(f"/collections/{trips.public_id}/delete/")
    assert not Collection.objects.exists()
    assert tiles(browser.get("/library/")) == [str(image.public_id)]


def test_pages_of_others_collections_are_not_there(client, bob, trips):
    client.force_login(bob)
    page = f"/collections/{trips.public_id}/"
    answers = [client.get(page), client.post(f"{page}rename/", {"name": "Mine"}), client.post(f"{page}delete/")]
    assert [answer.status_code for answer in answers] == [HTTPStatus.NOT_FOUND] * 3
    assert Collection.objects.get().name == "Trips"


@pytest.mark.parametrize("path", ["/collections/", f"/collections/{uuid.UUID(int=1)}/"])
def test_strangers_are_sent_to_sign_in(stranger, path):
    assert stranger.get(path)["Location"].endswith(f"?next={path}")


def test_the_pages_cost_the_same_queries_however_much_there_is(browser, alice, facts, django_assert_num_queries):
    for number in range(5):
        collection = collections.create(owner=alice, name=f"Trip {number}")
        collections.add(collection=collection, images=[add_image(alice, facts) for _ in range(3)])
    with django_assert_num_queries(4):
        browser.get("/collections/")
    with django_assert_num_queries(4):
        browser.get(f"/collections/{collection.public_id}/")
