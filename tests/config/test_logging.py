"""Nothing is written that has not been redacted, whoever logs it (TRUST S12)."""

import io
import json
import logging
import sys

import pytest
import structlog

from accounts import redaction
from accounts.redaction import redact
from config.logging import CONTROL_CHARACTERS, configure, configured_secrets, formatter, prompt_fields
from tests.people import make_key, make_person

API_KEY = "nbk_live_Ab12Cd34_" + "x" * 36
PICTURE = "iVBORw0KGgo" + "AAAA/+09" * 30


@pytest.fixture
def registered():
    """Secrets are the process's own: put back what was registered."""
    before = redaction._secrets
    yield redaction.register_secrets
    redaction._secrets = before


@pytest.fixture
def written():
    """A function that returns what was written since, with the formatter of production."""
    yield from write_with(format="json", prompts="hash")


@pytest.fixture
def console():
    yield from write_with(format="console", prompts="hash")


def write_with(**options):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(level="INFO", **options))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    structlog.contextvars.clear_contextvars()
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"key {API_KEY} refused", "key [redacted] refused"),
        ("Authorization: Bearer abc.def\nHost: x", "Authorization: [redacted]\nHost: x"),
        ("authorization: raw-upstream-key", "authorization: [redacted]"),
        ("{'Authorization': 'Bearer x y', 'Accept': '*/*'}", "{'Authorization': [redacted], 'Accept': '*/*'}"),
        ("(b'authorization', b'raw'), (b'host', b'x')", "(b'authorization', b[redacted]), (b'host', b'x')"),
        ('{"x-goog-api-key": "abc", "b": 2}', '{"x-goog-api-key": [redacted], "b": 2}'),
        ("Cookie: sessionid=abc; csrftoken=def", "Cookie: [redacted]"),
        ("'HTTP_COOKIE': 'sessionid=abc'", "'HTTP_COOKIE': [redacted]"),
        ("sent with bearer abcdefgh12345678.", "sent with [redacted]"),
        ("GET /v1beta/models?key=AAA&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse"),
        ("password=hunter2&next=/", "password=[redacted]&next=/"),
        ('{"password": "ab\\"cd", "x": 1}', '{"password": [redacted], "x": 1}'),
        ('{\\"new_password1\\": \\"hunter2\\"}', '{\\"new_password1\\": [redacted]}'),
        ('{"password": "cut o', '{"password": [redacted]'),
        ("refresh_token=abc", "refresh_token=[redacted]"),
        ("sk-abcdefghijklmnopqrstuvwx", "[redacted]"),
        ("AIzaSy" + "A" * 33, "[redacted]"),
        ("postgres://user:pass@db:5432/name", "postgres://[redacted]@db:5432/name"),
        ("alice.x+y@mail.example.co.uk wrote", "[email] wrote"),
        ("?user=bob%40example.com", "?user=[email]"),
        (f'"data": "{PICTURE}"', f'"data": "[base64, {len(PICTURE)} characters]"'),
        ("a" * 201 + "== end", "[base64, 203 characters] end"),
    ],
)
def test_what_must_not_be_written_is_hidden(text, clean):
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200,
        "the cookie jar is empty, authorization failed",
        "POST /api/v1/generations 202",
        "monkey=banana",
        "totalTokenCount: 1290",
        "nbk_live_ is how a key begins",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_what_may_be_written_stays_as_it_is(text):
    assert redact(text) == text


def test_secrets_of_this_instance_are_hidden_whatever_they_look_like(registered):
    registered("plain words", "plain words and more", "short")
    assert redact("my plain words and more, plain words, short") == "my [redacted], [redacted], short"
    registered()
    assert redact("plain words") == "plain words"


def test_the_configured_secrets_are_registered(settings, registered):
    settings.WISDOM_GATE_KEYS = ["upstream key of today", "upstream key of tomorrow"]
    settings.EMULATOR_KEY = "emulator key"
    secrets = configured_secrets()
    assert {settings.SECRET_KEY, *settings.WISDOM_GATE_KEYS, "emulator key"} <= set(secrets)
    registered(*secrets)
    assert redact("401 for upstream key of tomorrow") == "401 for [redacted]"


@pytest.mark.parametrize(
    "unit",
    ["x" * 199 + " ", "a@", "a.", "a@a.", "password", "password=", 'password="', "authorization:", "key=", "://a:", "://",
     "Bearer ", "sk-", "\\", '"', "cookie',", "nbk_live_", "%40", " ", "\n"],
)  # fmt: skip
def test_a_megabyte_of_anything_is_only_read_a_few_times(unit):
    """Were a pattern quadratic, this would take hours, not a fraction of a second."""
    text = unit * (1_000_000 // len(unit))
    assert len(redact(text)) <= len(text) * 4


def test_a_line_of_a_library_is_redacted_as_one_of_ours(written):
    logging.getLogger("urllib3.connectionpool").warning("Retrying %s", f"https://up.example/?key={API_KEY}")
    structlog.get_logger("ours").warning("retrying", url=f"https://up.example/?key={API_KEY}")
    theirs, ours = map(json.loads, written().splitlines())
    assert (theirs["event"], theirs["logger"]) == (
        "Retrying https://up.example/?key=[redacted]", "urllib3.connectionpool",
    )  # fmt: skip
    assert (ours["event"], ours["url"], ours["level"]) == (
        "retrying", "https://up.example/?key=[redacted]", "warning",
    )  # fmt: skip


def test_values_are_redacted_at_any_depth_and_by_their_names(written):
    structlog.get_logger("ours").info(
        "event", password="p", api_key=1, headers={"X-Goog-Api-Key": "raw", "n": [1, b"alice@example.com", None, 2.5]},
        upstream_secret=["a"], body={"nested": {"Cookie": {"a": "b"}}}, error=ValueError(API_KEY), tokens=5,
    )  # fmt: skip
    line = json.loads(written())
    assert (line["password"], line["api_key"], line["upstream_secret"]) == ("[redacted]",) * 3
    assert line["headers"] == {"X-Goog-Api-Key": "[redacted]", "n": [1, "[email]", None, 2.5]}
    assert line["body"] == {"nested": {"Cookie": "[redacted]"}}
    assert (line["error"], line["tokens"]) == ("ValueError('[redacted]')", 5)


def test_a_traceback_is_redacted_with_its_message(written):
    try:
        try:
            raise KeyError("bob@example.com")
        except KeyError as error:
            raise ValueError(f"refused {API_KEY}") from error
    except ValueError:
        logging.getLogger("library").exception("it broke")
        structlog.get_logger("ours").exception("broke")
    text = written()
    assert text.count("ValueError: refused [redacted]") == 2
    assert API_KEY not in text
    assert "bob@example.com" not in text


def test_nobody_can_write_a_line_of_the_log(written, console):
    forged = "x\r\n2026-01-01 [info] forged\x1b[2J\x85\u2028y"
    structlog.get_logger("ours").info("event", value=forged)
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("library").exception("failed for %s", forged)
    assert len(written().splitlines()) == 2
    assert json.loads(written().splitlines()[0])["value"] == "x\\r\\n2026-01-01 [info] forged\\x1b[2J\\x85\\u2028y"
    lines = console().splitlines()
    assert [line for line in lines if line.startswith("2026-01-01")] == []
    assert all(line.startswith("    ") for line in lines[2:])
    assert not CONTROL_CHARACTERS.search("".join(lines))


def test_a_long_value_is_cut_after_it_was_redacted(written):
    structlog.get_logger("ours").info("event", value="a b " * 2_499 + f"ab {API_KEY} " + "c d " * 3_000)
    value = json.loads(written())["value"]
    assert value.endswith("characters]")
    assert len(value) < 10_100
    assert "nbk_live" not in value


def test_prompts_are_told_apart_but_not_told(written):
    structlog.get_logger("ours").info("submitted", prompt="a fox")
    line = json.loads(written())
    assert "prompt" not in line
    assert {name: line[name] for name in ("prompt_sha256", "prompt_chars")} == prompt_fields("a fox")
    assert prompt_fields("a fox") == {"prompt_sha256": "5ebbe2a2650a5e15", "prompt_chars": 5}


def test_prompts_are_told_when_the_operator_asks_for_it():
    for text in write_with(format="json", prompts="full"):
        structlog.get_logger("ours").info("submitted", prompt="a fox")
        assert json.loads(text())["prompt"] == "a fox"


def test_lines_carry_the_ids_of_their_request_and_job(written):
    with structlog.contextvars.bound_contextvars(request_id="r1", generation=7):
        logging.getLogger("library").warning("theirs")
        structlog.get_logger("ours").warning("ours")
    assert [(line["request_id"], line["generation"]) for line in map(json.loads, written().splitlines())] == [
        ("r1", 7)
    ] * 2


def test_an_uncaught_exception_is_logged_and_an_interrupt_is_not(written, capsys):
    sys.excepthook(ValueError, ValueError(API_KEY), None)
    line = json.loads(written())
    assert (line["event"], line["level"], line["exception"]) == (
        "uncaught_exception",
        "critical",
        "ValueError: [redacted]",
    )
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(written().splitlines()) == 1
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_libraries_have_no_handlers_of_their_own(settings):
    configure(settings.LOGGING)
    for name in ("django", "django.server", "uvicorn", "uvicorn.error", "celery"):
        assert logging.getLogger(name).handlers == []
        assert logging.getLogger(name).propagate


@pytest.mark.django_db
def test_the_canary_a_key_in_a_request_reaches_no_log(client, written):
    alice = make_person("alice")
    key = make_key(alice)
    client.get(f"/api/v1/api-keys?key={key}", headers={"x-goog-api-key": key})
    client.get(f"/api/v1/{key}/{alice.email}", headers={"Authorization": f"Bearer {key[:-1]}0"})
    assert len(written().splitlines()) >= 2
    assert key[:-6] not in written()
    assert alice.email not in written()
