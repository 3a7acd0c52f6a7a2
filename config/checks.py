"""Wrong combinations of settings, each with an id and what to do. docs/settings.md explains the variables."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from accounts import networks
from accounts.errors import InvalidInput
from accounts.money import parse_usd
from generations import catalog

SETTINGS = "settings"  # a tag: `manage.py check --tag settings`
ENVIRONMENTS = ("development", "staging", "production")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MIN_SECRET_KEY_CHARS = 50
LATENCY = re.compile(r"\d+(\.\d+)?(-\d+(\.\d+)?)?")
DOMAIN = re.compile(r"[^@\s.]+(\.[^@\s.]+)+")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def register_checks() -> None:
    """Called when the roof is ready."""
    for check in (check_values, check_production, check_processes, check_storage):
        register(check, SETTINGS)


def check_values(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Values that no environment can use."""
    return [*_unknown_words(), *_bad_numbers(), *_bad_amounts(), *_bad_newcomers(), *_bad_upstream()]


def check_production(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """What development makes easy, and strangers must not meet (TRUST S13)."""
    return list(_unsafe_production()) if settings.ENVIRONMENT == "production" else []


def check_processes(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Parts that only one process can share with itself."""
    if not settings.CELERY_BROKER_URL and settings.WEB_CONCURRENCY <= 1:
        return []
    return list(_unshared_parts())


def check_storage(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Where pictures are kept, and whether it can be reached at all."""
    return [*_bad_stores(), *_bad_bucket(), *_bad_delivery()]


def _unknown_words() -> Iterator[CheckMessage]:
    allowed: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("ENVIRONMENT", "E001", ENVIRONMENTS),
        ("DEFAULT_IMAGE_SIZE", "E002", sorted({size for model in catalog.MODELS.values() for size in model.sizes})),
        ("LOG_FORMAT", "E003", ("console", "json")),
        ("LOG_LEVEL", "E004", LEVELS),
        ("LOG_PROMPTS", "E005", ("hash", "full")),
        ("UPSTREAM_CHAT_AUTH", "E013", ("raw", "bearer")),
        ("REVIEW_MODE", "E015", ("pre", "flagged", "post")),
    )
    for name, number, words in allowed:
        value = getattr(settings, name)
        if value not in words:
            yield Error(f"{name} is {value!r}.", hint=f"Use one of {', '.join(words)}.", id=f"plantain.{number}")


def _bad_numbers() -> Iterator[CheckMessage]:
    at_least = {
        "UPSTREAM_TIMEOUT_S": 0,
        "UPSTREAM_DEADLINE_S": 1,
        "QUEUE_TIMEOUT_S": 1,
        "UPSTREAM_MAX_PAID_ATTEMPTS": 1,
        "WORKER_CONCURRENCY": 1,
        "QUEUE_LIMIT": 1,
        "REPORTS_TO_REVIEW": 1,
        "TRIAL_GUESTS_PER_NETWORK": 1,
        "TRIAL_GUESTS_PER_ASN": 1,
        "SIGNUP_CREDITS_PER_NETWORK": 1,
        "SIGNUP_CREDITS_PER_ASN": 1,
        "SIGNUP_CREDIT_DAYS": 0,
    }
    for name, minimum in at_least.items():
        value = getattr(settings, name)
        if not value >= minimum:  # written so that NaN is refused too
            yield Error(f"{name} is {value}.", hint=f"Use a number from {minimum} up.", id="plantain.E006")
    if settings.UPSTREAM_TIMEOUT_S > settings.UPSTREAM_DEADLINE_S:
        yield Error(
            "UPSTREAM_TIMEOUT_S is longer than UPSTREAM_DEADLINE_S.",
            hint="One attempt must end before the whole generation does.",
            id="plantain.E007",
        )
    low, _, high = settings.EMULATOR_LATENCY_S.partition("-")
    if not LATENCY.fullmatch(settings.EMULATOR_LATENCY_S) or float(low) > float(high or low):
        yield Error(
            f"EMULATOR_LATENCY_S is {settings.EMULATOR_LATENCY_S!r}.",
            hint="Use seconds, such as 0.5, or a range, such as 18-22.",
            id="plantain.E008",
        )


def _bad_amounts() -> Iterator[CheckMessage]:
    meanings_of_nothing = {
        "SIGNUP_CREDIT_USD": "none",
        "SIGNUP_DAILY_BUDGET_USD": "no sign-up credit",
        "TRIAL_DAILY_BUDGET_USD": "no trial",
        "LEDGER_SECOND_PERSON_USD": "every change",
    }
    for name, nothing in meanings_of_nothing.items():
        try:
            parse_usd(getattr(settings, name))
        except InvalidInput as error:
            yield Error(
                f"{name} is {getattr(settings, name)!r}: {error.message}",
                hint=f"Use an amount such as 1.00, or 0 for {nothing}.",
                id="plantain.E009",
            )


def _bad_newcomers() -> Iterator[CheckMessage]:
    try:
        credit, budget = parse_usd(settings.SIGNUP_CREDIT_USD), parse_usd(settings.SIGNUP_DAILY_BUDGET_USD)
    except InvalidInput:  # E009 says so
        credit = budget = 0
    if 0 < budget < credit:
        yield Error(
            f"SIGNUP_DAILY_BUDGET_USD is {settings.SIGNUP_DAILY_BUDGET_USD}: not enough for one sign-up credit.",
            hint=f"Use at least SIGNUP_CREDIT_USD, {settings.SIGNUP_CREDIT_USD}, or 0 for no sign-up credit.",
            id="plantain.E016",
        )
    wrong = [domain for domain in settings.SIGNUP_NO_CREDIT_DOMAINS if not DOMAIN.fullmatch(domain)]
    if wrong:
        yield Error(
            f"SIGNUP_NO_CREDIT_DOMAINS names {', '.join(wrong)}.",
            hint="Use domains such as mail.example, separated by commas.",
            id="plantain.E017",
        )
    if settings.ASN_DATABASE:
        try:
            networks.provider_in(settings.ASN_DATABASE, "192.0.2.1")
        except (OSError, ValueError) as error:
            yield Error(
                f"ASN_DATABASE cannot be read: {error}",
                hint="Use the path of an MMDB file of autonomous systems, or leave it unset.",
                id="plantain.E018",
            )


def _bad_upstream() -> Iterator[CheckMessage]:
    if not settings.WISDOM_GATE_KEYS and not settings.EMULATOR:
        yield Error(
            "There is nobody to ask for pictures: no upstream key is set, and the emulator is off.",
            hint="Set WISDOM_GATE_KEY, or EMULATOR=1 for painted stand-ins.",
            id="plantain.E010",
        )
    for name in ("WISDOM_GATE_NATIVE_URL", "WISDOM_GATE_CHAT_URL"):
        address = urlsplit(getattr(settings, name))
        if address.geturl() and (address.scheme not in ("http", "https") or not address.hostname):
            yield Error(
                f"{name} is {getattr(settings, name)!r}.",
                hint="Use an address such as https://wisgate.ai/v1beta.",
                id="plantain.E011",
            )
    if not settings.DATABASES["default"].get("ENGINE"):
        yield Error(
            "DATABASE_URL names no database that is known.",
            hint="Use sqlite:///path or postgres://user:password@host:5432/name.",
            id="plantain.E012",
        )


def _bad_stores() -> Iterator[CheckMessage]:
    known = ("files", "s3")
    if not settings.MEDIA_STORES or not set(settings.MEDIA_STORES) <= set(known):
        yield Error(
            f"MEDIA_STORES is {','.join(settings.MEDIA_STORES)!r}.",
            hint="Use files, s3, or both of them, the one for new pictures first.",
            id="plantain.E030",
        )
    if "s3" in settings.MEDIA_STORES and not settings.S3_BUCKET:
        yield Error("MEDIA_STORES names s3, and S3_BUCKET is not set.", hint="Set S3_BUCKET.", id="plantain.E031")
    if settings.MEDIA_STORES[:1] == ["s3"] and settings.MEDIA_ACCEL_REDIRECT:
        yield Warning(
            "MEDIA_ACCEL_REDIRECT is for files, and new pictures go into a bucket.",
            hint="Take it away once all pictures are there.",
            id="plantain.W030",
        )


def _bad_delivery() -> Iterator[CheckMessage]:
    if settings.SIGNED_ADDRESSES not in ("off", "django", "nginx"):
        yield Error(
            f"SIGNED_ADDRESSES is {settings.SIGNED_ADDRESSES!r}.",
            hint="Use off, django or nginx.",
            id="plantain.E035",
        )
    if settings.SIGNED_ADDRESSES == "nginx" and not re.fullmatch(r"[A-Za-z0-9]{32,}", settings.SECURE_LINK_KEY):
        yield Error(
            "SIGNED_ADDRESSES is nginx, and SECURE_LINK_KEY is not 32 letters and digits or more.",
            hint="Use the same one in nginx's configuration; `openssl rand -hex 32` makes one.",
            id="plantain.E036",
        )
    cdn = urlsplit(settings.CDN_URL)
    if cdn.geturl() and (cdn.scheme not in ("http", "https") or not cdn.hostname):
        yield Error(
            f"CDN_URL is {settings.CDN_URL!r}.",
            hint="Use an address such as https://cdn.example.com.",
            id="plantain.E037",
        )


def _bad_bucket() -> Iterator[CheckMessage]:
    if settings.S3_ENDPOINT_URL and not settings.S3_BUCKET:
        yield Error("S3_ENDPOINT_URL is set, and S3_BUCKET is not.", hint="Set S3_BUCKET.", id="plantain.E032")
    for name in ("S3_ENDPOINT_URL", "S3_PUBLIC_ENDPOINT_URL"):
        address = urlsplit(getattr(settings, name))
        if address.geturl() and (address.scheme not in ("http", "https") or not address.hostname):
            yield Error(
                f"{name} is {getattr(settings, name)!r}.",
                hint="Use an address such as https://s3.eu-central-1.amazonaws.com, without the bucket.",
                id="plantain.E033",
            )
    if not settings.S3_BUCKET:
        return
    if bool(settings.AWS_ACCESS_KEY_ID) != bool(settings.AWS_SECRET_ACCESS_KEY):
        yield Error(
            "Only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set.",
            hint="Set both, or neither for the role of this machine.",
            id="plantain.E034",
        )
    elif not settings.AWS_ACCESS_KEY_ID:
        yield Warning(
            "S3_BUCKET is set without keys: only the role of a machine at AWS opens it.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless this machine has such a role.",
            id="plantain.W031",
        )


def _unsafe_production() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error("DEBUG is on in production.", hint="Leave DEBUG unset.", id="plantain.E020")
    if settings.SECRET_KEY_IS_MADE or len(settings.SECRET_KEY) < MIN_SECRET_KEY_CHARS:
        yield Error(
            f"SECRET_KEY is not set, or has fewer than {MIN_SECRET_KEY_CHARS} characters.",
            hint="Set SECRET_KEY or SECRET_KEY_FILE to a long random text, the same on every machine.",
            id="plantain.E021",
        )
    if any("*" in host for host in settings.ALLOWED_HOSTS):
        yield Error("ALLOWED_HOSTS contains '*'.", hint="Name the hosts of this site.", id="plantain.E022")
    insecure = [origin for origin in settings.CSRF_TRUSTED_ORIGINS if not origin.startswith("https://")]
    if insecure:
        yield Error(
            f"CSRF_TRUSTED_ORIGINS trusts {', '.join(insecure)}.", hint="Use https:// origins.", id="plantain.E023"
        )
    for name in ("WISDOM_GATE_NATIVE_URL", "WISDOM_GATE_CHAT_URL"):
        address = urlsplit(getattr(settings, name))
        if address.geturl() and address.scheme != "https" and address.hostname not in LOOPBACK:
            yield Error(
                f"{name} is not https: the upstream key would cross the network in the clear.",
                hint="Use an https:// address.",
                id="plantain.E024",
            )


def _unshared_parts() -> Iterator[CheckMessage]:
    if not settings.REDIS_URL:
        yield Warning(
            "Several processes serve this instance, and each keeps its cache in its own memory.",
            hint="Set REDIS_URL.",
            id="plantain.W001",
        )
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        yield Warning(
            "Several processes write to one SQLite file: they wait for each other, and must be on one machine.",
            hint="Set DATABASE_URL to a PostgreSQL database.",
            id="plantain.W002",
        )
