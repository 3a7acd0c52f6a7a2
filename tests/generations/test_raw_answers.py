"""What is kept of each upstream answer for operators: its structure; no picture, no key, no address, 20 KB at most."""

import base64
import hashlib
import json
import re
from pathlib import Path

import orjson
import pytest

from accounts.redaction import register_secrets
from config.logging import configured_secrets
from generations import raw_answers
from generations.models import Attempt, Generation, Status
from generations.providers.answer import Answer, durable_file, write_head
from generations.providers.base import ProviderError
from generations.raw_answers import MAX_BYTES, summarise
from tests.generations.fakes import error, picture, png, reply

FIXTURES = sorted((Path(__file__).parents[1] / "wire/fixtures/gemini").glob("*.json"))
KEY = "nbk_live_8charsid_and_a_long_secret_part_123456"
UPSTREAM_KEY = "an-upstream-key-of-no-known-form"


def answer(body, status=200, headers=None):
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status=status, headers=headers or {}, elapsed_ms=7, body=content)


def fixture_answer(path):
    fixture = json.loads(path.read_text())
    body = orjson.dumps(fixture["body"]) if "body" in fixture else fixture.get("body_text", "").encode()
    return answer(body, fixture["status"], fixture["headers"])


def encoded_texts(value):
    """Every value of a "data" or signature field, wherever it stands."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("data", "thoughtSignature", "thought_signature") and isinstance(item, str) and len(item) > 8:
                yield item
            yield from encoded_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from encoded_texts(item)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_of_no_answer_of_the_wire_fixtures_any_base64_stays(path):
    summary = summarise(fixture_answer(path))
    assert summary.startswith(f"HTTP {json.loads(path.read_text())['status']}\n")
    assert len(summary.encode()) <= MAX_BYTES
    assert re.findall(r"[A-Za-z0-9+/]{121,}", summary) == []
    assert [text for text in encoded_texts(json.loads(path.read_text()).get("body")) if text in summary] == []


def test_a_picture_is_told_by_its_length_and_digest_and_the_rest_in_full():
    data = base64.b64encode(png(size=(64, 64)) * 200)  # long enough to be lifted out before the JSON is read
    summary = summarise(answer(reply({"text": "Here it is."}, picture(data.decode())), headers={"x-request-id": "u-1"}))
    head, _, body = summary.partition("\n\n")
    assert head == "HTTP 200\nx-request-id: u-1"
    parts = json.loads(body)["candidates"][0]["content"]["parts"]
    assert parts[0] == {"text": "Here it is."}
    digest = hashlib.sha256(data).hexdigest()[:16]
    assert parts[1]["inlineData"]["data"] == f"[base64, {len(data)} characters, sha256 {digest}]"
    assert json.loads(body)["responseId"] == "response-1"


@pytest.mark.parametrize(
    "body",
    [
        error(400, "INVALID_ARGUMENT", f"API key not valid: {KEY} / {UPSTREAM_KEY} / sk-canary0123456789abcdef")[1],
        {"error": {"message": "no", "headers": {"x-goog-api-key": UPSTREAM_KEY, "authorization": f"Bearer {KEY}"}}},
        {"error": {"message": json.dumps({"api_key": UPSTREAM_KEY, "password": KEY})}},
        {UPSTREAM_KEY: {"password": KEY}},
        f"<html>x-goog-api-key: {UPSTREAM_KEY}<br>key={KEY}</html>".encode(),
        b'{"cut": "' + KEY.encode() + b" " + UPSTREAM_KEY.encode(),
    ],
)
def test_no_key_stays(body, settings):
    register_secrets(UPSTREAM_KEY)
    try:
        summary = summarise(answer(body, 400, {"x-request-id": UPSTREAM_KEY}))
    finally:
        register_secrets(*configured_secrets())
    assert UPSTREAM_KEY not in summary
    assert KEY not in summary
    assert "canary" not in summary


def test_no_address_of_a_person_stays():
    assert "alice" not in summarise(answer(reply({"text": "Ask alice@example.com."})))


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64," + base64.b64encode(png()).decode(),
        "![picture](data:image/png;base64," + base64.b64encode(png()).decode() + ")",
        base64.b64encode(png(size=(64, 64)) * 3).decode(),
    ],
)
def test_base64_among_words_goes_too(text):
    summary = summarise(answer(reply({"text": text})))
    assert "iVBOR" not in summary
    assert "[base64, " in summary


@pytest.mark.parametrize(
    "body",
    [
        reply(*[{"text": "word " * 3000}] * 40),
        {"a": [list(range(1000))] * 1000},
        {f"name-{index}": index for index in range(10_000)},
        b"<html>" + b"busy " * 100_000,
        "words beyond ASCII: \u20ac\u4e2d\u6587 ".encode() * 5_000,
        b'{"candidates": [{"content": {"parts": [{"inlineData": {"data": "' + b"iVBORw0KGgo" * 200_000,
    ],
)
def test_it_is_never_longer_than_it_may_be(body):
    summary = summarise(answer(body))
    assert 0 < len(summary.encode()) <= MAX_BYTES
    assert "iVBORw0KGgo" * 12 not in summary


@pytest.mark.parametrize(
    "body", [b"", b"\0\1\2", b"\xff\xfe", b"[]", b"null", b'"words"', b"[" * 100_000, b'{"data": 7}']
)
def test_any_bytes_can_be_told_and_stored(body):
    summary = summarise(answer(body))
    assert summary.startswith("HTTP 200\n")
    assert "\0" not in summary


def test_what_cannot_be_summarised_is_empty(tmp_path):
    assert summarise(Answer(status=200, headers={}, elapsed_ms=1, path=tmp_path / "gone")) == ""


def test_a_spooled_answer_is_read_behind_its_head(tmp_path):
    with durable_file(tmp_path / "reply") as file:
        offset = write_head(file, status=200, headers={})
        file.write(b'{"candidates": []}')
    spooled = Answer(status=200, headers={}, elapsed_ms=1, path=tmp_path / "reply", offset=offset)
    assert json.loads(summarise(spooled).partition("\n\n")[2]) == {"candidates": []}


# --- With each attempt ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("script", "kept"),
    [
        (reply(picture()), '"finishReason": "STOP"'),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, '"blockReason": "SAFETY"'),
        (error(400, "INVALID_ARGUMENT", "the prompt is bad"), "the prompt is bad"),
        ((502, b"<html>bad gateway</html>"), "<html>bad gateway</html>"),
        (reply(picture(b"<html>not a picture</html>")), "[base64, "),
    ],
    ids=["ok", "blocked", "400", "502", "not an image"],
)
def test_every_attempt_that_was_answered_keeps_its_summary(script, kept, alice, upstream, submit, work):
    upstream.says(script)
    generation = work(submit(alice))
    for attempt in generation.attempts.all():
        assert kept in attempt.raw_answer
        assert f"x-request-id: upstream-{attempt.number}" in attempt.raw_answer


@pytest.mark.django_db(transaction=True)
def test_an_attempt_without_an_answer_keeps_nothing(alice, upstream, submit, work):
    upstream.says(ProviderError("too_large", "over the cap"))
    assert [attempt.raw_answer for attempt in work(submit(alice)).attempts.all()] == [""]


@pytest.mark.django_db(transaction=True)
def test_a_failure_to_summarise_costs_no_picture(alice, upstream, submit, work, monkeypatch):
    monkeypatch.setattr(raw_answers, "_body", lambda body: 1 / 0)
    generation = work(submit(alice))
    assert generation.status == Status.SUCCEEDED
    assert generation.attempts.get().raw_answer == ""


@pytest.mark.django_db(transaction=True)
def test_pages_of_people_do_not_load_it(alice, upstream, submit, work):
    generation = work(submit(alice))
    (listed,) = Generation.objects.filter(pk=generation.pk).for_api()
    assert listed.attempts.all()[0].get_deferred_fields() == {"raw_answer"}
    assert Attempt.objects.get().get_deferred_fields() == {"raw_answer"}
