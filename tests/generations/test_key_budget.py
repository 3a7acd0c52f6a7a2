"""A budget of an API key from the request to the end of the job: user and key are reserved together, or neither."""

from collections import Counter

import pytest

from accounts import keys, ledger, quotas
from accounts.errors import KeyBudgetExceeded
from accounts.models import ApiKey, Transfer, Usage
from generations import services
from generations.audit import audit
from generations.models import Generation, Status
from tests import people
from tests.generations.fakes import error, picture, reply
from tests.generations.test_submit import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
PATH = "/api/v1/generations"


@pytest.fixture
def limited(alice):
    """A key that may spend two pictures."""
    return keys.create_key(user=alice, budget_micros=2 * PRICE)


def ask(key, **body):
    return people.client_with(key.secret).post(PATH, {"prompt": "a fox", **body}, content_type="application/json")


def budget(key):
    state = ledger.budgets_of([key.api_key])[key.api_key.pk]
    return state.held, state.spent


def used(user):
    return sum(Usage.objects.filter(user=user, name="images_per_day").values_list("used", flat=True))


def test_a_request_beyond_the_budget_is_refused_and_leaves_nothing(alice, limited, money):
    assert ask(limited).status_code == 202
    before, count, transfers = money(alice), used(alice), Transfer.objects.count()
    refusal = ask(limited, count=2)
    body = refusal.json()
    assert (refusal.status_code, body["code"]) == (402, "key_budget_exceeded")
    assert body["type"].endswith("/docs/errors/key_budget_exceeded")
    assert (body["limit"], body["held"], body["spent"], body["resets_at"]) == ("0.116000", "0.058000", "0.000000", None)
    assert (money(alice), used(alice), Transfer.objects.count()) == (before, count, transfers)
    assert Generation.objects.count() == 1
    assert audit() == []


def test_what_arrives_is_spent_and_what_fails_is_given_back_to_the_key(alice, limited, upstream, work):
    ask(limited)
    work(Generation.objects.get())
    assert budget(limited) == (0, PRICE)
    upstream.says(error(400, "INVALID_ARGUMENT"))
    ask(limited, prompt="a fox that fails")
    assert budget(limited) == (PRICE, PRICE)
    failed = work(Generation.objects.latest("pk"))
    assert (failed.status, budget(limited)) == (Status.FAILED, (0, PRICE))
    assert audit() == []


def test_a_retry_is_paid_by_the_key_that_asks_for_it(alice, limited, upstream, submit, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    upstream.says(reply(picture()))
    poor = keys.create_key(user=alice, budget_micros=PRICE - 1)
    answer = people.client_with(poor.secret).post(f"{PATH}/{generation.public_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (402, "key_budget_exceeded")
    generation.refresh_from_db()
    assert (generation.status, generation.run) == (Status.FAILED, 1)
    assert people.client_with(limited.secret).post(f"{PATH}/{generation.public_id}/retry").status_code == 200
    assert budget(limited) == (PRICE, 0)
    generation.refresh_from_db()
    work(generation)
    assert budget(limited) == (0, PRICE)
    assert audit() == []


def test_the_same_wish_again_is_free_for_the_key_as_well(limited, upstream, work):
    ask(limited)
    work(Generation.objects.get())
    assert ask(limited, reuse="auto").json()["reused_from"]
    assert budget(limited) == (0, PRICE)


def test_64_requests_of_one_key_at_once_are_exactly_as_many_jobs_as_its_budget_pays(rich_in_pictures, spec, money):
    user = rich_in_pictures(64)
    quotas.override_limits(user=user, images_per_day=1000, concurrent=1000)
    key = keys.create_key(user=user, budget_micros=5 * PRICE, budget_period=ApiKey.Period.MONTH)
    results = in_threads(64, lambda _: services.submit(user=user, spec=spec, source="rest", api_key=key.api_key))
    assert Counter(type(result).__name__ for result in results) == {"Submission": 5, "KeyBudgetExceeded": 59}
    assert {result.status for result in results if isinstance(result, KeyBudgetExceeded)} == {402}
    assert (budget(key), money(user)) == ((5 * PRICE, 0), (59 * PRICE, 5 * PRICE, 0))
    assert (Generation.objects.count(), used(user)) == (5, 5)
    assert audit() == []
