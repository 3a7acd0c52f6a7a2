"""REST for generations, models and the account: who may, what is refused by name, and what is not charged."""

import json
import uuid

import pytest

from accounts.models import Quota, Transfer, Usage
from generations.models import Generation, IdempotencyKey
from tests import people

pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v1"


@pytest.fixture
def client(alice_key):
    return people.client_with(alice_key)


def post(client, body, **headers):
    return client.post(f"{API}/generations", json.dumps(body), content_type="application/json", headers=headers)


def nothing_was_kept():
    return (
        not Generation.objects.exists()
        and not Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()
        and not IdempotencyKey.objects.exists()
        and not Usage.objects.filter(name="images_per_day", used__gt=0).exists()
    )


def test_a_wish_is_answered_with_its_whole_state(client):
    answer = post(client, {"prompt": "a fox", "aspect_ratio": "8:1", "image_size": "512", "seed": 7})
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"].endswith(f"/api/v1/generations/{body['id']}")
    assert body["status"] == body["stage"] == "queued"
    assert body["parameters"] == {
        "aspect_ratio": "8:1",
        "image_size": "0.5K",
        "count": 1,
        "modalities": ["IMAGE"],
        "grounding": False,
        "thinking": None,
        "include_thoughts": False,
        "styles": [],
        "references": [],
        "edit_of": None,
        "seed": 7,
    }
    assert body["cost"] == {"quoted": "0.058000", "held": "0.058000", "charged": "0.000000", "currency": "USD"}
    assert (body["queue_position"], body["progress"], body["images"], body["error"]) == (1, 0.0, [], None)
    assert (body["queue_reason"], body["eta_s"]) == ("A worker is about to take it.", 20.0)
    assert body["source"] == "rest"


REFUSED = {
    "empty prompt": ({"prompt": ""}, "prompt"),
    "blank prompt": ({"prompt": " \n "}, "prompt"),
    "no prompt": ({}, "prompt"),
    "4,001 characters": ({"prompt": "x" * 4001}, "prompt"),
    "NUL": ({"prompt": "a\0b"}, "prompt"),
    "unknown model": ({"prompt": "a", "model": "gemini-4"}, "model"),
    "unknown ratio": ({"prompt": "a", "aspect_ratio": "7:5"}, "aspect_ratio"),
    "unknown size": ({"prompt": "a", "image_size": "8K"}, "image_size"),
    "size in lower case": ({"prompt": "a", "image_size": "1k"}, "image_size"),
    "unknown field": ({"prompt": "a", "sizee": "1K"}, "sizee"),
    "a ratio that Pro lacks": ({"prompt": "a", "model": "gemini-3-pro-image", "aspect_ratio": "8:1"}, "aspect_ratio"),
    "a size that Pro lacks": ({"prompt": "a", "model": "nano-banana-pro", "image_size": "0.5K"}, "image_size"),
    "five pictures": ({"prompt": "a", "count": 5}, "count"),
    "a seed that is true": ({"prompt": "a", "seed": True}, "seed"),
    "text alone": ({"prompt": "a", "modalities": ["TEXT"]}, "modalities"),
    "a client_id that is no uuid": ({"prompt": "a", "client_id": "x"}, "client_id"),
}


@pytest.mark.parametrize(("body", "field"), REFUSED.values(), ids=REFUSED)
def test_a_bad_wish_is_refused_by_name_and_nothing_is_kept(body, field, client):
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["remedy"]
    assert nothing_was_kept()


def test_4000_characters_are_a_prompt(client):
    assert post(client, {"prompt": "é" * 4000}).status_code == 202


def test_without_credit_the_answer_is_402_with_the_figures(penniless):
    answer = post(people.client_with(people.make_key(penniless)), {"prompt": "a fox"})
    assert answer.status_code == 402
    problem = answer.json()
    assert problem["code"] == "insufficient_credit"
    assert (problem["available"], problem["required"], problem["held"]) == ("0.000000", "0.058000", "0.000000")
    assert nothing_was_kept()


def test_a_used_up_quota_is_429_with_its_headers(alice, client):
    Quota.objects.create(user=alice, images_per_day=0)
    answer = post(client, {"prompt": "a fox"})
    assert answer.status_code == 429
    assert answer.json()["code"] == "quota_exceeded"
    assert int(answer["Retry-After"]) > 0
    assert "RateLimit" in answer
    assert nothing_was_kept()


def test_too_many_requests_in_a_minute_are_429(alice, client):
    Quota.objects.create(user=alice, requests_per_minute=2)
    codes = [post(client, {"prompt": ""}).status_code for _ in range(3)]
    assert codes == [400, 400, 429]
    assert client.get(f"{API}/generations").status_code == 200  # reading is free


def test_a_key_without_the_scope_is_403_and_nothing_is_kept(alice):
    answer = post(people.client_with(people.make_key(alice, "read")), {"prompt": "a fox"})
    assert answer.status_code == 403
    assert "generate" in answer.json()["detail"]
    assert nothing_was_kept()


@pytest.mark.parametrize("path", ["generations", "models", "account", "account/limits", "images", "ledger", "api-keys"])
def test_without_a_key_everything_is_401(path, stranger):
    answer = stranger.get(f"{API}/{path}")
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


def test_another_persons_generation_is_404_on_every_path(client, bob_key):
    generation = post(client, {"prompt": "a fox"}).json()
    bob = people.client_with(bob_key)
    path = f"{API}/generations/{generation['id']}"
    assert bob.get(path).status_code == 404
    assert bob.post(f"{path}/cancel").status_code == 404
    assert bob.post(f"{path}/retry").status_code == 404
    assert bob.get(f"{path}/events").status_code == 404
    assert bob.get(f"{API}/generations").json()["results"] == []
    assert Generation.objects.get().status == "queued"


@pytest.mark.parametrize("header", ["fox", '"fox"'])
def test_an_idempotency_key_is_a_string_or_bare(header, client):
    first = post(client, {"prompt": "a fox"}, **{"Idempotency-Key": header})
    again = post(client, {"prompt": "a fox"}, **{"Idempotency-Key": "fox"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert Generation.objects.count() == 1


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "clé"])
def test_a_malformed_idempotency_key_is_400(header, client):
    answer = post(client, {"prompt": "a fox"}, **{"Idempotency-Key": header})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert nothing_was_kept()


def test_the_same_key_with_another_body_is_422(client):
    post(client, {"prompt": "a fox"}, **{"Idempotency-Key": "k"})
    answer = post(client, {"prompt": "a bear"}, **{"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_mismatch"
    assert Generation.objects.count() == 1


def test_client_id_is_an_alias_of_the_key(client):
    name = str(uuid.uuid4())
    first = post(client, {"prompt": "a fox", "client_id": name})
    again = post(client, {"prompt": "a fox"}, **{"Idempotency-Key": name})
    assert again.json()["id"] == first.json()["id"]
    assert post(client, {"prompt": "a", "client_id": name}, **{"Idempotency-Key": "other"}).status_code == 400


def test_a_refused_wish_does_not_use_up_its_key(client):
    assert post(client, {"prompt": ""}, **{"Idempotency-Key": "k"}).status_code == 400
    assert post(client, {"prompt": "a fox"}, **{"Idempotency-Key": "k"}).status_code == 202


def test_cancel_and_retry_answer_with_the_resource(client):
    path = f"{API}/generations/{post(client, {'prompt': 'a fox'}).json()['id']}"
    canceled = client.post(f"{path}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert canceled.json()["cost"]["held"] == "0.000000"
    again = client.post(f"{path}/retry")
    assert (again.status_code, again.json()["status"]) == (200, "queued")
    assert client.post(f"{path}/retry").status_code == 409


def test_the_list_is_paged_filtered_and_newest_first(client):
    ids = [post(client, {"prompt": f"fox {number}"}).json()["id"] for number in range(3)]
    page = client.get(f"{API}/generations?limit=2").json()
    assert [row["id"] for row in page["results"]] == [ids[2], ids[1]]
    rest = client.get(page["next"]).json()
    assert [row["id"] for row in rest["results"]] == [ids[0]]
    assert [row["queue_position"] for row in page["results"]] == [3, 2]
    assert len(client.get(f"{API}/generations?q=FOX 1").json()["results"]) == 1
    assert client.get(f"{API}/generations?status=succeeded").json()["results"] == []
    assert len(client.get(f"{API}/generations?model=nano-banana-2").json()["results"]) == 3


@pytest.mark.parametrize("query", ["colour=red", "status=lost", "created_after=yesterday", "cursor=abc", "limit=0"])
def test_a_bad_filter_is_400(query, client):
    assert client.get(f"{API}/generations?{query}").status_code == 400


def test_the_list_costs_a_constant_number_of_queries(
    client, alice, upstream, submit, work, django_assert_max_num_queries
):
    for _ in range(4):
        work(submit(alice))
    with django_assert_max_num_queries(12):
        assert len(client.get(f"{API}/generations").json()["results"]) == 4


def test_models_tell_sizes_shapes_and_prices(client):
    models = {model["id"]: model for model in client.get(f"{API}/models").json()["results"]}
    flash, pro = models["gemini-3.1-flash-image-preview"], models["gemini-3-pro-image-preview"]
    assert flash["is_default"] is True
    assert len(flash["aspect_ratios"]) == 14
    assert {price["size"]: price["amount"] for price in flash["prices"] if price["unit"] == "image"} == dict.fromkeys(
        ("0.5K", "1K", "2K", "4K"), "0.058000"
    )
    assert flash["prices"][0]["comparison"] == "0.068000"
    assert {price["size"]: (price["amount_micros"], price["is_placeholder"]) for price in pro["prices"]} == {
        "1K": (134_000, True),
        "2K": (134_000, True),
        "4K": (240_000, True),
        "720p": (300_000, True),
    }


def test_the_account_shows_balance_and_limits(client):
    post(client, {"prompt": "a fox"})
    account = client.get(f"{API}/account").json()
    assert account["email"] == "alice@example.com"
    assert account["balance"]["held"] == "0.058000"
    limits = {limit["name"]: (limit["limit"], limit["used"]) for limit in account["limits"]}
    assert limits["images_per_day"] == (40, 1)
    assert limits["concurrent"] == (4, 1)
    assert client.get(f"{API}/account/limits").json()["results"] == account["limits"]


def test_a_trailing_slash_changes_nothing(client):
    assert client.get(f"{API}/models/").json() == client.get(f"{API}/models").json()
    assert client.post(f"{API}/generations/", "{}", content_type="application/json").status_code == 400
