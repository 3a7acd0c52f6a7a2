"""Settings come from the environment alone, and three lists name the same variables."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")


def names_that_settings_read():
    tree = ast.parse((ROOT / "config/settings.py").read_text())
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="env")), args=[ast.Constant(value=str(name)), *_]):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id="_KEY_BY_ENVIRONMENT")], value=ast.Dict(values=values)):
                names |= {value.value for value in values}
            case ast.FunctionDef(name="_upstream_keys"):
                constants = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
                names |= {value for value in constants if isinstance(value, str) and VARIABLE.fullmatch(value)}
    return names


def names_in_env_example():
    return set(re.findall(r"^#([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def names_in_docs():
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}


def read(*names, **environment):
    """The settings of a fresh process that has this environment and no other."""
    code = "import json; from config import settings; print(json.dumps({n: str(getattr(settings, n)) for n in NAMES}))"
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code.replace("NAMES", repr(names))],
        env=keep | {"ENV_FILE": os.devnull} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    values = json.loads(done.stdout)
    return values[names[0]] if len(names) == 1 else values


@pytest.fixture
def data_dir(tmp_path):
    return str(tmp_path)


def test_env_example_lists_exactly_what_settings_read():
    assert names_in_env_example() == names_that_settings_read()


def test_the_docs_list_exactly_what_settings_read():
    assert names_in_docs() == names_that_settings_read()


def test_the_list_itself_was_found():
    assert {"SECRET_KEY", "WISDOM_GATE_KEY", "WISDOM_GATE_KEY_PROD", "DATABASE_URL"} <= names_that_settings_read()


def test_with_nothing_set_it_is_a_development_instance_with_an_emulator(data_dir):
    values = read("ENVIRONMENT", "DEBUG", "EMULATOR", "DEFAULT_IMAGE_SIZE", "LOG_FORMAT", "SITE_URL", DATA_DIR=data_dir)
    assert values == {
        "ENVIRONMENT": "development",
        "DEBUG": "True",
        "EMULATOR": "True",
        "DEFAULT_IMAGE_SIZE": "1K",
        "LOG_FORMAT": "console",
        "SITE_URL": "http://127.0.0.1:8000",
    }


def test_production_has_no_debug_no_emulator_and_2k(data_dir):
    values = read("DEBUG", "EMULATOR", "DEFAULT_IMAGE_SIZE", ENVIRONMENT="production", DATA_DIR=data_dir)
    assert values == {"DEBUG": "False", "EMULATOR": "False", "DEFAULT_IMAGE_SIZE": "2K"}


def test_an_empty_variable_counts_as_not_set(data_dir):
    values = read(
        "QUEUE_LIMIT", "DEBUG", "ALLOWED_HOSTS", DATA_DIR=data_dir, QUEUE_LIMIT="", DEBUG="", ALLOWED_HOSTS=""
    )
    assert (values["QUEUE_LIMIT"], values["DEBUG"]) == ("2000", "True")
    assert "localhost" in values["ALLOWED_HOSTS"]


def test_a_secret_in_a_file_is_read_without_its_line_break(data_dir, tmp_path):
    file = tmp_path / "key"
    file.write_text("k" * 60 + "\n")
    assert read("SECRET_KEY", DATA_DIR=data_dir, SECRET_KEY_FILE=str(file)) == "k" * 60


def test_a_value_that_cannot_be_read_is_refused_by_name(data_dir):
    message = read("QUEUE_LIMIT", DATA_DIR=data_dir, QUEUE_LIMIT="many")
    assert message == (
        "django.core.exceptions.ImproperlyConfigured: QUEUE_LIMIT has a value that cannot be read: "
        "invalid literal for int() with base 10: 'many'."
    )


def test_a_file_that_is_not_there_is_refused_by_name(data_dir):
    assert "SECRET_KEY has a value that cannot be read" in read(
        "SECRET_KEY", SECRET_KEY_FILE="/nowhere", DATA_DIR=data_dir
    )


def test_the_env_file_is_read_and_the_environment_wins(data_dir, tmp_path):
    file = tmp_path / "env"
    file.write_text("QUEUE_LIMIT=7\nSITE_NAME='The House'\n")
    values = read("QUEUE_LIMIT", "SITE_NAME", DATA_DIR=data_dir, ENV_FILE=str(file), QUEUE_LIMIT="8")
    assert values == {"QUEUE_LIMIT": "8", "SITE_NAME": "The House"}


@pytest.mark.parametrize(
    ("environment", "keys"),
    [
        ({}, []),
        ({"WISDOM_GATE_KEY": "primary, next"}, ["primary", "next"]),
        ({"WISDOM_GATE_API_KEY": "alias"}, ["alias"]),
        ({"WISDOM_GATE_KEY": "general", "WISDOM_GATE_KEY_DEV": "own"}, ["own"]),
        ({"WISDOM_GATE_KEY": "general", "WISDOM_GATE_KEY_PROD": "other"}, ["general"]),
    ],
    ids=["none", "rotation", "alias", "of this environment", "of another environment"],
)
def test_the_upstream_key_is_the_one_of_the_environment(environment, keys, data_dir):
    values = read("WISDOM_GATE_KEYS", "EMULATOR", DATA_DIR=data_dir, **environment)
    assert values == {"WISDOM_GATE_KEYS": str(keys), "EMULATOR": str(not keys)}


def test_a_made_secret_is_kept_and_readable_by_its_owner_only(data_dir):
    first = read("SECRET_KEY", DATA_DIR=data_dir)
    assert read("SECRET_KEY", DATA_DIR=data_dir) == first
    kept = Path(data_dir) / "secrets" / "secret-key"
    assert kept.read_text() == first
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_another_host_is_the_sites_own_address(data_dir):
    values = read("SITE_URL", "ALLOWED_HOSTS", DATA_DIR=data_dir, HOST="192.0.2.7", PORT="9000")
    assert values["SITE_URL"] == "http://192.0.2.7:9000"
    assert "192.0.2.7" in values["ALLOWED_HOSTS"]
    assert read("SITE_URL", DATA_DIR=data_dir, HOST="0.0.0.0") == "http://127.0.0.1:8000"
    assert read("SITE_URL", DATA_DIR=data_dir, HOST="::1") == "http://[::1]:8000"


@pytest.mark.parametrize(
    ("environment", "native", "chat"),
    [
        ({}, "https://wisgate.ai/v1beta", "https://wisdom-gate.juheapi.com/v1"),
        ({"WISDOM_GATE_NATIVE_URL": "https://other.example/v1beta/"}, "https://other.example/v1beta", ""),
        ({"WISDOM_GATE_CHAT_URL": "https://other.example/v1"}, "", "https://other.example/v1"),
    ],
)
def test_a_key_for_one_address_is_not_for_wisgates_other_one(environment, native, chat, tmp_path):
    found = read("WISDOM_GATE_NATIVE_URL", "WISDOM_GATE_CHAT_URL", DATA_DIR=str(tmp_path), **environment)
    assert found == {"WISDOM_GATE_NATIVE_URL": native, "WISDOM_GATE_CHAT_URL": chat}


def test_pictures_are_files_until_a_bucket_is_named(data_dir):
    assert read("MEDIA_STORES", "S3_BUCKET", DATA_DIR=data_dir) == {"MEDIA_STORES": "['files']", "S3_BUCKET": ""}


def test_a_bucket_takes_new_pictures_and_its_origin_stands_in_the_policy(data_dir, tmp_path):
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    bucket = {"S3_BUCKET": "pictures", "S3_REGION": "eu-central-1", "AWS_SECRET_ACCESS_KEY_FILE": str(file)}
    names = ("MEDIA_STORES", "S3_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY", "CONTENT_SECURITY_POLICY")
    values = read(*names, DATA_DIR=data_dir, **bucket)
    endpoint = "https://s3.eu-central-1.amazonaws.com"
    assert (values["MEDIA_STORES"], values["S3_ENDPOINT_URL"]) == ("['s3']", endpoint)
    assert values["AWS_SECRET_ACCESS_KEY"] == "from-a-file"
    directives = ast.literal_eval(values["CONTENT_SECURITY_POLICY"])["DIRECTIVES"]
    assert directives["img-src"] == ["'self'", "blob:", "data:", endpoint]
    assert directives["media-src"] == ["'self'", endpoint]
    public = read(*names, DATA_DIR=data_dir, S3_PUBLIC_ENDPOINT_URL="https://media.example.com/", **bucket)
    assert (
        ast.literal_eval(public["CONTENT_SECURITY_POLICY"])["DIRECTIVES"]["media-src"][1] == "https://media.example.com"
    )
    assert read("MEDIA_STORES", DATA_DIR=data_dir, MEDIA_STORES="files, s3", **bucket) == "['files', 's3']"


def test_receipts_are_signed_with_a_key_that_is_made_once(data_dir):
    first, second = (read("RECEIPT_SIGNING_KEYS", DATA_DIR=data_dir) for _ in range(2))
    assert first == second != read("RECEIPT_SIGNING_KEYS", DATA_DIR=f"{data_dir}/another")


def test_addresses_are_signed_with_a_key_of_their_own_and_pictures_may_come_from_the_cdn(data_dir):
    names = ("URL_SIGNING_KEYS", "RECEIPT_SIGNING_KEYS", "CDN_URL", "CONTENT_SECURITY_POLICY")
    first, second = (read(*names, DATA_DIR=data_dir, CDN_URL="https://cdn.example.com/") for _ in range(2))
    assert first == second
    assert first["URL_SIGNING_KEYS"] != first["RECEIPT_SIGNING_KEYS"]
    assert first["CDN_URL"] == "https://cdn.example.com"
    directives = ast.literal_eval(first["CONTENT_SECURITY_POLICY"])["DIRECTIVES"]
    assert directives["img-src"] == ["'self'", "blob:", "data:", "https://cdn.example.com"]
    assert directives["media-src"] == ["'self'", "https://cdn.example.com"]
    said = read("URL_SIGNING_KEYS", DATA_DIR=data_dir, URL_SIGNING_KEYS="short")
    assert "URL_SIGNING_KEYS is a list of id:secret" in said


def test_signing_keys_are_in_their_order_and_refused_when_malformed(data_dir):
    keys = f"new:{'n' * 32}, old-1:{'o' * 32}"
    assert read("RECEIPT_SIGNING_KEYS", DATA_DIR=data_dir, RECEIPT_SIGNING_KEYS=keys) == str(
        {"new": "n" * 32, "old-1": "o" * 32}
    )
    for wrong in ("secret", f"new:{'n' * 31}", f"new:{'n' * 32},new:{'o' * 32}", f":{'n' * 32}"):
        said = read("RECEIPT_SIGNING_KEYS", DATA_DIR=data_dir, RECEIPT_SIGNING_KEYS=wrong)
        assert "RECEIPT_SIGNING_KEYS is a list of id:secret" in said


def test_two_instances_on_one_redis_count_apart(data_dir):
    """The keys of the counters are ids, which both have."""
    shared = {"DATA_DIR": data_dir, "REDIS_URL": "redis://127.0.0.1:6379/0"}
    assert "'KEY_PREFIX': 'plantain'" in read("CACHES", **shared)
    assert "'KEY_PREFIX': 'studio-2'" in read("CACHES", REDIS_PREFIX="studio-2", **shared)
