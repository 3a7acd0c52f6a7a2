"""The copy of a clip that others get: the same frames and sound, without a word of what stood beside them."""

import hashlib
import io
import struct
from pathlib import Path

import av
import pytest

from gallery.clip_containers import C2PA_UUID
from gallery.imaging import ImageRejected
from gallery.remuxing import LABEL, make_public_clip
from gallery.video import verify_video
from tests.gallery.clips import BLUE, RED, box, clip, frame_of, gif, patched

CANARY = "zanzibarcanary"
SUPPLEMENT = b"x264 - core"  # what the encoder itself writes into an H.264 stream
MOVING = [frame_of(RED), frame_of(BLUE), frame_of("#208040")] * 4


@pytest.fixture
def copy_of(tmp_path: Path):
    """Makes the public copy of some bytes."""

    def make(data: bytes) -> bytes:
        (tmp_path / "source").write_bytes(data)
        make_public_clip(tmp_path / "source", tmp_path / "copy")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source"]
        return (tmp_path / "copy").read_bytes()

    return make


def shown(data: bytes) -> list[tuple[float, str]]:
    """When each frame is shown, and the digest of its pixels."""
    with av.open(io.BytesIO(data)) as container:
        frames = container.decode(container.streams.video[0])
        return [(float(each.time), hashlib.sha256(each.to_ndarray().tobytes()).hexdigest()) for each in frames]


def heard(data: bytes) -> list[tuple[float, int]]:
    with av.open(io.BytesIO(data)) as container:
        return [(float(each.time), each.samples) for each in container.decode(container.streams.audio[0])]


def facts(data: bytes, tmp_path: Path):
    (tmp_path / "clip").write_bytes(data)
    told = verify_video(tmp_path / "clip", poster_path=tmp_path / "poster")
    return told.codec, told.width, told.height, told.duration_ms, told.frame_count, told.has_audio


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "mpeg4"])
def test_frames_and_times_are_the_same_and_no_word_is_left(codec, copy_of, tmp_path):
    source = clip(codec, frames=MOVING, words=CANARY)
    assert source.count(CANARY.encode()) >= 4
    made = copy_of(source)
    assert CANARY.encode() not in made
    for name in (b"48.8", b"+002", b"Lav", b"x264", b"x265"):  # the place, and whoever has encoded it
        assert name not in made, name
    assert shown(made) == shown(source)
    assert facts(made, tmp_path) == facts(source, tmp_path)


def test_what_an_encoder_writes_into_the_stream_itself_goes_too(copy_of):
    source = clip()
    assert SUPPLEMENT in source
    assert SUPPLEMENT not in copy_of(source)


def test_the_mark_of_ai_origin_is_there_twice(copy_of):
    made = copy_of(clip(words=CANARY))
    with av.open(io.BytesIO(made)) as container:
        assert {name: text for name, text in container.metadata.items() if "brand" not in name} == {
            "minor_version": "512",
            "comment": LABEL,
        }
        assert {name for stream in container.streams for name in stream.metadata} <= {"language", "handler_name"}
    assert (
        made.count(b'DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"') == 1
    )
    assert made.index(b"moov") < made.index(b"mdat")  # it can be played before it is there


def test_the_sound_stays(copy_of, tmp_path):
    source = clip(sound_s=1, words=CANARY)
    made = copy_of(source)
    assert heard(made) == heard(source)
    assert facts(made, tmp_path)[-1] is True
    assert CANARY.encode() not in made


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_the_other_orders_of_boxes(flags, copy_of):
    source = clip(frames=MOVING, options={"movflags": flags}, words=CANARY)
    made = copy_of(source)
    assert shown(made) == shown(source)
    assert CANARY.encode() not in made


def test_a_clip_that_is_turned_stays_turned(copy_of, tmp_path):
    matrix = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    source = patched(clip(frames=[frame_of(RED, (96, 64))] * 5), b"tkhd", 40, matrix)
    assert facts(copy_of(source), tmp_path) == facts(source, tmp_path)
    assert facts(source, tmp_path)[1:3] == (64, 96)


def test_boxes_beside_the_frames_are_left_behind(copy_of):
    source = clip() + box(b"uuid", C2PA_UUID + CANARY.encode()) + box(b"free", CANARY.encode()) + b"\0" * 8
    made = copy_of(source)
    assert CANARY.encode() not in made
    assert C2PA_UUID not in made


def test_the_same_clip_gives_the_same_bytes(copy_of):
    assert copy_of(clip(words=CANARY)) == copy_of(clip(words=CANARY.upper()))
    assert copy_of(gif()) == copy_of(gif())


def test_a_gif_keeps_its_frames_and_loses_its_words(copy_of, tmp_path):
    source = gif()
    comment = b"!\xfe" + bytes([len(CANARY)]) + CANARY.encode() + b"\0"
    foreign = b"!\xff\x0bXMP DataXMP" + bytes([len(CANARY)]) + CANARY.encode() + b"\0"
    text = b"!\x01\x0c" + b"\0" * 12 + bytes([len(CANARY)]) + CANARY.encode() + b"\0"
    loop = b"!\xff\x0bNETSCAPE2.0\x03\x01\x05\0\0"
    start = source.index(b"!\xf9")
    full = source[:start] + comment + foreign + loop + text + source[start:-1] + comment + b";" + b"\0" * 8
    made = copy_of(full)
    assert CANARY.encode() not in made
    assert made.count(b"NETSCAPE2.0") == full.count(b"NETSCAPE2.0")
    assert loop in made
    assert b"trainedAlgorithmicMedia" in made
    assert shown(made) == shown(source)
    assert facts(made, tmp_path) == facts(source, tmp_path)


def test_words_that_pose_as_a_loop_are_no_loop(copy_of):
    source = gif()
    start = source.index(b"!\xf9")
    posing = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0" + bytes([len(CANARY)]) + CANARY.encode() + b"\0"
    assert CANARY.encode() not in copy_of(source[:start] + posing + source[start:])


@pytest.mark.parametrize(
    "data", [b"", b"not a clip", clip()[:-200], gif()[:-200]], ids=["empty", "words", "mp4", "gif"]
)
def test_what_is_no_whole_clip_gives_no_copy_or_one_that_is_no_clip_either(data, tmp_path):
    (tmp_path / "source").write_bytes(data)

    def make_and_verify():
        make_public_clip(tmp_path / "source", tmp_path / "copy")
        verify_video(tmp_path / "copy", poster_path=tmp_path / "poster")

    with pytest.raises(ImageRejected):
        make_and_verify()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_directory_that_is_not_there_is_the_disks_fault(tmp_path):
    for data in (clip(), gif()):
        (tmp_path / "source").write_bytes(data)
        with pytest.raises(FileNotFoundError):
            make_public_clip(tmp_path / "source", tmp_path / "missing" / "copy")
