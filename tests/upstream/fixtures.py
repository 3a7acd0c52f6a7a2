"""The fixtures. A directory takes them over in its conftest.py by importing them."""

import pytest

from generations import services
from generations.models import Generation
from generations.providers import current
from generations.spec import GenerationSpec
from generations.tasks import work_on
from tests.upstream.server import running_upstream

KEYS = ("key-one", "key-two")


@pytest.fixture
def upstream():
    """An upstream that says what the test scripts."""
    with running_upstream() as running:
        yield running


@pytest.fixture
def elsewhere():
    """Another host, to which nothing should ever be sent: `elsewhere.requests == []`."""
    with running_upstream() as running:
        yield running


@pytest.fixture
def served_by(upstream, settings, monkeypatch):
    """Make this server the only upstream, spoken to by these protocols in their order."""
    settings.EMULATOR = False
    settings.WISDOM_GATE_NATIVE_URL, settings.WISDOM_GATE_CHAT_URL = upstream.native_url, upstream.chat_url
    settings.WISDOM_GATE_KEYS = list(KEYS[:1])
    settings.UPSTREAM_TIMEOUT_S = 5.0

    def use(*protocols):
        monkeypatch.setattr(
            "generations.pipeline.providers_for",
            lambda spec: tuple(current._provider(each, *current._where(each)) for each in protocols),
        )
        return upstream

    return use


@pytest.fixture
def make(alice):
    """Submit a wish and work on it to its end, without waiting between attempts."""

    def make_one(count=1, **fields):
        spec = GenerationSpec.parse({"prompt": "a fox", "count": count, **fields}, default_image_size="1K")
        generation = services.submit(user=alice, spec=spec, source="rest").generation
        for _ in range(12):
            work_on(generation.pk)
            generation.refresh_from_db()
            if generation.is_terminal:
                break
            Generation.objects.filter(pk=generation.pk).update(next_run_at=generation.created_at)
        return generation

    return make_one
