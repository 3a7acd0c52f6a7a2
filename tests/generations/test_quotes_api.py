"""POST quotes: what a create would cost and do, without doing it."""

from dataclasses import replace

import pytest

from accounts import quotas
from accounts.errors import KeyBudgetExceeded
from accounts.keys import create_key
from accounts.models import Plan, Price, Transfer, Usage
from generations import catalog, services
from generations.models import Generation
from generations.providers import breaker
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/quotes"


@pytest.fixture
def ask(alice_key):
    api = client_with(alice_key)

    def post(status=200, **body):
        response = api.post(PATH, {"prompt": "a fox", **body}, content_type="application/json")
        assert response.status_code == status, response.content
        return response

    return post


def test_it_tells_price_balance_limits_and_creates_nothing(ask, alice, money):
    transfers = Transfer.objects.count()
    response = ask(count=2)
    body = response.json()
    price = Price.objects.get(pk=body["price"]["id"])
    assert (price.amount_micros, price.unit, price.size) == (58_000, "image", "1K")
    limits = body.pop("limits")
    assert body == {
        "model": "gemini-3.1-flash-image-preview",
        "kind": "image",
        "image_size": "1K",
        "count": 2,
        "unit_price": "0.058000",
        "unit_price_micros": 58_000,
        "total": "0.116000",
        "total_micros": 116_000,
        "currency": "USD",
        "price": {
            "id": price.pk,
            "valid_from": price.valid_from.isoformat().replace("+00:00", "Z"),
            "is_placeholder": price.is_placeholder,
        },
        "balance": {
            "available": "1.000000",
            "available_micros": 1_000_000,
            "held": "0.000000",
            "held_micros": 0,
            "after": "0.884000",
            "after_micros": 884_000,
        },
        "enough": True,
        "budget": None,
        "holds": [],
        "unfinished": 0,
        "reuse": None,
        "upstream": {"available": True, "retry_after_s": None},
        "policy": {"action": "allow", "hits": []},
        "accepted": True,
        "refusals": [],
    }
    told = {limit["name"]: (limit["limit"], limit["used"], limit["used_after"], limit["refused"]) for limit in limits}
    assert told["images_per_day"] == (40, 0, 2, False)
    assert told["concurrent"] == (4, 0, 1, False)
    assert '"images_per_day";q=40' in response["RateLimit-Policy"]
    assert (Generation.objects.count(), Transfer.objects.count(), Usage.objects.count()) == (0, transfers, 0)
    assert money(alice) == (1_000_000, 0, 0)


def test_it_is_refused_as_a_create_is(ask):
    for body, field in (
        ({"prompt": ""}, "prompt"),
        ({"image_size": "9K"}, "image_size"),
        ({"colour": "red"}, "colour"),
        ({"count": 5}, "count"),
        ({"references": ["00000000-0000-4000-8000-000000000000"]}, "references"),
        ({"reuse": "sometimes"}, "reuse"),
    ):
        assert [error["field"] for error in ask(400, **body).json()["errors"]] == [field]


def test_without_a_price_there_is_no_quote(ask, guards_off):
    with guards_off():
        Price.objects.all().delete()
    assert ask(503).json()["code"] == "price_unknown"


def test_it_is_not_counted_as_a_request_that_asks_for_work(ask, alice):
    quotas.override_limits(user=alice, requests_per_minute=1)
    for _ in range(3):
        ask()


def test_each_limit_that_would_be_passed_is_named(ask, alice, submit):
    submit(alice)
    quotas.override_limits(user=alice, images_per_day=2, concurrent=1, requests_per_minute=0)
    body = ask(count=2).json()
    assert {limit["name"] for limit in body["limits"] if limit["refused"]} == {
        "images_per_day",
        "concurrent",
        "requests_per_minute",
    }
    assert body["accepted"] is False
    assert {refusal["code"] for refusal in body["refusals"]} == {
        "quota_exceeded",
        "concurrency_limit",
        "rate_limited",
    }


def test_what_running_work_holds_is_told_by_job(ask, alice, submit):
    job = submit(alice)
    [hold] = ask(prompt="another").json()["holds"]
    assert (hold["generation"], hold["amount_micros"]) == (str(job.public_id), 58_000)
    assert 0 <= hold["age_s"] < 60
    assert hold["frees_at"] == job.hold.expires_at.isoformat().replace("+00:00", "Z")


def test_too_little_credit_is_told_and_not_raised(penniless):
    api = client_with(make_key(penniless))
    body = api.post(PATH, {"prompt": "a fox"}, content_type="application/json").json()
    assert (body["enough"], body["accepted"], body["balance"]["after"]) == (False, False, "-0.058000")
    [refusal] = body["refusals"]
    assert (refusal["code"], refusal["resolves_at"]) == ("insufficient_credit", None)


def test_an_identical_picture_is_told_and_with_reuse_the_total_is_nothing(ask, alice, upstream, submit, work):
    generation = work(submit(alice))
    assert ask().json()["reuse"] == {
        "generation": str(generation.public_id),
        "status": "succeeded",
        "created_at": generation.created_at.isoformat().replace("+00:00", "Z"),
        "applied": False,
    }
    assert ask(prompt="A FOX").json()["reuse"] is None  # a create answers to the same case only
    quotas.override_limits(user=alice, images_per_day=1, concurrent=0)
    body = ask(reuse="auto").json()
    assert (body["reuse"]["applied"], body["total"], body["unit_price"]) == (True, "0.000000", "0.058000")
    assert body["accepted"] is True
    effects = {limit["name"]: (limit["used_after"] - limit["used"], limit["refused"]) for limit in body["limits"]}
    assert effects == {
        "images_per_day": (0, False),
        "images_per_month": (0, False),
        "concurrent": (0, False),
        "requests_per_minute": (1, False),
        "storage_bytes": (0, False),
    }


def quote_of(key, **body):
    answer = client_with(key.secret).post(PATH, {"prompt": "a fox", **body}, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_limits_of_the_key_and_of_the_site_are_told_and_refuse(alice, bob, submit, spec):
    key = create_key(user=alice, limits={"images_per_day": 3, "concurrent": 1})
    services.submit(user=alice, spec=replace(spec, count=2), source="rest", api_key=key.api_key)
    submit(bob)
    quotas.limit_site(images_per_month=4, concurrent=2)
    body = quote_of(key, count=2)
    told = {limit["name"]: (limit["limit"], limit["used"], limit["used_after"]) for limit in body["limits"]}
    assert {name: told[name] for name in told if name.startswith(("key_", "site_"))} == {
        "key_images_per_day": (3, 2, 4),
        "key_concurrent": (1, 1, 2),
        "site_images_per_month": (4, 3, 5),
        "site_concurrent": (2, 2, 3),
    }
    assert [refusal["code"] for refusal in body["refusals"]] == [
        "quota_exceeded",
        "concurrency_limit",
        "quota_exceeded",
        "concurrency_limit",
    ]
    messages = " ".join(refusal["message"] for refusal in body["refusals"])
    assert "Used are 2 of today's 3 images, and this asks for 2. This is the limit of this API key." in messages
    assert "1 runs of this API key are unfinished, and 1 at once are allowed." in messages
    assert "2 runs of everybody are unfinished, and 2 at once are allowed." in messages
    assert body["accepted"] is False


def test_the_budget_of_the_key_is_told_and_refuses(alice, spec):
    key = create_key(user=alice, budget_micros=100_000, budget_period="month")
    services.submit(user=alice, spec=spec, source="rest", api_key=key.api_key)
    body = quote_of(key)
    resets_at = body["budget"].pop("resets_at")
    assert body["budget"] == {
        "limit": "0.100000",
        "limit_micros": 100_000,
        "period": "month",
        "spent": "0.000000",
        "spent_micros": 0,
        "held": "0.058000",
        "held_micros": 58_000,
        "after": "-0.016000",
        "after_micros": -16_000,
    }
    [refusal] = body["refusals"]
    assert (refusal["code"], refusal["resolves_at"]) == ("key_budget_exceeded", resets_at)
    assert refusal["message"] == "This needs $0.058, and $0.042 is left of what this API key may spend this month."
    assert body["enough"] is True
    with pytest.raises(KeyBudgetExceeded):
        services.submit(user=alice, spec=spec, source="rest", api_key=key.api_key)


def test_a_queue_that_is_full_is_told(ask, bob, submit, settings):
    submit(bob)
    settings.QUEUE_LIMIT = 1
    body = ask().json()
    assert ([refusal["code"] for refusal in body["refusals"]], body["accepted"]) == (["overloaded"], False)


def test_full_storage_is_told(ask, alice):
    quotas.override_limits(user=alice, storage_bytes=1_000)
    quotas.add_storage(alice, 1_000)
    [refusal] = ask().json()["refusals"]
    assert refusal["code"] == "quota_exceeded"
    assert refusal["message"] == "1,000 of 1,000 bytes of storage are used."
    assert refusal["remedy"] == quotas.STORAGE_REMEDY


def test_the_credit_that_a_create_would_bring_counts(penniless, spec):
    Plan.objects.filter(pk=penniless.plan_id).update(monthly_credit_micros=58_000)
    key = create_key(user=penniless)
    body = quote_of(key)
    assert (body["accepted"], body["balance"]["available_micros"], body["balance"]["after_micros"]) == (True, 58_000, 0)
    assert not Transfer.objects.filter(credit__owner=penniless).exists()
    services.submit(user=penniless, spec=spec, source="rest", api_key=key.api_key)
    assert quote_of(key)["balance"]["available_micros"] == 0


def test_a_model_that_is_retired_is_refused(ask, monkeypatch):
    model = catalog.MODELS["gemini-3.1-flash-image-preview"]
    monkeypatch.setattr(catalog, "MODELS", {**catalog.MODELS, model.id: replace(model, lifecycle="retired")})
    assert "is retired" in ask(400, model=model.id).json()["detail"]


def test_an_upstream_that_rests_is_told(ask, monkeypatch):
    monkeypatch.setattr(breaker, "wait_s", lambda providers, spec: 7.2)
    body = ask().json()
    assert body["upstream"] == {"available": False, "retry_after_s": 8}
    assert [refusal["code"] for refusal in body["refusals"]] == ["upstream_unavailable"]


def test_it_needs_a_key_with_the_scope(alice, stranger):
    body = {"data": {"prompt": "a fox"}, "content_type": "application/json"}
    assert stranger.post(PATH, **body).status_code == 401
    assert client_with(make_key(alice, "read")).post(PATH, **body).status_code == 403
    assert client_with(make_key(alice)).get(PATH).status_code == 405


def test_a_quote_tells_what_the_prompt_filter_says(ask, alice, money):
    before = money(alice)
    marked = ask(prompt="A nude in oil").json()
    assert marked["accepted"]
    assert marked["policy"]["action"] == "flag"
    assert [(hit["rule"], hit["class"], hit["start"], hit["end"]) for hit in marked["policy"]["hits"]] == [
        ("sexual_words", "sexual", 2, 6)
    ]
    blocked = ask(prompt="nudify her").json()
    assert (blocked["policy"]["action"], blocked["accepted"]) == ("block", False)
    assert [(refusal["code"], refusal["message"]) for refusal in blocked["refusals"]] == [
        ("prompt_rejected", "A rule of this site refuses it: Real person.")
    ]
    assert money(alice) == before
    assert not Generation.objects.exists()
