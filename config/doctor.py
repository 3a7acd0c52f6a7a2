"""The articles' production checklist and integration checklist, line by line, against this instance as it is now.

Nothing is bought and nothing is changed: what only a call could tell is read from the calls that were made.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.db import connection
from django.utils import timezone

from accounts.models import Price
from accounts.triggers import missing_triggers
from gallery import storage
from generations import catalog, health
from generations.health import Figures, Health
from generations.models import Attempt
from generations.outcomes import OUTCOMES
from generations.providers import refused_keys
from generations.providers.current import providers_for
from generations.spec import GenerationSpec
from generations.wire import gemini

Status = Literal["ok", "warn", "fail"]

MIN_FREE_BYTES = 5 * 2**30
ENOUGH_CALLS = 20  # fewer say little
GOOD_SUCCESS = 0.95
SEED_TIMEOUT_S = 35
KEY_NAMES = ("WISDOM_GATE_KEY_PROD", "WISDOM_GATE_KEY", "WISDOM_GATE_API_KEY")
COLLECT = "Run: python3 run.py manage collectstatic --noinput"
PROBE = "Run: python3 run.py manage probeupstream"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a checklist: what was found, and what to do about it."""

    checklist: str
    area: str
    status: Status
    finding: str
    remedy: str = ""


@dataclass(frozen=True)
class _Case:
    """What the checks look at, read once."""

    figures: Health
    is_production: bool
    is_shared: bool  # whether more than one process works on this instance

    @property
    def day(self) -> Figures:
        return self._sum("24h")

    @property
    def month(self) -> Figures:
        return self._sum("30d")

    def _sum(self, window: str) -> Figures:
        total = Figures()
        for each in self.figures.upstreams:
            found = each.windows[window]
            total.outcomes += found.outcomes
            total.latencies += found.latencies
            total.pictures += found.pictures
            total.shape_honoured += found.shape_honoured
            total.size_honoured += found.size_honoured
        return total


Found = tuple[Status, str, str]


def ok(finding: str) -> Found:
    return "ok", finding, ""


def warn(finding: str, remedy: str) -> Found:
    return "warn", finding, remedy


def fail(finding: str, remedy: str) -> Found:
    return "fail", finding, remedy


def examine() -> Iterator[Line]:
    """Every line in the checklists' order."""
    case = _Case(
        figures=health.measure(),
        is_production=settings.ENVIRONMENT == "production",
        is_shared=bool(settings.CELERY_BROKER_URL) or settings.WEB_CONCURRENCY > 1,
    )
    for checklist, lines in CHECKLISTS.items():
        for area, check in lines.items():
            status, finding, remedy = check(case)
            yield Line(checklist=checklist, area=area, status=status, finding=finding, remedy=remedy)


# --- Production ----------------------------------------------------------------------------------


def _keys(case: _Case) -> Found:
    if settings.EMULATOR:
        finding = "The emulator paints; no upstream key is used."
        return warn(finding, "Set WISDOM_GATE_KEY, and take EMULATOR away.") if case.is_production else ok(finding)
    if not settings.WISDOM_GATE_KEYS:
        return fail("No upstream key is set.", "Set WISDOM_GATE_KEY.")
    provider = providers_for(_draft())[0]
    refused = refused_keys.refused_indexes(provider)
    if len(refused) == provider.key_count:
        return fail("The upstream has refused every key lately.", "Set WISDOM_GATE_KEY to a key that is in force.")
    if refused:
        return warn("The upstream has refused one of the keys lately.", "Take it out of WISDOM_GATE_KEY.")
    second = "the next one is ready" if provider.key_count > 1 else "rotate it as `primary,next`"
    return ok(f"{provider.key_count} key loaded; {second}." if provider.key_count == 1 else f"Keys loaded; {second}.")


def _observability(case: _Case) -> Found:
    if settings.ENVIRONMENT != "development" and not settings.METRICS_TOKEN:
        return fail("/metrics is closed: METRICS_TOKEN is not set.", "Set METRICS_TOKEN, and scrape with it.")
    if case.is_production and settings.LOG_FORMAT != "json":
        return warn("The log is not JSON.", "Set LOG_FORMAT=json.")
    return ok(f"/metrics; {settings.LOG_FORMAT} log with request_id and generation on every line.")


def _resilience(case: _Case) -> Found:
    if case.is_shared and not settings.REDIS_URL:
        return warn("Each process has a circuit breaker of its own.", "Set REDIS_URL: all workers then share one.")
    away = [f"{each.upstream}/{each.model}" for each in case.figures.upstreams if each.breaker != "closed"]
    if away:
        return warn(f"The circuit breaker is open for {', '.join(away)}.", "Look at /status/, and at the upstream.")
    return ok(f"Retries up to {settings.UPSTREAM_MAX_PAID_ATTEMPTS} paid calls; all circuit breakers are closed.")


def _security(case: _Case) -> Found:
    errors = [message for message in run_checks() if message.level >= ERROR]
    if errors:
        return fail(f"{errors[0].msg} ({errors[0].id})", errors[0].hint or "Run: python3 run.py manage check")
    if case.is_production and not settings.TRUSTED_PROXIES:
        return warn("No proxy is trusted, so TLS cannot end at one.", "Set TRUSTED_PROXIES to the proxy's address.")
    if case.is_production and not settings.SITE_URL.startswith("https://"):
        return warn("SITE_URL is not https.", "Set SITE_URL to the https:// address of this site.")
    review = {"pre": "before they are public", "flagged": "when a rule marks them", "post": "once they are public"}
    return ok(
        "Keys stay on the server, input is checked, limits are per person; system checks pass. Outputs are reviewed "
        f"{review[settings.REVIEW_MODE]}."
    )


def _storage(case: _Case) -> Found:
    if missing := missing_triggers(connection):
        return fail(f"{len(missing)} guards of the ledger are missing.", "Run: python3 run.py manage migrate")
    try:
        storage.check()
    except OSError:
        return fail("Pictures cannot be stored.", "Look at DATA_DIR, or at the bucket and its keys (S3_BUCKET).")
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)  # also with a bucket: answers are spooled on this disk
    free = shutil.disk_usage(settings.MEDIA_ROOT).free
    if free < MIN_FREE_BYTES:
        return warn(f"{free / 2**30:.1f} GiB are free for pictures.", "Make room below DATA_DIR.")
    return ok(f"SHA-256 of every picture, cache headers on delivery, {free / 2**30:.0f} GiB free.")


def _performance(case: _Case) -> Found:
    if case.is_shared and connection.vendor == "sqlite":
        return warn("Several processes write to one SQLite file.", "Set DATABASE_URL to a PostgreSQL database.")
    if case.is_shared and not settings.REDIS_URL:
        return warn("Each process has a cache of its own.", "Set REDIS_URL.")
    return ok(f"{settings.WORKER_CONCURRENCY} at once per worker, {settings.QUEUE_LIMIT} may wait; the cache is on.")


def _experience(case: _Case) -> Found:
    manifest = settings.STATIC_ROOT / "staticfiles.json"
    if not settings.DEBUG and not manifest.is_file():
        return fail("Style sheets and scripts were not collected.", COLLECT)
    return ok("Placeholders, live progress, and an error page with a remedy for every outcome.")


# --- Integration ---------------------------------------------------------------------------------


def _signed_up(case: _Case) -> Found:
    return _keys(case) if not settings.WISDOM_GATE_KEYS else ok("The operator's account has issued a key.")


def _tested(case: _Case) -> Found:
    if Attempt.objects.filter(outcome="ok").exists() or (settings.DATA_DIR / "probe.png").exists():
        return ok("The upstream has made pictures for this instance.")
    return warn("The upstream has made no picture for this instance yet.", PROBE)


def _quality(case: _Case) -> Found:
    found = case.month
    if found.pictures < ENOUGH_CALLS or found.shape_rate is None or found.size_rate is None:
        return ok(f"{found.pictures} pictures in 30 days: too few to judge by.")
    finding = f"In 30 days {found.shape_rate:.0%} had the shape and {found.size_rate:.0%} the size that was asked for."
    if min(found.shape_rate, found.size_rate) < GOOD_SUCCESS:
        return warn(finding, "See /status/ for the model, and choose another protocol or model.")
    return ok(finding)


def _environment_key(case: _Case) -> Found:
    if settings.EMULATOR and settings.WISDOM_GATE_KEYS:
        return warn("A key is set, but EMULATOR=1 keeps it unused.", "Take EMULATOR away.")
    return _keys(case)


def _rotation(case: _Case) -> Found:
    if settings.EMULATOR or not settings.WISDOM_GATE_KEYS:
        return ok("Nothing to rotate.")
    if case.is_production and not any(os.environ.get(f"{name}_FILE") for name in KEY_NAMES):
        return warn(
            "The key is in the environment itself.",
            "Hand it over as a file of your secrets manager: WISDOM_GATE_KEY_FILE.",
        )
    return ok("Rotation: `primary,next`, restart, revoke the old one, restart with the new one alone.")


def _timeout(case: _Case) -> Found:
    chosen = settings.UPSTREAM_TIMEOUT_S
    if chosen and chosen < SEED_TIMEOUT_S:
        return warn(
            f"A call may take {chosen:g} s; slow pictures are paid for and lost.",
            f"Set UPSTREAM_TIMEOUT_S to {SEED_TIMEOUT_S} or more, or leave it unset.",
        )
    if chosen:
        return ok(f"{chosen:g} s at every size.")
    times = {name: catalog.default_timeout_s(name) for name in catalog.SIZES}
    return ok(", ".join(f"{seconds} s at {name}" for name, seconds in times.items()) + ".")


def _drafts(case: _Case) -> Found:
    model = catalog.MODELS[catalog.DEFAULT_MODEL_ID]
    if not Price.objects.filter(model=model.id, size="0.5K").exists():
        return warn("0.5K has no price, so drafts cannot be made.", "Add a price at /admin/accounts/price/.")
    return ok(f"0.5K is offered by {model.label}; DEFAULT_IMAGE_SIZE is {settings.DEFAULT_IMAGE_SIZE}.")


def _native(case: _Case) -> Found:
    others = [model.label for model in _offered() if model.routes[0].protocol != "native" and "image" in model.kinds]
    if settings.EMULATOR:
        return ok("The emulator speaks the native protocol.")
    if not settings.WISDOM_GATE_NATIVE_URL:
        return warn(
            "Only chat completions have an address: no grounding, thinking or edits.", "Set WISDOM_GATE_NATIVE_URL too."
        )
    if not settings.WISDOM_GATE_CHAT_URL:
        return ok(f"{settings.WISDOM_GATE_NATIVE_URL}; chat completions have no address, so no clip can be made.")
    if others:
        return ok(f"{settings.WISDOM_GATE_NATIVE_URL}; other protocols serve {', '.join(others)}.")
    return ok(f"{settings.WISDOM_GATE_NATIVE_URL}, and chat completions behind it.")


def _modalities(case: _Case) -> Found:
    body = gemini.build_request(_draft(), upstream_size_token="0.5K")  # noqa: S106
    sent = body.get("generationConfig", {}).get("responseModalities")
    if sent != ["IMAGE"]:
        return fail(f"responseModalities is sent as {sent}.", "This is a fault of the program; please report it.")
    return ok("responseModalities is sent with every native request.")


def _grounding(case: _Case) -> Found:
    able = [model.label for model in _offered() if True in model.capabilities.grounding]
    if not able:
        return warn("No model on offer can search the web.", "Set a price for one that can.")
    return ok(f"Offered for {', '.join(able)}.")


def _exceptions(case: _Case) -> Found:
    mute = [outcome.name for outcome in OUTCOMES.values() if not outcome.message]
    if mute:
        return fail(f"No words for {', '.join(mute)}.", "This is a fault of the program; please report it.")
    if case.day.unreadable:
        return warn(
            f"{case.day.unreadable} answers of the last 24 hours could not be read.",
            "Look for answer_unreadable in the log, and at the calls at /admin/.",
        )
    return ok(f"{len(OUTCOMES)} outcomes, each with its words; every answer of the last 24 hours could be read.")


def _latency(case: _Case) -> Found:
    p95 = case.day.p95_ms
    if p95 is None:
        return ok("Recorded for each call; none in the last 24 hours.")
    finding = f"p95 of the last 24 hours is {p95 / 1000:.1f} s; promised are {health.PROMISE_MS // 1000} s."
    return warn(finding, "See /status/ for the model that is slow.") if p95 >= health.PROMISE_MS else ok(finding)


def _secrets(case: _Case) -> Found:
    env_file = settings.BASE_DIR / ".env"
    if env_file.is_file() and env_file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        remedy = f"Run: chmod 600 {env_file}"
        finding = "Others on this machine may read .env."
        return fail(finding, remedy) if case.is_production else warn(finding, remedy)
    if case.is_production and settings.SECRET_KEY_IS_MADE:
        return fail("SECRET_KEY is not set.", "Set SECRET_KEY or SECRET_KEY_FILE.")
    return ok("Secrets come from the environment or from files, and are hidden in logs.")


def _connectivity(case: _Case) -> Found:
    since = timezone.now() - timedelta(hours=24)
    probe = settings.DATA_DIR / "probe.png"
    if probe.exists() and probe.stat().st_mtime >= since.timestamp():
        return ok("probeupstream has brought a picture within 24 hours.")
    if case.day.succeeded:
        return ok("The upstream has brought pictures within 24 hours.")
    return warn("Nothing has come from the upstream within 24 hours.", PROBE)


def _watch(case: _Case) -> Found:
    found = case.day
    rate = found.success_rate
    if rate is None or found.calls < ENOUGH_CALLS:
        return ok(f"{found.calls} calls in the last 24 hours: too few to judge by.")
    finding = f"{rate:.1%} of {found.calls} calls in the last 24 hours brought pictures."
    return warn(finding, "See /status/ for what went wrong.") if rate < GOOD_SUCCESS else ok(finding)


def _draft() -> GenerationSpec:
    return GenerationSpec(prompt="a draft", model=catalog.DEFAULT_MODEL_ID, image_size="0.5K")


def _offered() -> list[catalog.Model]:
    return catalog.offered_models(())


CHECKLISTS: dict[str, dict[str, Callable[[_Case], Found]]] = {
    "production": {
        "Environment: key loaded and rotated": _keys,
        "Observability: metrics, tracing, structured logs": _observability,
        "Resilience: retries, circuit breaker": _resilience,
        "Security: proxy, input validation, output review": _security,
        "Storage: checksums, cache headers": _storage,
        "Performance: concurrency tuned, caching enabled": _performance,
        "UX: placeholders, progress, error fallback": _experience,
    },
    "integration": {
        "Before: account and API key": _signed_up,
        "Before: tested in the Studio": _tested,
        "Before: outputs meet the needs": _quality,
        "Environment: key in this environment": _environment_key,
        "Environment: rotation and storage of secrets": _rotation,
        "Environment: timeout of 35 seconds": _timeout,
        "Environment: 0.5K for drafts": _drafts,
        "Integration: native endpoint": _native,
        "Integration: explicit responseModalities": _modalities,
        "Integration: grounding for real-world prompts": _grounding,
        "Integration: errors are handled": _exceptions,
        "Integration: response time against 20 seconds": _latency,
        "Launch: secrets are not in the code": _secrets,
        "Launch: timeouts verified": _timeout,
        "Launch: connectivity at 0.5K": _connectivity,
        "Launch: first 24 hours watched": _watch,
    },
}
