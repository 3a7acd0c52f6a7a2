"""Bytes on disk: named by their digest, byte-identical, whole or not there."""

import errno
import hashlib
import io
import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from gallery import files, storage
from tests.gallery.pictures import C2PA_CHUNK, encode_picture, with_c2pa, write_file


@pytest.fixture
def spooled(settings):
    """A PNG with a C2PA chunk in the spool: its path, its facts and its bytes."""
    data = with_c2pa(encode_picture("png"))
    path, facts = write_file(settings.SPOOL_DIR, data)
    return path, facts, data


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_an_original_is_named_by_its_digest_in_sharded_directories(spooled):
    path, facts, data = spooled
    digest = hashlib.sha256(data).hexdigest()
    assert storage.put_original(path, facts) == f"originals/{digest[:2]}/{digest[2:4]}/{digest}.png"


@pytest.mark.parametrize(("format", "extension"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_an_original_is_kept_byte_for_byte(settings, format, extension):
    data = encode_picture(format)
    path, facts = write_file(settings.SPOOL_DIR, data)
    name = storage.put_original(path, facts)
    assert name.endswith(f".{extension}")
    assert storage.path_to(name).read_bytes() == data


def test_a_provenance_chunk_survives_the_storage(spooled):
    path, facts, data = spooled
    stored = storage.path_to(storage.put_original(path, facts)).read_bytes()
    assert facts.has_c2pa
    assert stored == data
    assert C2PA_CHUNK in stored


def test_the_spooled_file_is_moved(settings, spooled):
    path, facts, _ = spooled
    inode = path.stat().st_ino
    name = storage.put_original(path, facts)
    assert storage.path_to(name).stat().st_ino == inode
    assert files_below(settings.SPOOL_DIR) == []


def test_the_same_bytes_twice_are_one_file_and_both_sources_go(settings, spooled):
    path, facts, data = spooled
    name = storage.put_original(path, facts)
    inode = storage.path_to(name).stat().st_ino
    again, _ = write_file(settings.SPOOL_DIR, data, name="again")
    assert storage.put_original(again, facts) == name
    assert storage.path_to(name).stat().st_ino == inode
    assert files_below(settings.MEDIA_ROOT) == [storage.path_to(name)]
    assert files_below(settings.SPOOL_DIR) == []


def test_putting_after_a_crash_between_move_and_settle_succeeds(spooled):
    path, facts, _ = spooled
    name = storage.put_original(path, facts)
    assert not path.exists()
    assert storage.put_original(path, facts) == name


def test_a_stored_file_that_was_cut_is_replaced_by_the_whole_one(settings, spooled):
    path, facts, data = spooled
    name = storage.put_original(path, facts)
    storage.path_to(name).write_bytes(data[:10])
    again, _ = write_file(settings.SPOOL_DIR, data)
    storage.put_original(again, facts)
    assert storage.path_to(name).read_bytes() == data


def test_a_file_used_again_counts_as_new_when_orphans_are_looked_for(settings, spooled):
    path, facts, data = spooled
    stored = storage.path_to(storage.put_original(path, facts))
    os.utime(stored, (0, 0))
    again, _ = write_file(settings.SPOOL_DIR, data)
    before = time.time() - 1
    storage.put_original(again, facts)
    assert stored.stat().st_mtime >= before


def test_a_file_that_changed_since_it_was_verified_is_not_stored(settings, spooled):
    path, facts, data = spooled
    path.write_bytes(data + b"x")
    with pytest.raises(OSError, match="not the one that was verified"):
        storage.put_original(path, facts)
    assert files_below(settings.MEDIA_ROOT) == []
    assert path.exists()


def test_sixteen_threads_with_the_same_bytes_leave_one_file(settings):
    data = encode_picture("png", colour="#112233")
    sources = [write_file(settings.SPOOL_DIR, data, name=f"picture-{number}") for number in range(16)]
    barrier = threading.Barrier(16)
    names: list[str] = []

    def put(path, facts):
        barrier.wait()
        names.append(storage.put_original(path, facts))

    threads = [threading.Thread(target=put, args=source) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 16
    assert len(set(names)) == 1
    assert files_below(settings.MEDIA_ROOT) == [storage.path_to(names[0])]
    assert storage.path_to(names[0]).read_bytes() == data
    assert files_below(settings.SPOOL_DIR) == []


class PowerCut(BaseException):
    """What ends a process: nothing may catch it."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_end_before_the_rename_leaves_nothing_under_the_final_name(settings, spooled, monkeypatch, step):
    path, facts, data = spooled

    def end(*args, **kwargs):
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", end) if step == "fsync" else patched.setattr(Path, "replace", end)
        with pytest.raises(PowerCut):
            storage.put_original(path, facts)
    assert files_below(settings.MEDIA_ROOT) == []
    assert path.read_bytes() == data
    assert storage.path_to(storage.put_original(path, facts)).read_bytes() == data


def test_the_new_name_is_on_disk_before_anybody_hears_of_it(settings, spooled, monkeypatch):
    path, facts, _ = spooled
    flushed: list[tuple[str, bool]] = []
    target = storage.path_to(storage.original_name(facts.sha256, mime_type="image/png"))

    def record(descriptor):
        directory = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        flushed.append((directory.relative_to(settings.DATA_DIR).as_posix(), target.exists()))

    monkeypatch.setattr(os, "fsync", record)
    storage.put_original(path, facts)
    first, second = facts.sha256[:2], facts.sha256[2:4]
    assert flushed == [
        (".", False),
        ("media", False),
        ("media/originals", False),
        (f"media/originals/{first}", False),
        (f"media/originals/{first}/{second}", True),
    ]


@pytest.fixture
def other_file_system(settings, monkeypatch):
    """The spool is on another file system than the media."""
    replace = Path.replace

    def refuse(self, target):
        if self.is_relative_to(settings.SPOOL_DIR):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)


@pytest.mark.usefixtures("other_file_system")
def test_across_file_systems_the_bytes_are_copied_whole(settings, spooled):
    path, facts, data = spooled
    name = storage.put_original(path, facts)
    assert storage.path_to(name).read_bytes() == data
    assert files_below(settings.MEDIA_ROOT) == [storage.path_to(name)]
    assert not path.exists()


@pytest.mark.usefixtures("other_file_system")
def test_a_copy_whose_digest_differs_is_not_stored(settings, spooled):
    path, facts, data = spooled
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(OSError, match="copy is not the file"):
        storage.put_original(path, facts)
    assert files_below(settings.MEDIA_ROOT) == []
    assert path.exists()


@pytest.mark.usefixtures("other_file_system")
def test_a_process_killed_in_the_middle_of_a_copy_leaves_no_half_file_under_a_final_name(
    settings, spooled, monkeypatch
):
    path, facts, data = spooled

    class FatalFile(io.BufferedReader):
        def read(self, size=-1):
            if self.tell() >= 64:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().read(size)

    def put_and_die():
        open_path = Path.open
        monkeypatch.setattr(files, "CHUNK_BYTES", 32)
        monkeypatch.setattr(
            Path, "open", lambda self, mode: FatalFile(io.FileIO(self)) if self == path else open_path(self, mode, 0)
        )
        storage.put_original(path, facts)

    child = multiprocessing.get_context("fork").Process(target=put_and_die)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    [half] = files_below(settings.MEDIA_ROOT)
    assert half.parent == storage.path_to(files.STAGING)
    assert half.read_bytes() == data[:64]
    assert storage.path_to(storage.put_original(path, facts)).read_bytes() == data
    assert storage.sweep_orphan_temporaries(timedelta(0)) == 1


def test_stored_files_have_djangos_permissions_whatever_the_spool_had(settings, spooled):
    path, facts, _ = spooled
    path.chmod(0o600)
    stored = storage.path_to(storage.put_original(path, facts))
    assert stored.stat().st_mode & 0o777 == settings.FILE_UPLOAD_PERMISSIONS == 0o644


def test_only_old_temporaries_are_swept(spooled):
    path, facts, _ = spooled
    stored = storage.path_to(storage.put_original(path, facts))
    os.utime(stored, (0, 0))
    with storage.staged(".webp") as young, storage.staged(".webp") as old:
        young.write_bytes(b"young")
        old.write_bytes(b"old")
        os.utime(old, (0, 0))
        assert storage.sweep_orphan_temporaries(timedelta(hours=1)) == 1
        assert young.exists()
        assert not old.exists()
    assert stored.exists()


def test_a_sweep_of_a_new_instance_finds_nothing():
    assert storage.sweep_orphan_temporaries() == 0


def test_a_name_that_leaves_the_media_directory_is_refused():
    with pytest.raises(Exception, match="outside of the base path"):
        storage.open_stored("../secrets/secret-key")
