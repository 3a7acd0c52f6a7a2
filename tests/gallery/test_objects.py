"""Kept pictures in a bucket, against a real S3 server: written once, verified, read in parts, handed to browsers."""

import base64
import hashlib
from http import HTTPStatus

import pytest
import requests

from gallery import objects, storage
from gallery.errors import ObjectsAway
from tests.conftest import run_race
from tests.gallery.pictures import encode_picture, write_file

DATA = encode_picture("png")
MIB = 1024 * 1024


@pytest.fixture
def spooled(settings):
    return write_file(settings.SPOOL_DIR, DATA)


@pytest.fixture
def store(bucket):
    return storage.named("s3")


@pytest.fixture
def hook(store):
    """`hook(event, function)` lets a function see or change what is sent to S3 and what it answers."""
    events, hooked = store._client.meta.events, []

    def register(event, function):
        events.register(event, function)
        hooked.append((event, function))

    yield register
    for event, function in hooked:
        events.unregister(event, function)


@pytest.fixture
def asked(hook):
    """The S3 operations that were called since."""
    calls = []
    hook("before-call.s3", lambda model, **_: calls.append(model.name))
    return calls


def big_file(directory, size):
    """A file that is no picture, and its name, digest and size."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "big"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // MIB):
            piece = bytes([number]) * MIB
            digest.update(piece)
            file.write(piece)
    sha256 = digest.hexdigest()
    return path, {"name": storage.original_name(sha256, mime_type="video/mp4"), "sha256": sha256, "byte_size": size}


def test_a_picture_is_kept_byte_for_byte_under_its_digest_with_its_headers(bucket, spooled):
    path, facts = spooled
    name = storage.put_original(path, facts)
    assert name == f"originals/{facts.sha256[:2]}/{facts.sha256[2:4]}/{facts.sha256}.png"
    assert bucket.names() == [name]
    assert not path.exists()
    answer = bucket.client.get_object(Bucket=bucket.name, Key=name)
    assert answer["Body"].read() == DATA
    assert (answer["ContentType"], answer["CacheControl"]) == ("image/png", "private, max-age=300")
    assert storage.size_of(name) == len(DATA)
    assert list(storage.stored_names(storage.ORIGINALS)) == [(name, answer["LastModified"].timestamp())]


def test_a_server_that_says_nothing_of_checksums_is_read_back(asked, spooled):
    storage.put_original(*spooled)
    assert asked == ["HeadObject", "PutObject", "GetObject", "HeadObject"]


def test_a_server_that_has_checked_the_digest_is_believed(hook, asked, spooled):
    path, facts = spooled
    checksum = base64.b64encode(bytes.fromhex(facts.sha256)).decode()
    sent = []

    def answer(parsed, **_):
        parsed["ChecksumSHA256"] = checksum

    hook("provide-client-params.s3.PutObject", lambda params, **_: sent.append(params))
    hook("after-call.s3.PutObject", answer)
    storage.put_original(path, facts)
    assert asked == ["HeadObject", "PutObject", "HeadObject"]
    assert (sent[0]["ChecksumSHA256"], sent[0]["IfNoneMatch"]) == (checksum, "*")


def test_what_the_bucket_has_changed_on_the_way_is_removed_and_refused(bucket, spooled, monkeypatch):
    path, facts = spooled
    monkeypatch.setattr(objects, "digest_of_stream", lambda file: "0" * 64)
    with pytest.raises(OSError, match="not the file that was verified"):
        storage.put_original(path, facts)
    assert bucket.names() == []
    monkeypatch.undo()
    assert path.read_bytes() == DATA  # so that it can be tried again


def test_the_same_picture_again_sends_no_bytes_and_counts_as_new(bucket, asked, settings, spooled):
    name = storage.put_original(*spooled)
    asked.clear()
    path, facts = write_file(settings.SPOOL_DIR, DATA)
    assert storage.put_original(path, facts) == name
    assert asked == ["HeadObject", "CopyObject", "HeadObject"]  # the copy onto itself sets its time
    assert not path.exists()
    assert (bucket.names(), bucket.read(name)) == ([name], DATA)
    head = bucket.client.head_object(Bucket=bucket.name, Key=name)
    assert (head["ContentType"], head["Metadata"]) == ("image/png", {"sha256": facts.sha256})


@pytest.mark.parametrize("present", [b"half", DATA[:-1] + b"x"])
def test_something_else_under_the_name_is_written_over(bucket, spooled, present):
    path, facts = spooled
    name = storage.original_name(facts.sha256, mime_type="image/png")
    bucket.client.put_object(Bucket=bucket.name, Key=name, Body=present)
    storage.put_original(path, facts)
    assert bucket.read(name) == DATA


@pytest.mark.parametrize(("came", "kept"), [(DATA, 1), (b"something else", 2)])
def test_whoever_is_second_at_the_same_moment_looks_at_what_the_first_has_put(bucket, hook, asked, spooled, came, kept):
    path, facts = spooled
    name = storage.original_name(facts.sha256, mime_type="image/png")
    before = []

    def overtake(**_):
        if not before:
            before.append(bucket.client.put_object(Bucket=bucket.name, Key=name, Body=came))

    hook("before-sign.s3.PutObject", overtake)
    storage.put_original(path, facts)
    assert bucket.read(name) == DATA
    assert asked.count("PutObject") == kept


def test_ten_at_once_end_with_one_whole_object(bucket, settings, store, db):
    sources = [write_file(settings.SPOOL_DIR, DATA, name=f"picture-{index}") for index in range(10)]
    results = [storage.original_name(sources[0][1].sha256, mime_type="image/png")] * 10
    assert run_race(10, lambda index: storage.put_original(*sources[index])) == results
    assert (bucket.names(), bucket.read(results[0])) == (results[:1], DATA)


def test_a_file_that_grew_since_it_was_verified_is_not_kept(bucket, spooled):
    path, facts = spooled
    path.write_bytes(DATA + b"more")
    with pytest.raises(OSError, match="not the one that was verified"):
        storage.put_original(path, facts)
    assert bucket.names() == []


def test_a_large_file_goes_part_by_part_and_is_never_whole_in_memory(bucket, hook, settings):
    path, wanted = big_file(settings.SPOOL_DIR, 30 * MIB)
    parts = []
    hook("before-parameter-build.s3.UploadPart", lambda params, **_: parts.append(len(params["Body"])))
    storage.put(path, **wanted)
    assert parts == [8 * MIB, 8 * MIB, 8 * MIB, 6 * MIB]
    assert storage.size_of(wanted["name"]) == 30 * MIB
    with storage.open_stored(wanted["name"]) as file:
        assert storage.digest_of_stream(file) == wanted["sha256"]
    head = bucket.client.head_object(Bucket=bucket.name, Key=wanted["name"])
    assert (head["ContentType"], head["CacheControl"]) == ("video/mp4", "private, max-age=300")


def test_a_large_file_that_is_not_what_was_announced_leaves_nothing_behind(bucket, settings):
    path, wanted = big_file(settings.SPOOL_DIR, 17 * MIB)
    with path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(OSError, match="not the one that was verified"):
        storage.put(path, **wanted)
    assert bucket.names() == []
    assert bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", []) == []


def test_parts_of_it_are_read(store, spooled):
    name = storage.put_original(*spooled)
    with store.open(name, start=3, stop=10) as file:
        assert file.read() == DATA[3:10]
    with store.open(name, start=20) as file:
        assert file.read() == DATA[20:]


def test_a_copy_on_this_machine_is_gone_afterwards(settings, store, spooled):
    name = storage.put_original(*spooled)
    with storage.local_copy(name) as path:
        assert path.read_bytes() == DATA
    assert [each for each in settings.MEDIA_ROOT.rglob("*") if each.is_file()] == []


def test_what_is_not_there_is_a_missing_file(store):
    assert storage.size_of("originals/aa/bb/none.png") is None
    with pytest.raises(FileNotFoundError):
        storage.open_stored("originals/aa/bb/none.png")
    with pytest.raises(FileNotFoundError), storage.local_copy("originals/aa/bb/none.png"):
        pass
    storage.delete("originals/aa/bb/none.png")


def test_a_signed_address_pins_the_headers_and_ends_after_fifteen_minutes_at_most(store, spooled):
    name = storage.put_original(*spooled)
    wanted = {
        "mime_type": "image/png",
        "disposition": 'inline; filename="a.png"',
        "cache_control": "no-cache",
    }
    address = store.signed_address(name, **wanted, lifetime_s=86_400)
    assert "X-Amz-Expires=900" in address
    answer = requests.get(address, headers={"Range": "bytes=0-3"}, timeout=5)
    assert (answer.status_code, answer.content) == (HTTPStatus.PARTIAL_CONTENT, DATA[:4])
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == 'inline; filename="a.png"'
    assert answer.headers["Cache-Control"] == "no-cache"


def test_it_is_signed_for_the_address_at_which_browsers_reach_the_bucket(settings, bucket):
    settings.S3_PUBLIC_ENDPOINT_URL = "https://pictures.example.com"
    wanted = {"mime_type": "image/png", "disposition": "inline", "cache_control": "private"}
    address = storage.named("s3").signed_address("originals/a.png", **wanted, lifetime_s=300)
    assert address.startswith(f"https://pictures.example.com/{bucket.name}/originals/a.png?")


def test_a_bucket_that_does_not_answer_refuses_or_is_not_there_is_away(bucket, spooled):
    path, facts = spooled
    bucket.server.stop()
    with pytest.raises(ObjectsAway, match="does not answer"):
        storage.put_original(path, facts)
    with pytest.raises(ObjectsAway):
        storage.check()
    assert path.read_bytes() == DATA
    bucket.server.start()
    storage.check()
    assert bucket.read(storage.put_original(path, facts)) == DATA


def test_a_bucket_of_another_name_is_away(bucket, settings, spooled):
    options = {**settings.STORAGES["s3"]["OPTIONS"], "bucket_name": "another-name"}
    settings.STORAGES = {**settings.STORAGES, "s3": {**settings.STORAGES["s3"], "OPTIONS": options}}
    with pytest.raises(ObjectsAway, match="NoSuchBucket"):
        storage.put_original(*spooled)


def test_of_two_stores_the_first_gets_what_is_new_and_both_are_read(bucket, settings, spooled):
    bucket.use(settings, "files", "s3")
    in_files = storage.put_original(*spooled)
    assert bucket.names() == []
    bucket.use(settings, "s3", "files")
    other = encode_picture("webp")
    in_bucket = storage.put_original(*write_file(settings.SPOOL_DIR, other))
    assert bucket.names() == [in_bucket]
    for name, data in ((in_files, DATA), (in_bucket, other)):
        assert storage.size_of(name) == len(data)
        with storage.open_stored(name) as file:
            assert file.read() == data
        with storage.local_copy(name) as path:
            assert path.read_bytes() == data
    assert sorted(name for name, _ in storage.stored_names(storage.ORIGINALS)) == sorted([in_files, in_bucket])
