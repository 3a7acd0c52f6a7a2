"""The pages under /docs/: each error's own, read from the code, and how an upstream key is added."""

import pytest
from django.test import Client

from accounts.errors import ServiceError
from config import reference
from generations.outcomes import OUTCOMES
from tests.contract.test_problem_json import every_error

CODES = sorted({kind.code for kind in every_error()} | set(OUTCOMES))


def words(response):
    return " ".join(response.content.decode().split())


@pytest.fixture
def page(db):
    """The text of a page that anybody may read."""

    def read(address):
        response = Client().get(address)
        assert response.status_code == 200
        return words(response)

    return read


@pytest.mark.parametrize("kind", every_error())
def test_every_error_class_has_its_page(kind, page):
    told = page(f"/docs/errors/{kind.code}")
    assert str(kind.status) in told
    assert kind.code in told


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_every_outcome_has_its_page(outcome, page):
    told = page(f"/docs/errors/{outcome.name}/").replace("&#x27;", "'")
    assert outcome.title in told
    assert outcome.message in told
    assert outcome.remedy in told
    assert "What it costs" in told


@pytest.mark.parametrize("kind", reference.error_classes())
def test_a_class_is_told_in_its_own_words(kind, page):
    told = page(f"/docs/errors/{kind.code}").replace("&#x27;", "'")
    assert kind.message in told
    assert kind.remedy in told


def test_no_code_is_claimed_by_two_classes():
    codes = [kind.code for kind in reference.error_classes()]
    assert len(codes) == len(set(codes))


def test_the_list_links_to_each_of_them(page):
    told = page("/docs/errors/")
    assert [code for code in CODES if f'href="/docs/errors/{code}"' not in told] == []


def test_both_meanings_of_a_code_are_told(page):
    told = page("/docs/errors/rate_limited")
    assert "As the answer to a request" in told
    assert "As the end of a generation" in told


def test_a_refusal_costs_nothing_and_a_picture_its_price(page):
    assert "holds and charges no money" in page("/docs/errors/insufficient_credit")
    assert "back in the balance" in page("/docs/errors/blocked")
    assert "The price of each picture that arrived" in page("/docs/errors/partial")


def test_what_may_be_repeated_is_told(page):
    assert "Not as it is: it would be refused again." in page("/docs/errors/insufficient_credit")
    assert "when the time in Retry-After has passed" in page("/docs/errors/quota_exceeded")
    assert "once more by itself" in page("/docs/errors/truncated")


@pytest.mark.parametrize("code", ["nothing_like_it", "ok_", "OK"])
def test_an_unknown_code_is_not_found(code, client, db):
    assert client.get(f"/docs/errors/{code}").status_code == 404


def test_the_address_in_an_answer_leads_to_its_page(client, db, settings):
    address = client.get("/api/v1/api-keys").json()["type"]
    assert address == f"{settings.SITE_URL}/docs/errors/not_authenticated"
    assert client.get(address.removeprefix(settings.SITE_URL)).status_code == 200


@pytest.mark.parametrize(("emulator", "who"), [(True, "the emulator paints"), (False, "the upstream paints")])
def test_the_page_of_the_key_tells_who_paints_and_what_to_set(emulator, who, page, settings):
    settings.EMULATOR = emulator
    settings.WISDOM_GATE_KEYS = ["canary-key"]
    told = page("/docs/upstream-key/")
    assert f"At present <b>{who}</b>" in told
    for step in ("WISDOM_GATE_KEY=your-key", "WISDOM_GATE_KEY_FILE", "python3 run.py manage probeupstream", "EMULATOR"):
        assert step in told
    assert "canary" not in told


def test_the_error_that_every_other_is_based_on_has_a_page_too(page):
    assert ServiceError.message in page("/docs/errors/error")
