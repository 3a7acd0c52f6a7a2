"""The doctor: the articles' checklists line by line, with a remedy for whatever is not right."""

import io
import json

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from accounts.models import Price
from config import doctor
from generations import services
from generations.models import Attempt
from generations.providers import breaker, refused_keys
from generations.providers.current import providers_for
from generations.spec import GenerationSpec

pytestmark = pytest.mark.django_db

MODEL = "gemini-3.1-flash-image-preview"


@pytest.fixture(autouse=True)
def _in_development(settings):
    settings.DEBUG = True
    cache.delete_many(["health", "health:30d"])


def lines():
    return {line.area: line for line in doctor.examine()}


def line(start):
    return next(found for area, found in lines().items() if area.startswith(start))


@pytest.fixture
def with_keys(settings):
    settings.EMULATOR = False
    settings.WISDOM_GATE_KEYS = ["key-one", "key-two"]


@pytest.fixture
def call_ended(alice):
    """Write down calls of today."""
    spec = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
    generation = services.submit(user=alice, spec=spec, source="rest").generation

    def write(outcome, count=1, **fields):
        number = generation.attempts.count()
        for step in range(count):
            Attempt.objects.create(
                generation=generation,
                run=1,
                number=number + step + 1,
                fence=1,
                upstream="wisgate",
                upstream_model=MODEL,
                outcome=outcome,
                sent_at=timezone.now(),
                **{"elapsed_ms": 4000} | fields,
            )

    return write


def run(*args):
    out = io.StringIO()
    code = 0
    try:
        call_command("doctor", *args, stdout=out)
    except SystemExit as ended:
        code = ended.code
    return code, out.getvalue()


def test_every_line_of_both_checklists_is_there():
    found = list(doctor.examine())
    assert [each.checklist for each in found] == ["production"] * 7 + ["integration"] * 16
    assert [each for each in found if each.status == "fail"] == []
    assert all(each.finding for each in found)
    assert all(bool(each.remedy) == (each.status != "ok") for each in found)


def test_the_command_prints_a_line_each_and_ends_with_0():
    code, out = run()
    assert code == 0
    assert "Production checklist\n  ok    Environment: key loaded and rotated: " in out
    assert "        -> Run: python3 run.py manage probeupstream" in out


def test_json_has_the_same_lines():
    code, out = run("--json")
    found = json.loads(out)
    assert (code, found["ok"], len(found["lines"])) == (0, True, 23)
    assert set(found["lines"][0]) == {"checklist", "area", "status", "finding", "remedy"}


def test_a_failing_line_ends_with_1(settings):
    settings.EMULATOR, settings.WISDOM_GATE_KEYS = False, []
    code, out = run("--json")
    assert code == 1
    failed = [each for each in json.loads(out)["lines"] if each["status"] == "fail"]
    assert "Set WISDOM_GATE_KEY." in {each["remedy"] for each in failed}


def test_the_emulator_in_production_is_warned_about(settings):
    settings.ENVIRONMENT, settings.EMULATOR = "production", True
    assert line("Environment: key loaded").status == "warn"


def test_a_refused_key_is_a_warning_and_two_are_a_failure(with_keys):
    assert line("Environment: key loaded").status == "ok"
    provider = providers_for(GenerationSpec(prompt="x", model=MODEL, image_size="1K"))[0]
    refused_keys.remember(provider, 0)
    assert line("Environment: key loaded").status == "warn"
    refused_keys.remember(provider, 1)
    assert line("Environment: key loaded").status == "fail"


def test_no_line_shows_a_key(with_keys):
    provider = providers_for(GenerationSpec(prompt="x", model=MODEL, image_size="1K"))[0]
    refused_keys.remember(provider, 0)
    assert "key-one" not in run("--json")[1]


def test_metrics_need_a_token_outside_development(settings):
    settings.ENVIRONMENT = "staging"
    assert line("Observability").status == "fail"
    settings.METRICS_TOKEN = "t"
    assert line("Observability").status == "ok"


def test_an_open_breaker_is_warned_about():
    for _ in range(settings.UPSTREAM_BREAKER_FAILURES):
        breaker.record(breaker.admit("wisgate", MODEL), "unavailable")
    found = line("Resilience")
    assert found.status == "warn"
    assert f"wisgate/{MODEL}" in found.finding


def test_several_processes_without_redis_are_warned_about(settings):
    settings.WEB_CONCURRENCY, settings.REDIS_URL = 2, ""
    assert (line("Resilience").status, line("Performance").status) == ("warn", "warn")


def test_a_short_timeout_is_warned_about(settings):
    settings.UPSTREAM_TIMEOUT_S = 20.0
    assert [line(start).status for start in ("Environment: timeout", "Launch: timeouts")] == ["warn", "warn"]
    settings.UPSTREAM_TIMEOUT_S = 35.0
    assert line("Environment: timeout").status == "ok"


def test_a_probe_or_a_picture_is_connectivity(settings, call_ended):
    assert line("Launch: connectivity").status == "warn"
    call_ended("ok")
    assert (line("Launch: connectivity").status, line("Before: tested").status) == ("ok", "ok")


def test_a_saved_probe_counts(settings):
    settings.DATA_DIR.mkdir(exist_ok=True)
    (settings.DATA_DIR / "probe.png").write_bytes(b"")
    assert (line("Launch: connectivity").status, line("Before: tested").status) == ("ok", "ok")


def test_unreadable_answers_slow_pictures_and_failures_are_warned_about(call_ended):
    call_ended("ok", 18, elapsed_ms=21_000)
    call_ended("malformed", 2)
    assert [line(start).status for start in ("Integration: errors", "Integration: response", "Launch: first")] == [
        "warn",
        "warn",
        "warn",
    ]


def test_wishes_that_are_not_honoured_are_warned_about(call_ended):
    call_ended("ok", 20, picture_count=1, shape_count=1, size_count=0)
    assert line("Before: outputs").status == "warn"


def test_without_a_price_for_drafts_it_warns(monkeypatch):
    monkeypatch.setattr(Price.objects, "filter", lambda **_: Price.objects.none())
    assert line("Environment: 0.5K").status == "warn"


def test_an_env_file_for_everybody_fails_in_production(settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / ".env").write_text("X=1")
    (tmp_path / ".env").chmod(0o644)
    assert line("Launch: secrets").status == "warn"
    settings.ENVIRONMENT, settings.SECRET_KEY_IS_MADE = "production", False
    assert line("Launch: secrets").status == "fail"
    (tmp_path / ".env").chmod(0o600)
    assert line("Launch: secrets").status == "ok"


def test_uncollected_style_sheets_fail_where_they_are_needed(settings, tmp_path):
    settings.DEBUG, settings.STATIC_ROOT = False, tmp_path
    assert line("UX").status == "fail"
    (tmp_path / "staticfiles.json").write_text("{}")
    assert line("UX").status == "ok"


def test_without_a_database_it_says_so(monkeypatch):
    def away():
        raise DatabaseError

    monkeypatch.setattr("config.management.commands.doctor.examine", away)
    with pytest.raises(CommandError, match="database does not answer"):
        call_command("doctor")
