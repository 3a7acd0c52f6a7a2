"""/metrics: who may read it, and that Prometheus can."""

import pytest
from django.core.cache import cache
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from generations import health, services
from generations.models import Attempt
from generations.spec import GenerationSpec

pytestmark = pytest.mark.django_db

TOKEN = "a-long-enough-token"


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.delete_many(["health", "health:30d", "metrics"])


def samples(response):
    """(name, labels) -> value, by Prometheus' own parser."""
    families = text_string_to_metric_families(response.content.decode())
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def test_in_development_it_is_open(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    assert response["Cache-Control"] == "no-store"
    assert samples(response)[("plantain_generations_queued", frozenset())] == 0


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_elsewhere_it_is_closed_without_a_token(environment, client, settings):
    settings.ENVIRONMENT = environment
    response = client.get("/metrics")
    assert response.status_code == 404
    assert b"METRICS_TOKEN" in response.content
    assert b"plantain_" not in response.content


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", TOKEN, f"bearer {TOKEN} ", "Bearer \u00e9"])
def test_a_wrong_token_is_refused(given, environment, client, settings):
    settings.ENVIRONMENT, settings.METRICS_TOKEN = environment, TOKEN
    response = client.get("/metrics", headers={"Authorization": given} if given else {})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert b"plantain_" not in response.content


def test_the_token_opens_it_whatever_the_host_is_called(client, settings):
    settings.ENVIRONMENT, settings.METRICS_TOKEN = "production", TOKEN
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Host": "10.1.2.3"})
    assert response.status_code == 200


def test_the_figures_are_those_of_the_database(client, alice):
    spec = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
    generation = services.submit(user=alice, spec=spec, source="rest").generation
    for number, (outcome, ms) in enumerate((("ok", 4000), ("ok", 30_000), ("malformed", 10)), start=1):
        Attempt.objects.create(
            generation=generation,
            run=1,
            number=number,
            fence=1,
            upstream="wisgate",
            upstream_model=spec.model,
            outcome=outcome,
            elapsed_ms=ms,
            picture_count=outcome == "ok",
            shape_count=outcome == "ok",
            sent_at=timezone.now(),
        )
    found = samples(client.get("/metrics"))
    here = {"upstream": "wisgate", "model": spec.model}

    def value(name, **labels):
        return found[(name, frozenset((here | labels).items()))]

    assert value("plantain_upstream_calls", window="1h", outcome="ok") == 2
    assert value("plantain_unreadable_answers", window="1h") == 1
    assert value("plantain_upstream_latency_seconds", window="24h", quantile="0.5") == 4
    assert value("plantain_upstream_latency_seconds", window="24h", quantile="0.95") == 30
    assert value("plantain_upstream_promise_ratio", window="30d") == 0.5
    assert value("plantain_honoured_shape_ratio", window="1h") == 1
    assert value("plantain_honoured_size_ratio", window="1h") == 0
    assert value("plantain_breaker_state") == 0
    assert value("plantain_upstream_in_flight") == 0
    assert found[("plantain_generations_queued", frozenset())] == 1
    assert found[("plantain_new_accounts", frozenset({("window", "1h"), ("has_picture", "no")}))] == 1


def test_a_second_scrape_within_ten_seconds_asks_nobody(client, django_assert_num_queries, monkeypatch):
    first = client.get("/metrics").content
    monkeypatch.setattr(health, "health", lambda: pytest.fail("measured again"))
    with django_assert_num_queries(0):
        assert client.get("/metrics").content == first
