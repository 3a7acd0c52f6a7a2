"""Thoughts and drafts while the job runs: a stream of a server that shares no code with the emulator, held at will."""

import asyncio
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connections
from django.test import Client, RequestFactory
from PIL import Image as Pillow

from accounts import ledger
from gallery.models import Blob
from generations import pipeline
from generations.api import waiting
from generations.audit import audit
from generations.events import Watch
from generations.models import Attempt, DraftPreview, Generation, Status
from generations.providers.answer import open_answer
from generations.spec import GenerationSpec
from tests import people
from tests.upstream import native, trouble
from tests.upstream.pictures import png
from tests.upstream.server import Cut, Hang, Repeat, Reset

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
STREAM, UNARY = "streamGenerateContent", "generateContent"
THOUGHT = native.text("First a fox. ", thought=True)
DRAFT = native.picture(png(64, 48, colour=(90, 90, 90)), thought=True)
PICTURE = native.picture(png(colour=(200, 0, 0)))


def part(*parts, finish=None):
    return native.message(*parts, finish=finish)


def money(user):
    found = ledger.balance_of(user)
    return found.available, found.held, found.spent


def outcomes(generation):
    return list(generation.attempts.order_by("number").values_list("outcome", flat=True))


def methods(upstream):
    return [request.path.rpartition(":")[2] for request in upstream.requests]


def until(pk, condition):
    """Return when the condition holds, which is looked at whenever the generation has changed."""
    with Watch(pk) as watch:
        while not condition():
            assert watch.wait(10), "nothing has changed"


@pytest.fixture
def painting(make, upstream, settings):
    """Work on a wish in a thread; yields its row, once its call has arrived, and what brings it when it has ended."""

    @contextmanager
    def paint(**fields):
        settings.UPSTREAM_TIMEOUT_S = 120.0  # the test holds the stream for as long as its own requests take

        def work():
            try:
                return make(include_thoughts=True, thinking="high", **fields)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(work)
            upstream.wait_for(1)
            yield Generation.objects.get(), made.result

    return paint


def test_thoughts_and_drafts_are_seen_while_it_is_painted(alice, bob, alice_key, bob_key, served_by, painting):
    more, end = threading.Event(), threading.Event()
    last = [part(native.text("Then its tail. ", thought=True), PICTURE, finish="STOP")]
    upstream = served_by("native").answers(native.stream(part(THOUGHT), more, part(DRAFT), end, *last))
    available = money(alice)[0]
    client, page = people.client_with(alice_key), Client()
    page.force_login(alice)

    with painting() as (generation, result):
        address = f"/api/v1/generations/{generation.public_id}"
        read = lambda: client.get(address).json()  # noqa: E731
        until(generation.pk, lambda: read()["thoughts"])
        body = read()
        assert (body["status"], body["thoughts"], body["draft_previews"]) == ("running", "First a fox. ", [])
        version = body["version"]

        more.set()
        until(generation.pk, lambda: read()["draft_previews"])
        body = read()
        assert body["version"] > version
        assert (body["drafts"], body["images"], body["cost"]["charged"]) == ([], [], "0.000000")
        [preview] = body["draft_previews"]
        assert (preview["width"], preview["height"]) == (64, 48)
        answer = client.get(preview["url"])
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")
        assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert Pillow.open(io.BytesIO(answer.content)).size == (64, 48)
        assert people.client_with(bob_key).get(preview["url"]).status_code == 404
        assert not Blob.objects.exists()
        for path in ("/studio/", f"/generations/{generation.public_id}/"):
            html = page.get(path).content.decode()
            assert "First a fox." in html
            assert 'alt="Draft 1"' in html

        end.set()
        made = result()

    assert (made.status, outcomes(made), methods(upstream)) == (Status.SUCCEEDED, ["ok"], [STREAM])
    assert money(alice) == (available - PRICE, 0, PRICE)
    body = read()
    assert body["thoughts"] == "First a fox. Then its tail. "
    assert (len(body["images"]), len(body["drafts"]), body["draft_previews"]) == (1, 1, [])
    assert client.get(preview["url"]).status_code == 404
    assert not DraftPreview.objects.exists()
    assert Blob.objects.count() == 2
    assert audit() == []


def test_the_event_stream_tells_each_step_as_progress(served_by, painting):
    start, more, end = (threading.Event() for _ in range(3))
    steps = [start, part(THOUGHT), more, part(DRAFT), end, part(PICTURE, finish="STOP")]
    served_by("native").answers(native.stream(*steps))

    async def follow(pk):
        told = []
        async for block in waiting._events(pk, RequestFactory().get("/"), 0):
            lines = dict(line.split(": ", 1) for line in block.decode().strip().split("\n") if not line.startswith(":"))
            if not lines:
                continue
            body = json.loads(lines["data"])
            told.append((lines["event"], body["thoughts"], len(body["draft_previews"]), len(body["drafts"])))
            for event, is_due in ((start, True), (more, body["thoughts"]), (end, body["draft_previews"])):
                if is_due:
                    event.set()
        return told

    with painting() as (generation, result):
        told = asyncio.run(follow(generation.pk))
        result()
    steps = list(dict.fromkeys(told))
    assert steps[0] == ("running", None, 0, 0)
    assert ("progress", "First a fox. ", 0, 0) in steps
    assert ("progress", "First a fox. ", 1, 0) in steps
    assert steps[-2:] == [("output", "First a fox. ", 0, 1), ("succeeded", "First a fox. ", 0, 1)]


def test_what_was_shown_of_a_stream_that_breaks_is_gone_with_it(alice, alice_key, served_by, painting, settings):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = 1
    end = threading.Event()
    upstream = served_by("native").answers(native.stream(part(THOUGHT), part(DRAFT), end, Cut()))
    before = money(alice)
    with painting() as (generation, result):
        until(generation.pk, DraftPreview.objects.exists)
        assert Attempt.objects.get().thoughts == "First a fox. "
        end.set()
        made = result()

    assert (made.status, made.error_code, outcomes(made)) == (Status.FAILED, "unknown", ["unknown"])
    assert len(upstream.requests) == 1
    assert money(alice) == before
    assert (DraftPreview.objects.count(), Blob.objects.count(), Attempt.objects.get().thoughts) == (0, 0, "")
    body = people.client_with(alice_key).get(f"/api/v1/generations/{made.public_id}").json()
    assert (body["thoughts"], body["draft_previews"], body["drafts"]) == (None, [], [])
    assert list(settings.SPOOL_DIR.glob("*")) == []
    assert audit() == []


def test_a_draft_that_is_no_picture_is_shown_to_nobody(served_by, painting):
    end = threading.Event()
    hostile = native.picture(b"<svg onload=alert(1)>", thought=True)
    served_by("native").answers(native.stream(part(hostile), part(DRAFT), end, part(PICTURE, finish="STOP")))
    with painting() as (generation, result):
        until(generation.pk, DraftPreview.objects.exists)
        assert DraftPreview.objects.count() == 1
        end.set()
        made = result()
    assert made.status == Status.SUCCEEDED
    assert list(made.outputs.values_list("is_draft", flat=True)) == [False, True]


WHOLE = [part(THOUGHT), part(DRAFT), part(PICTURE, finish="STOP")]
CUT_PICTURE = native.stream(WHOLE[2]).content[:200]
# answer, outcome, calls while it goes on answering so; every one of them to the stream's address
ROWS = {
    "whole": (native.stream(*WHOLE), "ok", 1),
    "cut before the picture": (native.stream(*WHOLE[:2], Cut()), "unknown", 2),
    "cut inside the picture": (native.stream(*WHOLE[:2], CUT_PICTURE, Cut()), "unknown", 2),
    "cut after the picture": (native.stream(part(THOUGHT), part(PICTURE), Cut()), "ok", 1),
    "reset after the picture": (native.stream(part(PICTURE), Reset()), "ok", 1),
    "ended without an end": (native.stream(part(THOUGHT)), "unknown", 2),
    "blocked, then cut": (native.stream(part(THOUGHT), native.message(finish="IMAGE_SAFETY"), Cut()), "blocked", 1),
    "blocked": (native.stream(native.message(finish="IMAGE_SAFETY")), "blocked", 1),
    "no image": (native.stream(part(THOUGHT), native.message(finish="NO_IMAGE")), "no_image", 2),
    "error inside": (native.stream(part(THOUGHT), {"error": {"code": 500, "status": "INTERNAL"}}), "unknown", 2),
    "a picture that is none": (native.stream(part(native.picture(b"<html>"), finish="STOP")), "not_an_image", 1),
    "no stream but one reply": (native.answer(PICTURE), "ok", 1),
    "a list of replies": (native.of(WHOLE), "ok", 1),
    "html": (trouble.html(), "malformed", 2),
    "empty": (trouble.empty(), "malformed", 2),
    "200 MB of events": (native.stream(Repeat(b"data: {}\n\n" * 10_000, 2_000)), "too_large", 1),
    "gzip bomb": (trouble.gzip_bomb(), "too_large", 1),
    "400": (native.error(400, "INVALID_ARGUMENT"), "invalid", 1),
    "401": (native.unauthenticated(), "auth", 1),
    "500": (native.error(500, "INTERNAL"), "unknown", 2),
    "302": (trouble.redirect("http://127.0.0.1:9/"), "redirected", 1),
    "closed": (trouble.close(), "unknown", 2),
}


@pytest.mark.parametrize(("answer", "outcome", "calls"), ROWS.values(), ids=ROWS.keys())
def test_a_stream_ends_as_its_row_says(answer, outcome, calls, alice, served_by, make, settings):
    upstream = served_by("native").answers(answer)
    available = money(alice)[0]
    made = make(include_thoughts=True)
    assert (outcomes(made), methods(upstream)) == ([outcome] * calls, [STREAM] * calls)
    charged = PRICE if outcome == "ok" else 0
    assert money(alice) == (available - charged, 0, charged)
    assert (made.outputs.filter(is_draft=False).count(), DraftPreview.objects.count()) == (charged // PRICE, 0)
    assert list(settings.SPOOL_DIR.glob("*")) == []
    assert audit() == []


HELD = {
    "hangs after the picture": (native.stream(part(PICTURE), Hang()), "ok"),
    "hangs before it": (native.stream(part(THOUGHT), Hang()), "unknown"),
    "drips for ever": (trouble.drip(b"\n", pause_s=0.02), "unknown"),
}


@pytest.mark.parametrize(("answer", "outcome"), HELD.values(), ids=HELD.keys())
def test_a_stream_without_end_is_left_at_the_deadline(answer, outcome, alice, served_by, make, settings):
    upstream = served_by("native").answers(answer)
    settings.UPSTREAM_TIMEOUT_S, settings.UPSTREAM_MAX_PAID_ATTEMPTS = 1.0, 1
    made = make(include_thoughts=True)
    assert (outcomes(made), len(upstream.requests)) == ([outcome], 1)
    assert money(alice)[1:] == (0, PRICE if outcome == "ok" else 0)
    upstream.wait_until_idle()


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_upstream_without_streams_is_asked_again_without_and_remembered(status, alice, served_by, make):
    upstream = served_by("native").answers(native.answer(THOUGHT, DRAFT, PICTURE))
    upstream.answers_when(lambda request: STREAM in request.path, native.error(status, "NOT_FOUND"))
    made = make(include_thoughts=True)
    assert (made.status, outcomes(made), methods(upstream)) == (Status.SUCCEEDED, ["ok"], [STREAM, UNARY])
    assert upstream.requests[0].json == upstream.requests[1].json
    assert money(alice)[1:] == (0, PRICE)
    body = Attempt.objects.get()
    assert (body.thoughts, body.http_status, body.is_paid) == ("First a fox. ", 200, True)

    assert make(include_thoughts=True).status == Status.SUCCEEDED
    assert methods(upstream) == [STREAM, UNARY, UNARY]
    assert money(alice)[1:] == (0, 2 * PRICE)
    assert audit() == []


def test_a_model_that_is_not_there_ends_as_it_does_without_streams(alice, served_by, make):
    upstream = served_by("native").answers(native.error(404, "NOT_FOUND"))
    before = money(alice)
    made = make(include_thoughts=True)
    assert (made.error_code, outcomes(made), methods(upstream)) == ("invalid", ["invalid"], [STREAM, UNARY])
    assert money(alice) == before


def test_a_call_that_may_have_been_paid_is_never_made_again_in_the_same_attempt(alice, served_by, make):
    upstream = served_by("native").answers(native.error(500, "INTERNAL"))
    upstream.answers_when(lambda request: STREAM in request.path, native.error(501, "UNIMPLEMENTED"))
    made = make(include_thoughts=True)
    assert outcomes(made) == ["unknown", "unknown"]
    assert methods(upstream) == [STREAM, UNARY, UNARY]


@pytest.mark.parametrize(("fields", "is_on"), [({}, True), ({"include_thoughts": True}, False)])
def test_nothing_is_streamed_that_nobody_sees(fields, is_on, served_by, make, settings):
    settings.UPSTREAM_STREAMING = is_on
    upstream = served_by("native").answers(native.answer(THOUGHT, PICTURE))
    assert make(**fields).status == Status.SUCCEEDED
    assert methods(upstream) == [UNARY]


def test_the_pictures_of_one_wish_stream_side_by_side(alice, served_by, painting):
    end = threading.Event()
    upstream = served_by("native")
    upstream.answers(native.stream(part(THOUGHT), part(DRAFT), end, part(PICTURE, finish="STOP")))
    with painting(count=3) as (generation, result):
        until(generation.pk, lambda: DraftPreview.objects.values("attempt").distinct().count() == 3)
        end.set()
        made = result()
    assert (made.status, outcomes(made), methods(upstream)) == (Status.SUCCEEDED, ["ok"] * 3, [STREAM] * 3)
    assert made.outputs.filter(is_draft=False).count() == 3
    assert (money(alice)[1:], DraftPreview.objects.count()) == ((0, 3 * PRICE), 0)


def test_a_broken_stream_is_adopted_as_it_was_left(served_by, tmp_path):
    served_by("native").answers(native.stream(part(THOUGHT), part(PICTURE), Cut()))
    spec = GenerationSpec.parse({"prompt": "a fox", "include_thoughts": True}, default_image_size="1K")
    [provider] = pipeline.providers_for(spec)
    path, seen = tmp_path / "a.reply", []
    answer = provider.send(spec, key_index=0, timeout_s=5.0, spool_path=path, on_piece=seen.append)
    adopted = open_answer(path)
    assert (adopted.is_stream, adopted.is_broken, adopted.offset) == (True, True, answer.offset)
    assert adopted.read_body() == native.stream(part(THOUGHT), part(PICTURE)).content
    assert (provider.read(adopted).outcome, len(provider.read(adopted).pictures)) == (None, 1)
    assert [piece.text for piece in seen] == ["First a fox. "]
