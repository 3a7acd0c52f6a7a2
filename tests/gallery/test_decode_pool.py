"""The decode processes: their limits, how the pool heals, and that none outlives its owner."""

import operator
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gallery import decode_pool
from gallery.decode_pool import DecodePool, DecodePoolError
from gallery.imaging import (
    ImageLimits,
    ImageRejected,
    RenditionTarget,
    make_renditions,
    verify_image,
)
from tests.gallery.hostile import picture, saved

HANG_GUARD_MS = 20_000


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with closing(DecodePool("test", processes=1)) as pool:
        yield pool


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "picture"
    path.write_bytes(saved(picture(), "PNG"))
    return path


def ended(process: int) -> bool:
    """Wait on a pidfd until the process has ended, whoever its parent is."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(HANG_GUARD_MS))


def test_facts_cross_the_process_boundary_unchanged(pool: DecodePool, source: Path):
    assert pool.run(verify_image, source, limits=ImageLimits(max_side=100)) == verify_image(source)


def test_limits_cross_the_process_boundary(pool: DecodePool, source: Path):
    with pytest.raises(ImageRejected) as refusal:
        pool.run(verify_image, source, limits=ImageLimits(max_side=10))
    assert (refusal.value.reason, refusal.value.detail) == ("too_large", "The picture's longer side is too long.")


def test_renditions_are_made_in_the_child(pool: DecodePool, source: Path):
    targets = [RenditionTarget(path=str(source.with_name(f"{side}.webp")), long_side=side) for side in (8, 16)]
    facts = pool.run(make_renditions, source, targets)
    assert [(one.width, one.height) for one in facts] == [(8, 5), (16, 11)]
    assert [Path(target.path).stat().st_size for target in targets] == [one.byte_size for one in facts]


def test_one_child_serves_picture_after_picture(pool: DecodePool):
    assert pool.run(os.getpid) == pool.run(os.getpid) != os.getpid()


def test_a_missing_file_is_no_verdict_about_a_picture(pool: DecodePool, tmp_path: Path):
    with pytest.raises(FileNotFoundError) as error:
        pool.run(verify_image, tmp_path / "missing")
    assert error.value.filename == str(tmp_path / "missing")


def test_a_failure_of_our_own_code_is_no_verdict_about_a_picture(pool: DecodePool):
    with pytest.raises(DecodePoolError, match="ZeroDivisionError"):
        pool.run(operator.truediv, 1, 0)


def test_children_never_import_django(pool: DecodePool, source: Path):
    pool.run(verify_image, source)
    modules = pool.run(eval, "sorted({name.partition('.')[0] for name in __import__('sys').modules})")
    assert "PIL" in modules
    assert {"django", "config", "generations", "accounts", "celery"}.isdisjoint(modules)


def test_children_get_none_of_our_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WISDOM_GATE_KEY", "canary")
    with closing(DecodePool("test", processes=1)) as pool:
        environment = pool.run(eval, "dict(__import__('os').environ)")
    assert "canary" not in environment.values()


def test_children_get_none_of_our_open_files():
    with open(os.devnull) as ours:
        os.set_inheritable(ours.fileno(), True)
        with closing(DecodePool("test", processes=1)) as fresh:
            names = fresh.run(eval, "[os.readlink(f'/proc/self/fd/{n}') for os in [__import__('os')] for n in (0, 1)]")
            count = fresh.run(eval, "len(__import__('os').listdir('/proc/self/fd'))")
    assert names[0].startswith("pipe:")
    assert names[1] == os.devnull
    assert count == 5  # lifeline, output, errors, channel, and the directory that is being listed


def test_more_memory_than_the_limit_is_refused_and_the_child_goes_on(pool: DecodePool):
    pid = pool.run(os.getpid)
    with pytest.raises(ImageRejected) as refusal:
        pool.run(operator.mul, "x", decode_pool.MEMORY_BYTES)
    assert refusal.value.reason == "too_large"
    assert pool.run(os.getpid) == pid


def test_a_picture_that_ends_its_decoder_is_refused_and_the_pool_heals(pool: DecodePool, source: Path):
    pid = pool.run(os.getpid)
    with pytest.raises(ImageRejected) as refusal:
        pool.run(os.abort)
    assert (refusal.value.reason, refusal.value.detail) == ("not_an_image", "The picture breaks its decoder.")
    assert pool.run(os.getpid) != pid
    assert pool.run(verify_image, source).width == 24


def test_a_picture_that_takes_too_long_is_refused_and_the_pool_heals(source: Path):
    with closing(DecodePool("test", processes=1, timeout_s=1)) as pool:
        child = os.pidfd_open(pool.run(os.getpid))
        with pytest.raises(ImageRejected) as refusal:
            pool.run(eval, "sum(range(10**15))")  # a loop in C that looks at no signal
        assert (refusal.value.reason, refusal.value.detail) == ("too_large", "The picture takes too long to decode.")
        assert ended(child)
        os.close(child)
        assert pool.run(verify_image, source).width == 24


def test_a_child_that_was_killed_while_idle_costs_no_picture(pool: DecodePool, source: Path):
    pid = pool.run(os.getpid)
    os.kill(pid, signal.SIGKILL)
    assert pool.run(verify_image, source).width == 24
    assert pool.run(os.getpid) != pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_signals_of_a_whole_group_leave_children_to_their_owner(pool: DecodePool, number: signal.Signals):
    pid = pool.run(os.getpid)
    os.kill(pid, number)
    assert pool.run(os.getpid) == pid


def test_64_threads_share_two_children(source: Path):
    with closing(DecodePool("test", processes=2)) as pool:
        expected = verify_image(source)
        everyone = threading.Barrier(64)

        def verify(_: int) -> tuple[bool, int]:
            everyone.wait()
            return pool.run(verify_image, source) == expected, pool.run(os.getpid)

        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(verify, range(64)))
        assert [right for right, _ in answers] == [True] * 64
        assert 1 <= len({pid for _, pid in answers}) <= 2


def test_the_pools_children_survive_the_thread_that_started_them():
    with closing(DecodePool("test", processes=1)) as pool:
        pids: list[int] = []
        thread = threading.Thread(target=lambda: pids.append(pool.run(os.getpid)))
        thread.start()
        thread.join()
        assert pool.run(os.getpid) == pids[0]


def test_a_closed_pool_has_no_children_and_starts_new_ones_when_asked():
    with closing(DecodePool("test", processes=2)) as pool:
        pid = pool.run(os.getpid)
        child = os.pidfd_open(pid)
        pool.close()
        assert ended(child)
        os.close(child)
        assert pool.run(os.getpid) != pid


def test_a_broken_installation_is_blamed_on_no_picture(source: Path, monkeypatch: pytest.MonkeyPatch):
    with closing(DecodePool("test", processes=1)) as pool:
        for interpreter in (shutil.which("false"), "/nowhere/python"):
            with monkeypatch.context() as patched:
                patched.setattr(sys, "executable", interpreter)
                with pytest.raises(DecodePoolError):
                    pool.run(verify_image, source)
        assert pool.run(verify_image, source).width == 24


def test_the_number_of_children_is_set_before_the_first_starts():
    with closing(DecodePool("test")) as pool:
        assert pool.processes == os.cpu_count()
        pool.configure(processes=1)
        pool.run(os.getpid)
        with pytest.raises(DecodePoolError, match="already running"):
            pool.configure(processes=2)
        assert pool.processes == 1


def test_renditions_have_a_lane_of_their_own_with_less_right_to_the_processor():
    try:
        assert decode_pool.renderer.processes == 1
        assert decode_pool.renderer.run(os.nice, 0) == os.nice(0) + 5
        assert decode_pool.verifier.run(os.nice, 0) == os.nice(0)
        assert decode_pool.verifier.run(os.getpid) != decode_pool.renderer.run(os.getpid)
    finally:
        decode_pool.close_all()


OWNER = """
import os, sys, threading
from gallery.decode_pool import verifier

if __name__ == "__main__":
    verifier.configure(processes=2)
    busy = verifier.run(os.getpid)
    threading.Thread(target=verifier.run, args=(eval, "sum(range(10**15))"), daemon=True).start()
    idle = busy
    while idle == busy:
        idle = verifier.run(os.getpid)
    print(busy, idle, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("ending", ["kill -9", "end of the program"])
def test_children_idle_or_busy_end_with_their_owner(tmp_path: Path, ending: str):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    root = str(Path(decode_pool.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    ) as owner:
        children = [os.pidfd_open(int(pid)) for pid in owner.stdout.readline().split()]
        assert len(children) == 2
        if ending == "kill -9":
            owner.kill()
        else:
            owner.stdin.close()
        assert [ended(child) for child in children] == [True, True]
    for child in children:
        os.close(child)
