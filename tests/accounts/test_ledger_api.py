import uuid

import pytest

from accounts import ledger, quotas
from accounts.api.serializers import account_body
from accounts.models import Entry
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/ledger"


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


def grant(user, micros, reason="gift"):
    return ledger.grant(user=user, amount_micros=micros, reason=reason, key=f"grant:{uuid.uuid4()}")


def test_the_statement_shows_each_line_with_the_balance_after_it(api, alice):
    grant(alice, 58_000)
    body = api.get(PATH).json()
    assert (body["next"], body["previous"]) == (None, None)
    assert [row["available_after"] for row in body["results"]] == ["1.058000", "1.000000"]
    entry = Entry.objects.latest("version")
    assert body["results"][0] == {
        "id": str(entry.transfer_id),
        "kind": "direct",
        "code": "grant",
        "amount": "0.058000",
        "amount_micros": 58_000,
        "available_change": "0.058000",
        "available_change_micros": 58_000,
        "available_after": "1.058000",
        "available_after_micros": 1_058_000,
        "held_change": "0.000000",
        "held_change_micros": 0,
        "held_after": "0.000000",
        "held_after_micros": 0,
        "currency": "USD",
        "reference": "",
        "reason": "gift",
        "api_key": None,
        "created_at": entry.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_a_statement_is_its_owners_alone(api, alice, bob, bob_key, staff_key, stranger):
    grant(alice, 58_000, reason="for Alice")
    assert [row["reason"] for row in client_with(bob_key).get(PATH).json()["results"]] == ["sign-up credit"]
    assert [row["reason"] for row in client_with(staff_key).get(PATH).json()["results"]] == ["sign-up credit"]
    assert stranger.get(PATH).status_code == 401
    assert client_with(make_key(alice, "read", "generate")).get(PATH).status_code == 403


def test_the_pages_of_a_statement_meet_without_gap_or_overlap(api, alice):
    for micros in range(1, 8):
        grant(alice, micros)
    seen, address = [], f"{PATH}?limit=3"
    while address:
        body = api.get(address).json()
        seen.append([row["amount_micros"] for row in body["results"]])
        grant(alice, 100)  # lines that come in the meantime stand before the page and shift nothing
        address = body["next"]
    assert seen == [[7, 6, 5], [4, 3, 2], [1, 1_000_000]]
    previous = api.get(body["previous"]).json()
    assert [row["amount_micros"] for row in previous["results"]] == [4, 3, 2]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "many", "", "²", "9" * 5000])
def test_a_page_has_1_to_100_lines(api, limit):
    response = api.get(PATH, {"limit": limit})
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["limit"]


def test_a_cursor_that_is_no_cursor_or_of_another_list_is_refused(api, alice):
    grant(alice, 1)
    make_key(alice)
    cursor = api.get(f"{PATH}?limit=1").json()["next"].split("cursor=")[1].split("&")[0]
    assert api.get(f"{PATH}?limit=1&cursor={cursor}").status_code == 200
    other = api.get("/api/v1/api-keys?limit=1").json()["next"].split("cursor=")[1].split("&")[0]
    for wrong in ("", "nonsense", "cD0x", cursor[:-1], other):
        response = api.get(f"{PATH}?limit=1&cursor={wrong}")
        assert response.status_code == 400
        assert [error["field"] for error in response.json()["errors"]] == ["cursor"]


def test_a_page_costs_as_many_queries_whatever_it_shows(api, alice, django_assert_num_queries):
    api.get(PATH)  # notes the use of the key
    for micros in range(1, 6):
        grant(alice, micros)
        with django_assert_num_queries(2):  # the key and its user; the page
            api.get(PATH)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_statement_is_only_read(api, method):
    assert getattr(api, method)(PATH).status_code == 405


def test_an_account_is_described_as_promised(alice):
    quotas.override_limits(user=alice, requests_per_minute=quotas.UNLIMITED)
    standing = quotas.standing_of(alice)
    body = account_body(alice, plan=standing.plan, limits=quotas.describe_standing(standing, running=3))
    limits = body.pop("limits")
    assert body == {
        "id": str(alice.public_id),
        "email": "alice@example.com",
        "name": "Alice",
        "plan": "free",
        "balance": {"available": "1.000000", "held": "0.000000", "spent": "0.000000", "currency": "USD"},
        "created_at": alice.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert [(limit["name"], limit["limit"], limit["used"], limit["remaining"]) for limit in limits] == [
        ("images_per_day", 40, 0, 40),
        ("images_per_month", None, 0, None),
        ("concurrent", 4, 3, 1),
        ("requests_per_minute", None, 0, None),
        ("storage_bytes", 2 * 1024**3, 0, 2 * 1024**3),
    ]
    assert {name: limit["resets_at"] is None for limit in limits for name in [limit["name"]]} == {
        "images_per_day": False,
        "images_per_month": False,
        "concurrent": True,
        "requests_per_minute": False,
        "storage_bytes": True,
    }
