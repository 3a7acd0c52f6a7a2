"""One generation against an upstream that does what WIRE 5 lists: what is tried again, kept and charged."""

import base64

import pytest

from accounts.models import Transfer, Usage
from gallery.models import Blob, Image
from generations.audit import audit
from generations.models import Status
from generations.providers.base import ProviderError
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
TRUNCATED = base64.b64encode(png(size=(64, 64))[:-60]).decode()


def outcomes(generation):
    return list(generation.attempts.values_list("outcome", flat=True))


def test_a_picture_is_kept_and_paid_for_once(alice, upstream, submit, work, money):
    available = money(alice)[0]
    generation = submit(alice)
    assert money(alice) == (available - PRICE, PRICE, 0)

    work(generation)

    assert generation.status == Status.SUCCEEDED
    assert generation.charged_micros == PRICE
    assert money(alice) == (available - PRICE, 0, PRICE)
    assert outcomes(generation) == ["ok"]
    image = generation.outputs.get().image
    assert image.owner == alice
    assert image.prompt == "a fox"
    assert image.source_reference == str(generation.public_id)
    assert audit() == []


def test_the_spool_is_empty_when_the_picture_is_kept(alice, upstream, submit, work, settings):
    work(submit(alice))
    assert list(settings.SPOOL_DIR.glob("*")) == []


def test_running_a_finished_generation_again_does_nothing(alice, upstream, submit, work, money):
    generation = work(submit(alice))
    before = money(alice)
    work(generation)
    assert len(upstream.calls) == 1
    assert money(alice) == before


# What the upstream does -> the attempts' outcomes when it goes on doing so.
ONCE_AGAIN, NEVER = 2, 1
FAILURES = {
    "blocked prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, "blocked", NEVER),
    "safety finish": ({"candidates": [{"finishReason": "IMAGE_SAFETY", "index": 0}]}, "blocked", NEVER),
    "recitation": ({"candidates": [{"finishReason": "IMAGE_RECITATION", "index": 0}]}, "refused", NEVER),
    "no image": ({"candidates": [{"finishReason": "NO_IMAGE", "index": 0}]}, "no_image", ONCE_AGAIN),
    "no candidates": ({"candidates": []}, "no_image", ONCE_AGAIN),
    "stop without parts": (reply(), "no_image", ONCE_AGAIN),
    "unheard-of finish": (reply(finish="SUN_SET"), "no_image", ONCE_AGAIN),
    "words only": (reply({"text": "I cannot draw that."}), "text_only", NEVER),
    "cut short": (reply(finish="MAX_TOKENS"), "cut_short", NEVER),
    "cut base64": (reply(picture("iVBORw0KGgoAA")), "truncated", ONCE_AGAIN),
    "cut picture": (reply(picture(TRUNCATED)), "truncated", ONCE_AGAIN),
    "not json": ((200, b"<html>busy</html>"), "malformed", ONCE_AGAIN),
    "empty": ((200, b""), "malformed", ONCE_AGAIN),
    "a list": ((200, b"[]"), "malformed", ONCE_AGAIN),
    "html bytes": (reply(picture(b"<html>not a picture</html>")), "not_an_image", NEVER),
    "400": (error(400, "INVALID_ARGUMENT"), "invalid", NEVER),
    "404": (error(404, "NOT_FOUND"), "invalid", NEVER),
    "401": (error(401, "UNAUTHENTICATED"), "auth", NEVER),
    "302": ((302, b""), "redirected", NEVER),
    "500": (error(500, "INTERNAL"), "unknown", ONCE_AGAIN),
    "502": ((502, b"<html>bad gateway</html>"), "unknown", ONCE_AGAIN),
    "read timeout": (ProviderError("unknown", "read timeout"), "unknown", ONCE_AGAIN),
    "too many bytes": (ProviderError("too_large", "over the cap"), "too_large", NEVER),
}


@pytest.mark.parametrize(("script", "outcome", "calls"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_charges_nothing_and_leaves_no_hold(
    script, outcome, calls, alice, upstream, submit, work, money, settings
):
    before = money(alice)
    upstream.says(script)
    generation = work(submit(alice))

    assert (generation.status, generation.error_code) == (Status.FAILED, outcome)
    assert outcomes(generation) == [outcome] * calls
    assert len(upstream.calls) == calls
    assert money(alice) == before
    assert generation.charged_micros == 0
    assert Image.objects.count() == Blob.objects.count() == 0
    assert Usage.objects.get(user=alice, name="images_per_day").used == 0
    assert list(settings.SPOOL_DIR.glob("*")) == []
    assert audit() == []


@pytest.mark.parametrize("script", [error(503, "UNAVAILABLE"), ProviderError("unavailable", "refused")])
def test_an_unreachable_upstream_is_asked_again_for_nothing(script, alice, upstream, submit, work, money):
    upstream.says(script, script, script, reply(picture()))
    generation = work(submit(alice))
    assert generation.status == Status.SUCCEEDED
    assert outcomes(generation) == ["unavailable"] * 3 + ["ok"]
    assert money(alice)[2] == PRICE


def test_a_rate_limit_is_waited_for_as_long_as_the_upstream_says(alice, upstream, submit, work):
    delay = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    upstream.says(error(429, "RESOURCE_EXHAUSTED", details=delay), reply(picture()))
    generation = submit(alice)
    work(generation, rounds=1)
    assert generation.status == Status.RUNNING
    assert generation.lease_owner == ""
    assert 17 <= (generation.next_run_at - generation.started_at).total_seconds() < 20
    assert work(generation).status == Status.SUCCEEDED


def test_a_rate_limit_beyond_the_deadline_fails_at_once(alice, upstream, submit, work, money):
    before = money(alice)
    delay = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "600s"}]
    upstream.says(error(429, "RESOURCE_EXHAUSTED", details=delay))
    generation = work(submit(alice), rounds=1)
    assert (generation.status, generation.error_code) == (Status.FAILED, "rate_limited")
    assert "600 s" in generation.error_detail
    assert money(alice) == before


def test_a_refused_key_is_followed_by_the_next_one_once(alice, upstream, submit, work):
    upstream.key_count = 2
    upstream.says(error(401, "UNAUTHENTICATED"), reply(picture()))
    generation = work(submit(alice))
    assert upstream.calls == [0, 1]
    assert outcomes(generation) == ["auth", "ok"]


def test_two_refused_keys_end_it(alice, upstream, submit, work, money):
    before = money(alice)
    upstream.key_count = 2
    upstream.says(error(401, "UNAUTHENTICATED"))
    generation = work(submit(alice))
    assert upstream.calls == [0, 1]
    assert (generation.status, generation.error_code) == (Status.FAILED, "auth")
    assert money(alice) == before


def test_an_unknown_outcome_and_then_a_picture_charges_once_and_books_the_doubt(alice, upstream, submit, work, money):
    upstream.says(ProviderError("unknown", "read timeout"), reply(picture()))
    generation = work(submit(alice))
    assert outcomes(generation) == ["unknown", "ok"]
    assert money(alice)[2] == PRICE
    booked = Transfer.objects.filter(reference=str(generation.public_id), debit__kind="provider")
    assert sorted(booked.values_list("credit__kind", "amount_micros")) == [("expense", PRICE), ("suspense", PRICE)]


def test_paid_attempts_are_limited_across_outcomes(alice, upstream, submit, work, settings):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = 1
    upstream.says(error(500, "INTERNAL"), reply(picture()))
    generation = work(submit(alice))
    assert (generation.status, len(upstream.calls)) == (Status.FAILED, 1)


def test_a_thought_picture_is_not_taken_for_the_final_one(alice, upstream, submit, work):
    upstream.says(reply(picture(png("red"), thought=True), picture(png("blue"), thoughtSignature="c2lnbg==")))
    generation = work(submit(alice))
    output = generation.outputs.get()
    assert output.image.blob.dominant_colour == "#0000ff"
    assert bytes(output.thought_signature) == b"c2lnbg=="


def test_the_text_part_becomes_text_and_caption(alice, upstream, submit, work):
    upstream.says(reply({"text": "A red fox in snow."}, picture()))
    generation = work(submit(alice))
    assert generation.text == "A red fox in snow."
    assert generation.outputs.get().image.alt_text == "A red fox in snow."


def test_an_error_of_our_own_keeps_the_answer_and_goes_on_later(alice, upstream, submit, work, monkeypatch):
    def full_disk(**_):
        raise OSError(28, "No space left on device")

    generation = submit(alice)
    with monkeypatch.context() as patched:
        patched.setattr("gallery.services.keep_picture", full_disk)
        work(generation, rounds=1)
    assert (generation.status, generation.stage) == (Status.RUNNING, "recovering")
    assert work(generation).status == Status.SUCCEEDED
    assert len(upstream.calls) == 1  # the answer was adopted from the spool, not bought again


def test_the_deadline_ends_a_job_that_was_parked_too_long(alice, upstream, submit, work, money, settings):
    before = money(alice)
    upstream.says(error(503, "UNAVAILABLE"))
    generation = submit(alice)
    work(generation, rounds=1)
    settings.UPSTREAM_DEADLINE_S = 0.0
    work(generation)
    assert (generation.status, generation.error_code) == (Status.FAILED, "timeout")
    assert money(alice) == before
