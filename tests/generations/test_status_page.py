"""The page of the upstreams' health, and its probe."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from generations.models import Attempt
from tests.generations.fakes import ScriptedProvider, error, picture, png, reply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_figures():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def calls(alice, submit):
    """Attempts of the last hour with these outcomes, 12 s each unless it is said."""

    def make(*outcomes, elapsed_ms=12_000):
        generation = submit(alice)
        for number, outcome in enumerate(outcomes, start=generation.attempts.count() + 1):
            Attempt.objects.create(
                generation=generation,
                run=1,
                number=number,
                fence=1,
                upstream="wisgate",
                upstream_model=generation.model,
                outcome=outcome,
                elapsed_ms=elapsed_ms,
                sent_at=timezone.now() - timedelta(minutes=5),
            )

    return make


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return lambda **query: client.get("/status/", query).content.decode()


def test_a_stranger_is_sent_to_sign_in(client):
    assert client.get("/status/").headers["Location"] == "/accounts/login/?next=/status/"


def test_without_work_it_says_that_it_knows_nothing(page):
    shown = page()
    assert "Nothing is known to be wrong" in shown
    assert "Nothing did in this period" in shown


def test_the_four_numbers_and_the_sentence(page, calls):
    calls(*["ok"] * 19, "unknown")
    shown = page()
    assert "Pictures are arriving as promised" in shown
    assert "95 %" in shown
    assert "19 of 20 calls" in shown
    assert "12.0 s" in shown


def test_slow_pictures_are_said_to_be_slow(page, calls):
    calls(*["ok"] * 10, elapsed_ms=28_000)
    assert "Pictures take longer than promised" in page()


def test_what_went_wrong_is_named_and_linked(page, calls):
    calls(*["ok"] * 4, "blocked", "blocked", "rate_limited")
    shown = page()
    assert "More calls than usual end without a picture" in shown
    assert 'href="/docs/errors/blocked"' in shown
    assert "None of these was charged." in shown


@pytest.mark.parametrize("period", ["1h", "24h", "30d", "forever", "<script>"])
def test_every_period_answers(page, calls, period):
    calls("ok")
    assert "<script>" not in page(period=period).replace("<script ", "")


def test_the_page_costs_few_queries(page, calls, django_assert_max_num_queries):
    calls(*["ok"] * 30)
    with django_assert_max_num_queries(14):
        page()


def test_the_probe_is_for_operators(client, alice, staff, monkeypatch):
    provider = ScriptedProvider().says(reply(picture(png())))
    monkeypatch.setattr("generations.probing.providers_for", lambda spec: (provider,))
    client.force_login(alice)
    assert "Probe now" not in client.get("/status/").content.decode()
    assert client.post("/status/probe/", {"model": "nano-banana-2"}).status_code == 403
    assert provider.calls == []
    client.force_login(staff)
    assert "Probe now" in client.get("/status/").content.decode()
    answer = client.post("/status/probe/", {"model": "nano-banana-2"}, follow=True).content.decode()
    assert "A picture of 16 × 16" in answer
    assert provider.calls == [0]


def test_a_probe_that_fails_says_how(client, staff, monkeypatch):
    provider = ScriptedProvider().says(error(401, "UNAUTHENTICATED"))
    monkeypatch.setattr("generations.probing.providers_for", lambda spec: (provider,))
    client.force_login(staff)
    answer = client.post("/status/probe/", {"model": "nano-banana-2"}, follow=True).content.decode()
    assert "(auth: HTTP 401)" in answer


def test_looking_is_no_probe(client, staff):
    client.force_login(staff)
    assert client.get("/status/probe/").status_code == 405
