"""What is shown of an answer that still comes: how often, how much, and until when."""

import base64
import threading

import pytest

from generations import interim, leases, spool
from generations.interim import EVERY_S, MAX_CHARS, MAX_DRAFTS, Interim
from generations.leases import LeaseLost
from generations.models import Attempt, DraftPreview, Generation
from generations.providers import streaming
from generations.spec import GenerationSpec
from generations.wire.gemini import Piece
from generations.wire.reply import InlineImage
from tests.generations.fakes import png

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = 3600.0


def thought(text):
    return Piece("thought", text=text)


def draft(data=None):
    return Piece("draft", image=InlineImage("image/png", base64.b64encode(data or png(size=(8, 8))), thought=True))


@pytest.fixture
def lease(alice, submit):
    wish = GenerationSpec.parse({"prompt": "a fox", "include_thoughts": True}, default_image_size="1K")
    return leases.claim(submit(alice, wish=wish).pk)


@pytest.fixture
def attempt(lease):
    return Attempt.objects.create(
        generation_id=lease.generation_id, run=1, number=1, fence=lease.fence, upstream="wisgate", upstream_model="m"
    )


@pytest.fixture
def written(monkeypatch):
    """Released once for every write, which `writes` counts."""
    done, write = threading.Semaphore(0), Interim._write
    done.writes = 0

    def count(self, looked_at):
        write(self, looked_at)
        done.writes += 1
        done.release()

    monkeypatch.setattr(Interim, "_write", count)
    return done


def test_a_thousand_pieces_are_few_writes(lease, attempt, written):
    version = Generation.objects.get().version
    with Interim(lease, every_s=NEVER) as shown:
        take = shown.sink(attempt)
        take(thought("First. "))
        assert written.acquire(timeout=10)
        for _ in range(1000):
            take(thought("More. "))
    assert written.writes == 1
    assert (Attempt.objects.get().thoughts, Generation.objects.get().version) == ("First. ", version + 1)
    assert EVERY_S == 0.5


def test_what_came_during_the_pause_is_shown_after_it(lease, attempt, written):
    with Interim(lease, every_s=0.01) as shown:
        take = shown.sink(attempt)
        take(thought("First. "))
        assert written.acquire(timeout=10)
        take(thought("Then. "))
        assert written.acquire(timeout=10)
        assert Attempt.objects.get().thoughts == "First. Then. "


def test_thoughts_and_drafts_have_caps(lease, attempt, written):
    with Interim(lease, every_s=NEVER) as shown:
        take = shown.sink(attempt)
        with shown._changed:  # nothing is told before all of it is there
            for _ in range(MAX_DRAFTS + 5):
                take(draft())
            take(thought("x" * (MAX_CHARS - 1)))
            take(thought("yz"))
            take(thought("z"))
        assert written.acquire(timeout=10)
    assert Attempt.objects.get().thoughts == "x" * (MAX_CHARS - 1) + "y"
    assert DraftPreview.objects.count() == MAX_DRAFTS


def test_without_a_piece_there_is_no_thread_and_no_write(lease, attempt):
    before = Generation.objects.get().version
    with Interim(lease) as shown:
        take = shown.sink(attempt)
        take(Piece("text", text="a caption"))
        take(Piece("picture", image=InlineImage("image/png", b"")))
        assert shown._thread is None
    assert Generation.objects.get().version == before


def test_a_worker_that_has_lost_its_lease_writes_nothing(lease, attempt, monkeypatch):
    lost, write = threading.Event(), Interim._write

    def watch(self, looked_at):
        try:
            write(self, looked_at)
        except LeaseLost:
            lost.set()
            raise

    monkeypatch.setattr(Interim, "_write", watch)
    Generation.objects.update(fence=lease.fence + 1, version=7)
    with Interim(lease) as shown:
        take = shown.sink(attempt)
        take(thought("Too late. "))
        take(draft())
        assert lost.wait(10)
    assert (Attempt.objects.get().thoughts, DraftPreview.objects.count()) == ("", 0)
    assert Generation.objects.get().version == 7


def test_a_concluded_call_is_not_written_over(lease, attempt, written):
    Attempt.objects.update(outcome="ok", thoughts="The whole of it.")
    with Interim(lease) as shown:
        take = shown.sink(attempt)
        take(thought("A part. "))
        take(draft())
        assert written.acquire(timeout=10)
    assert (Attempt.objects.get().thoughts, DraftPreview.objects.count()) == ("The whole of it.", 0)


@pytest.mark.parametrize("data", [b"<svg onload=alert(1)>", b"GIF89a" + bytes(64), png()[:-20]])
def test_a_draft_that_is_not_whole_is_passed_over(data, lease, attempt, written, settings):
    with Interim(lease) as shown:
        shown.sink(attempt)(draft(data))
        assert written.acquire(timeout=10)
    assert not DraftPreview.objects.exists()
    assert list(settings.SPOOL_DIR.glob("*")) == []


def test_a_decoder_that_is_away_costs_only_the_look(lease, attempt, written, monkeypatch):
    def broken(path):
        raise OSError("no space left")

    monkeypatch.setattr(interim.gallery, "make_preview", broken)
    with Interim(lease) as shown:
        take = shown.sink(attempt)
        take(draft())
        take(thought("Still here. "))
        assert written.acquire(timeout=10)
    assert not spool.draft_path(attempt, 0).exists()


def test_drafts_of_other_people_and_of_other_jobs_are_not_found(lease, attempt, alice, bob, client):
    preview = DraftPreview.objects.create(attempt=attempt, content=b"x", width=1, height=1, dominant_colour="#000000")
    address = f"/api/v1/generations/{attempt.generation.public_id}/drafts/{preview.public_id}"
    assert client.get(address).status_code == 401
    client.force_login(bob)
    assert client.get(address).status_code == 404
    client.force_login(alice)
    assert client.get(address).status_code == 200
    assert client.get(address.replace(str(attempt.generation.public_id), str(preview.public_id))).status_code == 404


def test_drafts_keep_the_number_that_they_came_with(lease, attempt, alice, client):
    later = Attempt.objects.create(
        generation_id=lease.generation_id, run=1, number=2, slot=1, fence=1, upstream="wisgate", upstream_model="m"
    )
    came = [
        DraftPreview.objects.create(attempt=each, content=b"x", width=1, height=1, dominant_colour="#000000")
        for each in (later, attempt, later)
    ]
    client.force_login(alice)
    body = client.get(f"/api/v1/generations/{attempt.generation.public_id}").json()
    assert [preview["id"] for preview in body["draft_previews"]] == [str(each.public_id) for each in came]


# How much of an answer is looked at


def chunk_of(text):
    return b'data: {"candidates":[{"content":{"parts":[{"text":"%s","thought":true}]}}]}\n\n' % text.encode()


def test_no_more_than_the_cap_of_an_answer_is_held_in_memory(monkeypatch):
    monkeypatch.setattr(streaming, "SHOWN_BYTES", 1000)
    seen = []
    with streaming.shown(lambda piece: seen.append(piece.text)) as look_at:
        look_at(chunk_of("seen"))
        look_at(b"data: " + b"A" * 1000)
        look_at(b"\n\n" + chunk_of("after it"))
    assert seen == ["seen"]


def test_a_look_that_fails_costs_nothing_else():
    def broken(piece):
        raise RuntimeError

    with streaming.shown(broken) as look_at:
        look_at(chunk_of("one"))
        look_at(chunk_of("two"))


def test_streams_beyond_the_limit_come_unseen(monkeypatch):
    monkeypatch.setattr(streaming, "_places", threading.BoundedSemaphore(1))
    first, second, third = [], [], []
    with streaming.shown(lambda piece: first.append(piece.text)) as look_at:
        look_at(chunk_of("one"))
        with streaming.shown(lambda piece: second.append(piece.text)) as other:
            other(chunk_of("two"))
    with streaming.shown(lambda piece: third.append(piece.text)) as look_at:
        look_at(chunk_of("three"))
    assert (first, second, third) == (["one"], [], ["three"])
