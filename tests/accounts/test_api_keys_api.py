import re
import uuid
from datetime import UTC, datetime

import pytest

from accounts import keys, ledger
from accounts.models import ApiKey, LimitChange
from tests.accounts.money import IMAGE, make_price, reserve
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/api-keys"
FIGURES = ("budget", "budget_period", "budget_spent", "budget_held", "budget_left", "budget_resets_at")
WITHOUT_BUDGET = dict.fromkeys(FIGURES)


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
        **WITHOUT_BUDGET,
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


# --- Budgets ---


def change(client, key_id, **body):
    return client.patch(f"{PATH}/{key_id}", body, content_type="application/json")


def figures(body):
    return tuple(body[name] for name in FIGURES)


def test_a_key_may_have_a_budget_of_its_own_and_tells_what_is_left_of_it(api, alice):
    made = create(api, budget="0.50", budget_period="month").json()
    key = ApiKey.objects.get(public_id=made["id"])
    assert (key.budget_micros, key.budget_period) == (500_000, "month")
    price = make_price()
    ledger.capture(hold=reserve(alice, price, api_key=key))
    reserve(alice, price, 2 * IMAGE, api_key=key)
    listed = next(row for row in api.get(PATH).json()["results"] if row["id"] == made["id"])
    resets_at = ledger.budgets_of([key])[key.pk].resets_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert figures(listed) == ("0.500000", "month", "0.058000", "0.116000", "0.326000", resets_at)


def test_a_budget_without_a_period_is_a_total(api):
    made = create(api, budget="5").json()
    assert figures(made) == ("5.000000", "total", "0.000000", "0.000000", "5.000000", None)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("budget", {"budget": "0"}),
        ("budget", {"budget": "-1"}),
        ("budget", {"budget": "0.0000001"}),
        ("budget", {"budget": "NaN"}),
        ("budget", {"budget": "Infinity"}),
        ("budget", {"budget": "1e3"}),
        ("budget", {"budget": ""}),
        ("budget", {"budget": 5}),
        ("budget", {"budget": 0.1}),
        ("budget", {"budget": "9007199254.740992"}),
        ("budget", {"budget": ["1"]}),
        ("budget_period", {"budget": "1", "budget_period": "week"}),
    ],
)
def test_a_bad_budget_is_refused_by_its_field_and_changes_nothing(api, field, body):
    assert [error["field"] for error in create(api, **body).json()["errors"]] == [field]
    assert ApiKey.objects.count() == 1
    made = create(api, budget="5").json()
    refusal = change(api, made["id"], **body)
    assert refusal.status_code == 400
    assert [error["field"] for error in refusal.json()["errors"]] == [field]
    assert ApiKey.objects.get(public_id=made["id"]).budget_micros == 5_000_000


def test_a_change_names_what_changes_and_leaves_the_rest(api):
    made = create(api, name="Laptop", budget="5", budget_period="month").json()
    assert change(api, made["id"], name=" Desk ").json()["name"] == "Desk"
    assert figures(change(api, made["id"], budget="2").json())[:2] == ("2.000000", "month")
    assert figures(change(api, made["id"], budget_period="total").json())[:2] == ("2.000000", "total")
    lifted = change(api, made["id"], budget=None).json()
    assert (lifted["name"], figures(lifted)) == ("Desk", (None,) * 6)


def test_a_period_needs_a_budget_and_a_field_that_is_not_there_is_named(api):
    made = create(api).json()
    for field, body in (("budget_period", {"budget_period": "month"}), ("scopes", {"scopes": ["read"]})):
        refusal = change(api, made["id"], **body)
        assert [error["field"] for error in refusal.json()["errors"]] == [field]
    assert ApiKey.objects.get(public_id=made["id"]).budget_period == ""


def test_a_key_that_is_revoked_or_another_users_is_not_found(api, bob_key, alice):
    made = create(api).json()
    assert change(client_with(bob_key), made["id"], budget="1").status_code == 404
    api.delete(f"{PATH}/{made['id']}")
    assert change(api, made["id"], budget="1").status_code == 404
    assert ApiKey.objects.get(public_id=made["id"]).budget_micros is None


def test_a_key_with_a_budget_cannot_lift_it_nor_make_a_key_without_one(alice, api):
    limited = make_key(alice, budget_micros=1_000_000)
    row = ApiKey.objects.get(budget_micros=1_000_000)
    refusals = [
        change(client_with(limited), row.public_id, budget=None),
        change(client_with(limited), row.public_id, budget_period="month"),
        create(client_with(limited), scopes=["generate"]),
    ]
    assert [refusal.status_code for refusal in refusals] == [403] * 3
    assert change(client_with(limited), row.public_id, name="mine").json()["name"] == "mine"
    row.refresh_from_db()
    assert (row.budget_micros, row.budget_period, ApiKey.objects.count()) == (1_000_000, "total", 2)


def test_the_list_reads_the_budgets_of_all_keys_at_once(api, alice, django_assert_max_num_queries):
    for _ in range(8):
        make_key(alice, budget_micros=1)
    with django_assert_max_num_queries(5):
        assert len(api.get(PATH).json()["results"]) == 9


# --- Limits ---


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


LIMITS = ("images_per_day", "images_per_month", "concurrent", "requests_per_minute")


def test_a_change_of_limits_names_what_changes_and_lifts_with_null(api):
    made = create(api, images_per_day=5, concurrent=1).json()
    body = change(api, made["id"], images_per_day=7, images_per_month=9).json()
    assert [body[name] for name in LIMITS] == [7, 9, 1, None]
    body = change(api, made["id"], concurrent=None, name="cron").json()
    assert [body[name] for name in LIMITS] == [7, 9, None, None]
    row = ApiKey.objects.get(public_id=made["id"])
    assert (row.name, [getattr(row, name) for name in LIMITS]) == ("cron", [7, 9, None, None])


def test_who_changed_a_keys_limits_and_what_they_were_is_kept(api, alice):
    made = create(api, images_per_day=5).json()
    asker = ApiKey.objects.exclude(public_id=made["id"]).get()
    change(api, made["id"], images_per_day=7, budget="0.5")
    change(api, made["id"], name="cron")  # neither a budget nor a limit
    change(api, made["id"], images_per_day=7)  # no change
    keys.update_key(user=alice, key_id=made["id"], limits={"images_per_day": None})
    budget = {"budget_micros": 500_000, "budget_period": "total"}
    assert list(LimitChange.objects.order_by("pk").values_list("subject", "actor", "before", "after")) == [
        (
            f"key:{made['id']}",
            f"key:{asker.public_id}",
            {"images_per_day": 5},
            {"images_per_day": 7, **budget},
        ),
        (f"key:{made['id']}", str(alice.public_id), {"images_per_day": 7, **budget}, budget),
    ]


def test_a_key_with_limits_lifts_none_of_its_own_nor_of_another(alice, api):
    limited = make_key(alice, limits={"images_per_day": 1})
    row = ApiKey.objects.get(images_per_day=1)
    other = ApiKey.objects.exclude(pk=row.pk).get()
    for key in (row, other):
        refusal = change(client_with(limited), key.public_id, images_per_day=None)
        assert (refusal.status_code, refusal.json()["code"]) == (403, "forbidden")
    row.refresh_from_db()
    assert (row.images_per_day, LimitChange.objects.count()) == (1, 0)


def test_a_period_without_a_budget_makes_no_key(api):
    count = ApiKey.objects.count()
    refusal = create(api, budget_period="month")
    assert [error["field"] for error in refusal.json()["errors"]] == ["budget_period"]
    assert ApiKey.objects.count() == count
