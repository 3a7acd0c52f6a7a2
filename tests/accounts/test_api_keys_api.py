import re
import uuid
from datetime import UTC, datetime

import pytest

from accounts import keys
from accounts.models import ApiKey
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/api-keys"


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


def create(client, **body):
    return client.post(PATH, body, content_type="application/json")


def test_a_new_key_is_shown_once_and_works(api, alice):
    response = create(api, name="Laptop", scopes=["read", "account"], expires_at="2999-01-31T12:00:00+02:00")
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    row = ApiKey.objects.get(name="Laptop")
    assert body == {
        "id": str(row.public_id),
        "name": "Laptop",
        "prefix": f"nbk_live_{row.lookup}",
        "last_four": body["key"][-4:],
        "scopes": ["read", "account"],
        "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
        "expires_at": "2999-01-31T10:00:00Z",
        "last_used_at": None,
        "images_per_day": None,
        "images_per_month": None,
        "concurrent": None,
        "requests_per_minute": None,
        "key": body["key"],
    }
    assert re.fullmatch(keys.KEY_PATTERN, body["key"])
    assert keys.authenticate(body["key"]).user == alice
    listed = client_with(body["key"]).get(PATH)
    assert body["key"] not in listed.content.decode()
    assert row.secret_hash not in listed.content.decode()


def test_a_key_without_wishes_generates_and_reads(api):
    body = create(api).json()
    assert (body["name"], body["scopes"], body["expires_at"]) == ("API key", ["generate", "read"], None)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("scopes", {"scopes": ["admin"]}),
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": "read"}),
        ("scopes", {"scopes": None}),
        ("scopes.0", {"scopes": [["read"]]}),
        ("name", {"name": ""}),
        ("name", {"name": "n" * 101}),
        ("name", {"name": "a\0b"}),
        ("name", {"name": None}),
        ("expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
        ("expires_at", {"expires_at": "soon"}),
        ("user", {"user": 1}),
    ],
)
def test_a_bad_wish_is_refused_by_its_field_and_makes_no_key(api, field, body):
    response = create(api, **body)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert ApiKey.objects.count() == 1


def test_the_review_scope_is_for_staff(api, staff_key):
    response = create(api, scopes=["review"])
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert create(client_with(staff_key), scopes=["review"]).status_code == 201


def test_a_key_passes_on_no_scope_that_it_has_not_but_a_session_may(alice, client):
    response = create(client_with(make_key(alice, "account")), scopes=["generate"])
    assert (response.status_code, response.json()["errors"][0]["field"]) == (403, "scopes")
    client.force_login(alice)
    assert create(client, scopes=["generate"]).status_code == 201


def test_the_list_shows_own_keys_that_were_not_revoked_newest_first(api, alice, bob_key):
    first, second = (create(api, name=name).json() for name in ("first", "second"))
    assert api.delete(f"{PATH}/{first['id']}").status_code == 204
    body = api.get(PATH).json()
    assert [row["name"] for row in body["results"]] == ["second", "API key"]
    assert (body["next"], body["previous"]) == (None, None)
    assert body["results"][0] == {name: value for name, value in second.items() if name != "key"}


def test_a_revoked_key_is_refused_at_its_next_request(api):
    made = create(api, scopes=["account"]).json()
    other = client_with(made["key"])
    assert other.get(PATH).status_code == 200
    response = api.delete(f"{PATH}/{made['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert other.get(PATH).status_code == 401
    assert api.delete(f"{PATH}/{made['id']}").status_code == 204


def test_a_key_may_revoke_itself(api):
    own = api.get(PATH).json()["results"][0]["id"]
    assert api.delete(f"{PATH}/{own}").status_code == 204
    assert api.get(PATH).status_code == 401


def test_the_keys_of_others_are_not_there(api, bob_key, stranger, staff_key):
    his = ApiKey.objects.get(user__email="bob@example.com")
    for client in (api, client_with(staff_key)):
        response = client.delete(f"{PATH}/{his.public_id}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert stranger.delete(f"{PATH}/{his.public_id}").status_code == 401
    assert api.delete(f"{PATH}/{uuid.uuid4()}").status_code == 404
    assert api.delete(f"{PATH}/nonsense").status_code == 404
    his.refresh_from_db()
    assert his.revoked_at is None


def test_a_trailing_slash_changes_nothing(api):
    assert api.get(f"{PATH}/").json() == api.get(PATH).json()
    made = api.post(f"{PATH}/", {}, content_type="application/json")
    assert made.status_code == 201
    assert api.delete(f"{PATH}/{made.json()['id']}/").status_code == 204


def test_other_methods_are_405_and_name_the_allowed_ones(api):
    response = api.put(PATH, {}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(response["Allow"].split(", "))


def test_the_last_use_is_shown(api):
    api.get(PATH)
    shown = api.get(PATH).json()["results"][0]["last_used_at"]
    assert datetime.fromisoformat(shown) == ApiKey.objects.get().last_used_at.astimezone(UTC)


def test_a_key_is_made_with_limits_of_its_own(api, alice):
    body = create(api, name="cron", images_per_day=5, concurrent=1).json()
    row = ApiKey.objects.get(name="cron")
    assert (row.images_per_day, row.images_per_month, row.concurrent, row.requests_per_minute) == (5, None, 1, None)
    assert (body["images_per_day"], body["images_per_month"], body["concurrent"]) == (5, None, 1)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True, 2**31 - 1, 10**30])
def test_a_limit_that_is_none_is_refused_and_no_key_is_made(api, limit):
    count = ApiKey.objects.count()
    response = create(api, images_per_day=limit)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "images_per_day")
    assert ApiKey.objects.count() == count
