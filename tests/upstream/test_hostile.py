"""What a hostile or broken upstream sends, through the whole pipeline: nothing is stored, charged or waited for."""

import re
import time
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from accounts import ledger
from gallery.models import Blob, Image
from generations.audit import audit
from generations.models import Status
from generations.reconciliation import uncertain_total
from tests.gallery.hostile import corpus
from tests.gallery.test_hostile_images import VERDICTS
from tests.upstream import chat, trouble
from tests.upstream.server import Answer, Pause, Step
from tests.upstream.test_protocols import on_sale

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = {name: data for name, data in corpus().items() if isinstance(VERDICTS[name], str)}
TIMEOUT_S = 0.4


def own_memory(name: str) -> int:
    """A figure of this process in KiB: VmRSS is now, VmHWM the most since it was reset."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def stored_files():
    return sorted(path for path in Path(django_settings.MEDIA_ROOT).rglob("*") if path.is_file())


def test_no_hostile_file_is_stored_or_paid_for(alice, served_by, make):
    upstream, before, files = served_by("chat"), ledger.balance_of(alice), stored_files()
    names = list(HOSTILE)
    assert len(names) >= 30
    Path("/proc/self/clear_refs").write_text("5")
    at_first = own_memory("VmRSS")
    for first in range(0, len(names), 4):
        four = names[first : first + 4]
        upstream.answers(chat.by_json(*(chat.picture(HOSTILE[name]) for name in four), several=True))
        generation = make(count=len(four))
        assert generation.status == Status.FAILED, four
        assert generation.error_code in {VERDICTS[name] for name in four}, four
    assert not Image.objects.exists()
    assert not Blob.objects.exists()
    assert stored_files() == files
    assert ledger.balance_of(alice) == before
    assert audit() == []
    assert own_memory("VmHWM") - at_first < 256 * 1024


def head_by_head() -> Answer:
    """A head of which a byte comes now and then, each in time for a timeout that counts anew with every byte."""
    steps: list[Step] = []
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Filler: a\r\n" * 1000:
        steps += [bytes([byte]), Pause(0.05)]
    return Answer(None, tuple(steps))


def unbounded_drip() -> Answer:
    """A body without a length, of which the end could be anywhere."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    return Answer(None, (head, *([b" ", Pause(0.05)] * 1000)))


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("native", trouble.drip()),
        ("native", trouble.hang()),
        ("native", trouble.hang_in_body()),
        ("native", head_by_head()),
        ("native", unbounded_drip()),
        ("chat", trouble.drip()),
        ("images", trouble.drip()),
    ],
    ids=["drip", "hang", "half", "head", "no length", "chat", "images"],
)
def test_what_never_ends_is_ended_at_the_deadline(protocol, answer, alice, served_by, make, settings):
    upstream, before = served_by(protocol), ledger.balance_of(alice)
    settings.UPSTREAM_TIMEOUT_S = TIMEOUT_S
    upstream.answers(answer)
    started = time.monotonic()
    generation = make(**(on_sale("gpt-image-2") if protocol == "images" else {}))
    assert time.monotonic() - started < 2 * TIMEOUT_S + 3  # two paid attempts, and a busy machine
    attempts = list(generation.attempts.values_list("outcome", "elapsed_ms"))
    assert [outcome for outcome, _ in attempts] == ["unknown"] * 2
    assert all(1000 * TIMEOUT_S - 50 <= elapsed <= 1000 * TIMEOUT_S + 1500 for _, elapsed in attempts)
    assert ledger.balance_of(alice) == before
    assert uncertain_total()[0] == 2
    assert audit() == []


@pytest.mark.parametrize(
    ("protocol", "status"), [("native", 301), ("native", 307), ("native", 308), ("chat", 302), ("images", 303)]
)
def test_no_redirect_is_followed_so_the_key_stays_here(protocol, status, served_by, elsewhere, make):
    upstream = served_by(protocol)
    target = elsewhere.native_url if protocol == "native" else elsewhere.chat_url
    upstream.answers(trouble.redirect(f"{target}/anything", status))
    generation = make(**(on_sale("gpt-image-2") if protocol == "images" else {}))
    assert generation.error_code == "redirected"
    assert len(upstream.requests) == 1
    assert elsewhere.requests == []


def test_a_body_of_200_mb_without_a_length_is_cut_at_the_cap_in_little_memory(served_by, make, settings):
    settings.UPSTREAM_TIMEOUT_S = 30.0
    served_by("native").answers(trouble.zeros(200, chunked=True))
    Path("/proc/self/clear_refs").write_text("5")
    at_first = own_memory("VmRSS")
    assert make().error_code == "too_large"
    assert own_memory("VmHWM") - at_first < 64 * 1024
