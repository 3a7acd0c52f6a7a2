"""Clips: what is accepted and what is told of it, and what becomes of hostile files."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gallery.clip_containers import C2PA_UUID, sniff_clip
from gallery.imaging import ImageRejected, verify_image
from gallery.video import VIDEO_LIMITS, VideoFacts, VideoLimits, verify_video
from tests.gallery.clips import BLACK, BLUE, RED, box, clip, frame_of, gif, patched
from tests.gallery.hostile import picture, saved, zip_archive


@pytest.fixture(scope="module")
def mp4() -> bytes:
    return clip()


@pytest.fixture(scope="module")
def gif_clip() -> bytes:
    return gif()


@pytest.fixture
def poster(tmp_path: Path) -> Path:
    return tmp_path / "poster.png"


def verify(data: bytes, poster: Path, limits: VideoLimits = VIDEO_LIMITS) -> VideoFacts:
    source = poster.with_name("source")
    source.write_bytes(data)
    return verify_video(source, poster_path=poster, limits=limits)


def refusal(data: bytes, poster: Path, limits: VideoLimits = VIDEO_LIMITS) -> str:
    """The reason for which a file is refused; it leaves no poster."""
    with pytest.raises(ImageRejected) as caught:
        verify(data, poster, limits)
    assert not poster.exists()
    return caught.value.reason


# What is accepted


def test_the_facts_of_an_mp4(mp4, poster):
    assert verify(mp4, poster) == VideoFacts(
        format="mp4",
        mime_type="video/mp4",
        codec="h264",
        width=64,
        height=64,
        duration_ms=1000,
        frame_count=10,
        has_audio=False,
        has_c2pa=False,
        byte_size=len(mp4),
        sha256=hashlib.sha256(mp4).hexdigest(),
    )


def test_the_facts_of_a_gif(gif_clip, poster):
    facts = verify(gif_clip, poster)
    assert (facts.format, facts.mime_type, facts.codec) == ("gif", "image/gif", "gif")
    assert (facts.width, facts.height, facts.duration_ms, facts.frame_count) == (64, 64, 1000, 10)
    assert facts.has_audio is False


@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx265", "hevc"), ("libsvtav1", "av1"), ("libvpx-vp9", "vp9"), ("mpeg4", "mpeg4")],
)
def test_the_other_codecs_of_mp4(codec, name, poster):
    facts = verify(clip(codec), poster)
    assert (facts.codec, facts.frame_count, facts.duration_ms) == (name, 10, 1000)


def test_sound_is_told(poster):
    facts = verify(clip(sound_s=1), poster)
    assert (facts.has_audio, facts.duration_ms) == (True, 1000)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_the_other_orders_of_boxes(flags, poster):
    facts = verify(clip(options={"movflags": flags}), poster)
    assert (facts.frame_count, facts.duration_ms) == (10, 1000)


def test_the_poster_is_a_picture_that_passes_as_one(mp4, poster):
    verify(mp4, poster)
    facts = verify_image(poster)
    assert (facts.format, facts.width, facts.height) == ("png", 64, 64)
    red, green, blue = Image.open(poster).getpixel((32, 48))
    assert (red > 150, green < 90, blue < 90) == (True, True, True)


def test_the_poster_of_a_gif(gif_clip, poster):
    verify(gif_clip, poster)
    red, _, blue = Image.open(poster).getpixel((32, 48))
    assert red > blue


def test_the_poster_passes_by_the_frames_that_fade_in_from_black(poster):
    verify(clip(frames=[frame_of(BLACK)] * 3 + [frame_of(BLUE)] * 4), poster)
    red, _, blue = Image.open(poster).getpixel((32, 48))
    assert blue > red + 80


def test_a_clip_that_is_black_all_over_has_a_black_poster(poster):
    verify(clip(frames=[frame_of(BLACK)] * 3), poster)
    assert max(Image.open(poster).getpixel((32, 48))) < 20


def test_a_large_clip_has_a_smaller_poster(poster):
    facts = verify(clip("mpeg4", frames=[frame_of(RED, (3000, 600))]), poster)
    assert (facts.width, facts.height) == (3000, 600)
    assert Image.open(poster).size == (2048, 410)


def test_a_clip_that_is_turned_is_told_as_it_is_shown(poster):
    matrix = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    wide = clip(frames=[frame_of(RED, (96, 64))] * 5)
    facts = verify(patched(wide, b"tkhd", 40, matrix), poster)
    assert (facts.width, facts.height) == (64, 96)
    assert Image.open(poster).size == (64, 96)


def test_a_single_frame_is_a_clip(poster):
    facts = verify(clip(frames=1), poster)
    assert (facts.frame_count, facts.duration_ms) == (1, 100)


def test_a_manifest_of_origin_is_told(mp4, poster):
    assert verify(mp4 + box(b"uuid", C2PA_UUID + b"manifest"), poster).has_c2pa is True


def test_padding_after_the_end_is_tolerated(mp4, gif_clip, poster):
    assert verify(mp4 + b"\0" * 64, poster).frame_count == 10
    assert verify(gif_clip + b"\0" * 64, poster).frame_count == 10


def test_a_delay_that_browsers_do_not_keep_counts_as_they_count_it(poster):
    data = gif(frames=4, rate=10)
    fast = data.replace(b"\x21\xf9\x04", b"\x21\xf9\x04")
    position = -1
    while (position := fast.find(b"\x21\xf9\x04", position + 1)) >= 0:
        fast = fast[: position + 4] + b"\x01\x00" + fast[position + 6 :]
    assert verify(fast, poster).duration_ms == 400


# Limits


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_bytes": 500}, "too_large"),
        ({"max_duration_ms": 999}, "too_large"),
        ({"max_pixels": 4095}, "too_large"),
        ({"max_side": 63}, "too_large"),
        ({"max_frames": 9}, "too_large"),
        ({"max_decoded_pixels": 40_959}, "too_large"),
    ],
)
def test_each_limit_holds_for_both_formats(limits, reason, mp4, gif_clip, poster):
    assert refusal(mp4, poster, replace(VIDEO_LIMITS, **limits)) == reason
    assert refusal(gif_clip, poster, replace(VIDEO_LIMITS, **limits)) == reason


def test_a_clip_at_its_limits_passes(mp4, gif_clip, poster):
    exact = {
        "max_duration_ms": 1000,
        "max_pixels": 4096,
        "max_side": 64,
        "max_frames": 10,
        "max_decoded_pixels": 40_960,
    }
    for data in (mp4, gif_clip):
        assert verify(data, poster, replace(VIDEO_LIMITS, max_bytes=len(data), **exact)).frame_count == 10


def test_three_and_a_half_seconds_is_the_longest(poster):
    assert verify(clip(frames=35), poster).duration_ms == 3500
    poster.unlink()
    assert refusal(clip(frames=36), poster) == "too_large"


def test_sound_that_outlasts_the_pictures_counts(poster):
    assert refusal(clip(sound_s=6), poster) == "too_large"


# Hostile files


def test_a_header_that_tells_less_than_there_is_does_not_help(poster):
    long = clip(frames=60)
    tick = struct.pack(">I", 1)
    lying = patched(patched(long, b"mvhd", 16, tick), b"tkhd", 20, tick)
    lying = patched(lying, b"mdhd", 16, tick)
    assert refusal(lying, poster) == "too_large"


def test_a_header_that_tells_more_than_there_is_is_not_believed(mp4, poster):
    hour = struct.pack(">I", 3_600_000)
    assert verify(patched(patched(mp4, b"mvhd", 16, hour), b"tkhd", 20, hour), poster).duration_ms == 1000


@pytest.mark.parametrize("size", [(0, 0), (65_535, 65_535), (20_000, 20_000)])
def test_a_size_that_is_a_lie_is_not_believed(size, mp4, poster):
    lying = patched(mp4, b"avc1", 24, struct.pack(">HH", *size), nth=mp4.count(b"avc1") - 1)
    assert lying != mp4
    facts = verify(lying, poster)
    assert (facts.width, facts.height) == (64, 64)


def test_a_gif_of_huge_dimensions_is_refused_before_it_is_decoded(gif_clip, poster):
    assert refusal(gif_clip[:6] + struct.pack("<HH", 65_535, 65_535) + gif_clip[10:], poster) == "too_large"


def test_a_gif_without_pixels_is_refused(gif_clip, poster):
    assert refusal(gif_clip[:6] + struct.pack("<HH", 0, 0) + gif_clip[10:], poster) == "not_an_image"


def test_a_gif_frame_outside_of_its_canvas_is_refused(gif_clip, poster):
    assert refusal(gif_clip[:6] + struct.pack("<HH", 32, 32) + gif_clip[10:], poster) == "not_an_image"


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["mp4", "faststart", "gif"])
def test_a_file_that_is_cut_is_truncated(name, part, poster):
    data = {"mp4": clip, "faststart": lambda: clip(options={"movflags": "faststart"}), "gif": gif}[name]()
    reason = refusal(data[: int(len(data) * part)], poster)
    assert reason == "truncated" or (reason == "not_an_image" and part < 0.1)


def test_every_cut_of_a_file_is_refused(mp4, gif_clip, poster):
    for data in (mp4, gif_clip):
        for end in range(0, len(data), max(1, len(data) // 60)):
            assert refusal(data[:end], poster) in ("truncated", "not_an_image")


def test_frames_of_noise_are_refused(mp4, poster):
    at = mp4.index(b"mdat") + 4
    length = struct.unpack(">I", mp4[at - 8 : at - 4])[0] - 8
    noise = hashlib.shake_256(b"noise").digest(length)
    assert refusal(mp4[:at] + noise + mp4[at + length :], poster) in ("not_an_image", "truncated")


def test_samples_that_lie_outside_of_the_file_are_refused(mp4, poster):
    assert refusal(patched(mp4, b"stco", 8, b"\x7f\xff\xff\xff"), poster) in ("not_an_image", "truncated")


def test_a_clip_without_frames_is_refused(poster):
    empty = box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", box(b"mvhd", b"\0" * 100)) + box(b"mdat")
    assert refusal(empty, poster) in ("not_an_image", "truncated")
    assert refusal(b"GIF89a\x40\0\x40\0\0\0\0;", poster) in ("not_an_image", "truncated")


def test_sound_alone_is_no_clip(poster):
    assert refusal(clip(frames=0, sound_s=1), poster) == "not_an_image"


def test_a_codec_that_browsers_do_not_play_is_refused(poster):
    assert refusal(clip("mjpeg"), poster) == "not_an_image"


@pytest.mark.parametrize(
    "tail",
    [zip_archive(), b"<script>alert(1)</script>", box(b"evil", b"x"), b"x"],
    ids=["zip", "script", "box", "byte"],
)
def test_foreign_bytes_after_the_end_are_refused(tail, mp4, gif_clip, poster):
    assert refusal(mp4 + tail, poster) in ("not_an_image", "truncated")
    assert refusal(gif_clip + tail, poster) == "not_an_image"


def test_a_clip_that_is_an_archive_or_a_document_too_is_refused(mp4, poster):
    assert refusal(mp4 + box(b"free", zip_archive()), poster) == "not_an_image"
    brands = mp4[: struct.unpack(">I", mp4[:4])[0]]
    assert refusal(brands + box(b"free", b"%PDF-1.7") + mp4[len(brands) :], poster) == "not_an_image"


def test_what_is_carried_beside_the_frames_has_a_limit(mp4, gif_clip, poster):
    assert refusal(mp4 + box(b"free", b"x" * 1_100_000), poster) == "too_large"
    assert refusal(mp4 + box(b"mfra", b"x" * 4_200_000), poster) == "too_large"
    assert refusal(mp4 + box(b"free") * 5000, poster) == "too_large"
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 4500 + b"\0"
    assert refusal(gif_clip[:-1] + comment + b";", poster) == "too_large"


def test_a_gif_of_endless_blocks_is_refused(gif_clip, poster):
    assert refusal(gif_clip[:-1] + b"!\xfe" + b"\x01c" * 400_000 + b"\0;", poster) == "too_large"


def test_a_gif_of_endless_frames_is_refused_before_it_is_decoded(gif_clip, poster):
    empty_frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x01\x00\x00"
    assert refusal(gif_clip[:-1] + empty_frame * 400 + b";", poster) == "too_large"


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF", b"not a clip at all", saved(picture(), "PNG"), b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"],
    ids=["empty", "three bytes", "words", "png", "playlist"],
)
def test_what_is_no_clip_is_refused(data, poster):
    assert refusal(data, poster) == "not_an_image"


@pytest.mark.parametrize("brand", [b"heic", b"avif", b"mif1", b"qt  ", b"jp2 "])
def test_other_files_of_the_same_container_are_no_clips(brand, mp4, poster):
    size = struct.unpack(">I", mp4[:4])[0]
    assert refusal(box(b"ftyp", brand + b"\0\0\0\0" + brand) + mp4[size:], poster) == "not_an_image"


def test_the_first_bytes_tell_the_format(mp4, gif_clip):
    assert (sniff_clip(mp4[:64]), sniff_clip(gif_clip[:64])) == ("mp4", "gif")
    assert (sniff_clip(b""), sniff_clip(saved(picture(), "JPEG")[:64]), sniff_clip(mp4[:8])) == (None, None, None)


def test_a_poster_that_cannot_be_written_is_the_disks_fault(mp4, poster):
    verify(mp4, poster)
    with pytest.raises(FileNotFoundError):
        verify_video(poster.with_name("source"), poster_path=poster.parent / "missing" / "poster.png")
