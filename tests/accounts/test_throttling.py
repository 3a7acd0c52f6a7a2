"""Requests a minute over HTTP: what counts, and what the answers tell."""

import http_sfv
import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from accounts import quotas
from accounts.models import ApiKey
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

PATH = "/api/v1/api-keys"


def post(client, body=None):
    return client.post(PATH, {} if body is None else body, content_type="application/json")


def rate_limit(response):
    items = http_sfv.List()
    items.parse(response["RateLimit"].encode())
    return items[0].value, dict(items[0].params)


def test_an_answer_that_was_counted_tells_what_is_left(alice_key):
    response = post(client_with(alice_key))
    assert response.status_code == 201
    assert response["RateLimit-Policy"] == '"requests_per_minute";q=30;w=60;qu="requests"'
    name, state = rate_limit(response)
    assert (name, state["r"]) == ("requests_per_minute", 29)
    assert 1 <= state["t"] <= 60


def test_reading_is_free_so_that_polling_does_not_use_up_the_minute(alice, alice_key):
    quotas.override_limits(user=alice, requests_per_minute=0)
    response = client_with(alice_key).get(PATH)
    assert response.status_code == 200
    assert "RateLimit" not in response


def test_refused_requests_count_and_the_limit_comes_before_the_body_is_read(alice, alice_key):
    quotas.override_limits(user=alice, requests_per_minute=1)
    client = client_with(alice_key)
    invalid = post(client, {"scopes": ["admin"]})
    assert (invalid.status_code, rate_limit(invalid)[1]["r"]) == (400, 0)
    response = post(client, {"scopes": ["admin"]})
    assert response.status_code == 429
    problem = response.json()
    assert (problem["code"], problem["policy"], problem["limit"], problem["used"]) == (
        "rate_limited",
        "requests_per_minute",
        1,
        1,
    )
    retry_after = int(response["Retry-After"])
    assert 1 <= retry_after <= 60
    assert problem["reset"] == retry_after
    assert rate_limit(response) == ("requests_per_minute", {"r": 0, "t": retry_after})
    assert ApiKey.objects.count() == 1


def test_all_keys_and_sessions_of_a_user_share_one_budget_and_no_other_users(alice, alice_key, bob_key, client):
    quotas.override_limits(user=alice, requests_per_minute=2)
    client.force_login(alice)
    statuses = [post(each).status_code for each in (client_with(alice_key), client_with(make_key(alice)), client)]
    assert statuses == [201, 201, 429]
    assert post(client_with(bob_key)).status_code == 201


def test_who_is_not_known_or_may_not_is_told_that_first(alice, stranger):
    quotas.override_limits(user=alice, requests_per_minute=0)
    assert post(stranger).status_code == 401
    assert post(client_with(make_key(alice, "read"))).status_code == 403


def test_the_answers_of_unlimited_users_tell_no_limit(alice, alice_key):
    quotas.override_limits(user=alice, requests_per_minute=quotas.UNLIMITED)
    response = post(client_with(alice_key))
    assert response.status_code == 201
    assert "RateLimit-Policy" not in response


def test_the_asynchronous_side_of_the_server_tells_it_too(alice_key):
    response = async_to_sync(AsyncClient().post)(
        PATH, {}, content_type="application/json", headers={"Authorization": f"Bearer {alice_key}"}
    )
    assert response.status_code == 201
    assert rate_limit(response)[1]["r"] == 29


def test_a_key_with_a_budget_of_its_own_is_told_of_what_is_nearest_to_its_end(alice):
    client = client_with(make_key(alice, limits={"requests_per_minute": 1}))
    response = post(client)
    assert (response.status_code, rate_limit(response)[0]) == (403, "key_requests_per_minute")
    assert "A key with a budget or limits of its own makes no keys" in response.json()["detail"]
    refused = post(client)
    problem = refused.json()
    assert refused.status_code == 429
    assert (problem["policy"], problem["source"], problem["limit"], problem["used"], problem["window"]) == (
        "key_requests_per_minute",
        "key",
        1,
        1,
        60,
    )
    assert "This is the limit of this API key." in problem["detail"]
    assert ApiKey.objects.count() == 1
