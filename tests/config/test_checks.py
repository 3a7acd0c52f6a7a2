"""Wrong combinations of settings are named by an id before anything is served."""

import pytest
from django.core.checks import registry

from config.checks import SETTINGS, check_processes, check_production, check_storage, check_values
from tests.accounts.mmdb import write_mmdb

GOOD_KEY = "k" * 50


def ids(messages):
    return [message.id for message in messages]


@pytest.fixture
def production(settings):
    settings.ENVIRONMENT = "production"
    settings.DEBUG = False
    settings.SECRET_KEY = GOOD_KEY
    settings.SECRET_KEY_IS_MADE = False
    settings.ALLOWED_HOSTS = ["plantain.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://plantain.example"]
    settings.WISDOM_GATE_KEYS = ["upstream-key"]
    settings.EMULATOR = False
    return settings


def test_the_checks_are_registered_under_their_tag():
    assert {check_values, check_production, check_processes, check_storage} <= set(registry.registry.get_checks())
    assert SETTINGS in registry.registry.tags_available()


def test_the_defaults_pass_every_check():
    assert check_values() + check_production() + check_processes() + check_storage() == []


def test_a_proper_production_passes_every_check(production):
    assert check_values() + check_production() == []


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("ENVIRONMENT", "prod", "E001"),
        ("DEFAULT_IMAGE_SIZE", "3K", "E002"),
        ("LOG_FORMAT", "xml", "E003"),
        ("LOG_LEVEL", "info", "E004"),
        ("LOG_PROMPTS", "yes", "E005"),
        ("UPSTREAM_TIMEOUT_S", -1.0, "E006"),
        ("UPSTREAM_DEADLINE_S", float("nan"), "E006"),
        ("QUEUE_TIMEOUT_S", 0.0, "E006"),
        ("UPSTREAM_MAX_PAID_ATTEMPTS", 0, "E006"),
        ("WORKER_CONCURRENCY", 0, "E006"),
        ("QUEUE_LIMIT", -5, "E006"),
        ("UPSTREAM_TIMEOUT_S", 181.0, "E007"),
        ("EMULATOR_LATENCY_S", "fast", "E008"),
        ("EMULATOR_LATENCY_S", "22-18", "E008"),
        ("SIGNUP_CREDIT_USD", "a dollar", "E009"),
        ("SIGNUP_CREDIT_USD", "0.0000001", "E009"),
        ("TRIAL_DAILY_BUDGET_USD", "five", "E009"),
        ("SIGNUP_DAILY_BUDGET_USD", "20,00", "E009"),
        ("SIGNUP_DAILY_BUDGET_USD", "0.99", "E016"),
        ("SIGNUP_CREDIT_DAYS", -1, "E006"),
        ("SIGNUP_CREDITS_PER_NETWORK", 0, "E006"),
        ("TRIAL_GUESTS_PER_ASN", 0, "E006"),
        ("SIGNUP_NO_CREDIT_DOMAINS", ["mail.example", "@temp.example"], "E017"),
        ("SIGNUP_NO_CREDIT_DOMAINS", ["example"], "E017"),
        ("ASN_DATABASE", "/nowhere/asn.mmdb", "E018"),
        ("ASN_DATABASE", __file__, "E018"),
        ("LEDGER_SECOND_PERSON_USD", "-1", "E009"),
        ("EMULATOR", False, "E010"),
        ("WISDOM_GATE_NATIVE_URL", "wisgate.ai/v1beta", "E011"),
    ],
)
def test_a_value_that_nothing_can_use_is_refused(name, value, id, settings):
    setattr(settings, name, value)
    assert ids(check_values()) == [f"plantain.{id}"]


def test_a_database_of_no_known_kind_is_refused(monkeypatch, settings):
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "")
    assert ids(check_values()) == ["plantain.E012"]


def test_a_database_of_providers_and_no_sign_up_credit_are_fine(settings, tmp_path):
    settings.ASN_DATABASE = str(write_mmdb(tmp_path / "asn.mmdb", {"192.0.2.0/24": {"asn": "AS64500"}}))
    settings.SIGNUP_DAILY_BUDGET_USD = "0"
    settings.SIGNUP_NO_CREDIT_DOMAINS = ["mail.example", "bücher.example"]
    assert check_values() == []


@pytest.mark.parametrize("value", ["0", "0.5", "18-22"])
def test_a_latency_is_seconds_or_a_range(value, settings):
    settings.EMULATOR_LATENCY_S = value
    assert check_values() == []


@pytest.mark.parametrize(
    ("name", "value", "id"),
    [
        ("DEBUG", True, "E020"),
        ("SECRET_KEY", "k" * 49, "E021"),
        ("SECRET_KEY_IS_MADE", True, "E021"),
        ("ALLOWED_HOSTS", ["*"], "E022"),
        ("ALLOWED_HOSTS", ["plantain.example", "*.example"], "E022"),
        ("CSRF_TRUSTED_ORIGINS", ["http://plantain.example"], "E023"),
        ("WISDOM_GATE_NATIVE_URL", "http://upstream.example/v1beta", "E024"),
    ],
)
def test_production_refuses_what_development_allows(name, value, id, production):
    setattr(production, name, value)
    assert ids(check_production()) == [f"plantain.{id}"]
    production.ENVIRONMENT = "development"
    assert check_production() == []


def test_production_without_a_key_needs_the_emulator_to_be_asked_for(production):
    production.WISDOM_GATE_KEYS = []
    assert ids(check_values()) == ["plantain.E010"]
    production.EMULATOR = True
    assert check_values() + check_production() == []


def test_an_upstream_on_this_machine_needs_no_https(production):
    production.WISDOM_GATE_NATIVE_URL = "http://127.0.0.1:9000/v1beta"
    assert check_production() == []


@pytest.mark.parametrize(("name", "value"), [("WEB_CONCURRENCY", 2), ("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")])
def test_several_processes_are_warned_about_what_they_cannot_share(name, value, settings, monkeypatch):
    settings.REDIS_URL = ""
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "config.sqlite")
    setattr(settings, name, value)
    assert ids(check_processes()) == ["plantain.W001", "plantain.W002"]
    settings.REDIS_URL = "redis://127.0.0.1:6379/0"
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    assert check_processes() == []


@pytest.mark.parametrize(
    ("changes", "id"),
    [
        ({"MEDIA_STORES": ["disk"]}, "E030"),
        ({"MEDIA_STORES": []}, "E030"),
        ({"S3_BUCKET": "", "S3_ENDPOINT_URL": ""}, "E031"),
        ({"S3_BUCKET": "", "MEDIA_STORES": ["files"]}, "E032"),
        ({"S3_ENDPOINT_URL": "s3.example.com"}, "E033"),
        ({"S3_PUBLIC_ENDPOINT_URL": "ftp://s3.example.com"}, "E033"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "E034"),
        ({"AWS_ACCESS_KEY_ID": ""}, "E034"),
        ({"SIGNED_ADDRESSES": "apache"}, "E035"),
        ({"SIGNED_ADDRESSES": "nginx", "SECURE_LINK_KEY": ""}, "E036"),
        ({"SIGNED_ADDRESSES": "nginx", "SECURE_LINK_KEY": "a" * 31}, "E036"),
        ({"CDN_URL": "cdn.example.com"}, "E037"),
        ({"MEDIA_ACCEL_REDIRECT": "/protected/"}, "W030"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "W031"),
    ],
)
def test_a_bucket_that_cannot_work_is_refused(changes, id, settings):
    proper = {
        "S3_BUCKET": "pictures",
        "S3_ENDPOINT_URL": "https://s3.example.com",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MEDIA_STORES": ["s3"],
    }
    for name, value in proper.items():
        setattr(settings, name, value)
    assert check_storage() == []
    for name, value in changes.items():
        setattr(settings, name, value)
    found = check_storage()
    assert ids(found) == [f"plantain.{id}"]
    assert found[0].hint


def test_every_message_says_what_to_do(production):
    production.DEBUG = True
    production.LOG_FORMAT = "xml"
    production.WEB_CONCURRENCY = 2
    assert all(message.hint for message in check_values() + check_production() + check_processes())
