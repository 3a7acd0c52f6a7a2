"""Wishes that show their thoughts, through the pipeline and against the emulator: how each stream ends."""

import pytest

from generations.audit import audit
from generations.models import DraftPreview, Status
from generations.spec import GenerationSpec
from tests.generations.emulating import KEY, running_emulator

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
STREAM = "/v1beta/models/gemini-3.1-flash-image-preview:streamGenerateContent"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


@pytest.fixture
def made(alice, submit, work, emulator, settings):
    settings.EMULATOR, settings.EMULATOR_KEY = True, KEY
    settings.EMULATOR_URL = emulator.url("/v1beta")
    settings.UPSTREAM_MAX_PAID_ATTEMPTS, settings.UPSTREAM_BREAKER_FAILURES = 1, 0

    def make(prompt, **fields):
        wish = {"prompt": prompt, "thinking": "high", "include_thoughts": True, "image_size": "0.5K", **fields}
        return work(submit(alice, wish=GenerationSpec.parse(wish, default_image_size="1K")))

    return make


def test_thoughts_and_drafts_come_by_a_stream_and_are_kept_once(alice, emulator, made, money):
    before = emulator.stats()["calls"].get(STREAM, 0)
    generation = made("a fox at dusk")
    assert generation.status == Status.SUCCEEDED
    assert emulator.stats()["calls"][STREAM] == before + 1
    assert "Composing the picture" in generation.attempts.get().thoughts
    kinds = sorted(generation.outputs.values_list("is_draft", "index"))
    assert kinds == [(False, 0), (True, 0), (True, 1)]
    assert (money(alice)[1:], DraftPreview.objects.count()) == ((0, PRICE), 0)
    assert audit() == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("hangup_before", "unknown"),
        ("hangup_mid", "unknown"),
        ("empty_body", "malformed"),
        ("not_json", "malformed"),
        ("image_safety", "blocked"),
        ("500", "unknown"),
        ("400", "invalid"),
        ("gzip_bomb", "too_large"),
        ("thought_image_first", "ok"),
    ],
)
def test_a_fault_of_the_stream_has_its_outcome(fault, outcome, alice, made, money, settings):
    before = money(alice)
    generation = made(f"a fox [fault:{fault}]")
    assert list(generation.attempts.values_list("outcome", flat=True)) == [outcome]
    charged = PRICE if outcome == "ok" else 0
    assert money(alice) == (before[0] - charged, 0, charged)
    assert (DraftPreview.objects.count(), list(settings.SPOOL_DIR.glob("*"))) == (0, [])
    assert audit() == []


def test_a_stream_that_only_drips_is_left_at_the_deadline(alice, made, money, settings):
    settings.UPSTREAM_TIMEOUT_S = 1.0
    before = money(alice)
    generation = made("a fox [fault:slow_drip]")
    assert (generation.status, generation.error_code) == (Status.FAILED, "unknown")
    assert money(alice) == before
