"""Short clips as bytes and frames: verify what arrives, take a still picture from it. Pure: no Django, no database.

`verify_video` decodes hostile bytes, so servers call it through `gallery.decode_pool`. FFmpeg's libraries come with
PyAV; they are loaded with the first clip, for most decode processes never meet one.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

from gallery.clip_containers import ClipFormat, GifContainer, read_gif, read_mp4, sniff_clip
from gallery.containers import ImageRejected

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

MIME_TYPES: dict[ClipFormat, str] = {"mp4": "video/mp4", "gif": "image/gif"}
MP4_CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})

MEBIBYTE = 1024 * 1024
MAX_STREAMS = 4
POSTER_SIDE = 2048
POSTER_COMPRESS_LEVEL = 3
# A frame whose lightest and darkest points are nearer than this is a fade from black and no poster.
POSTER_CONTRAST = 24
PROBE_SIDE = 32


@dataclass(frozen=True)
class VideoLimits:
    """Caps of one intake. `max_decoded_pixels` is for all frames together: it is what bounds the time."""

    max_bytes: int = 32 * MEBIBYTE
    max_duration_ms: int = 3500
    max_pixels: int = 24_000_000
    max_side: int = 8192
    max_frames: int = 300
    max_decoded_pixels: int = 700_000_000  # 3.5 s of 1080p at 60 frames, 3 s of 4K at 24
    max_metadata_bytes: int = MEBIBYTE


VIDEO_LIMITS = VideoLimits()


@dataclass(frozen=True)
class VideoFacts:
    """What a verified clip is; width and height as it is shown, `duration_ms` by its frames and not by its headers."""

    format: ClipFormat
    mime_type: str
    codec: str
    width: int
    height: int
    duration_ms: int
    frame_count: int
    has_audio: bool
    has_c2pa: bool
    byte_size: int
    sha256: str


@dataclass(frozen=True)
class _Decoded:
    codec: str
    size: tuple[int, int]
    duration_ms: int
    frame_count: int
    has_audio: bool
    poster: Image.Image


def verify_video(
    path: str | os.PathLike[str], *, poster_path: str | os.PathLike[str], limits: VideoLimits = VIDEO_LIMITS
) -> VideoFacts:
    """Prove that a file is exactly one complete clip within the limits, and write a PNG of it to `poster_path`.

    1. size on disk; 2. magic bytes; 3. every box or block of the container; 4. every frame through the one demuxer
    that the magic names. The poster is flushed; its directory is the caller's. Raises ImageRejected, or OSError.
    """
    data = read_clip(path, limits)
    clip_format = sniff_clip(data[:256])
    if clip_format is None:
        raise ImageRejected("not_an_image", "The bytes are no MP4 or GIF clip.")
    gif: GifContainer | None = None
    has_c2pa = False
    if clip_format == "gif":
        gif = read_gif(data, max_metadata_bytes=limits.max_metadata_bytes)
        _check_size(gif.width, gif.height, limits)
        _check_frames(gif.frame_count, gif.width * gif.height, limits)
        _check_duration(gif.duration_ms, limits)
    else:
        has_c2pa = read_mp4(data, max_metadata_bytes=limits.max_metadata_bytes)
    with _decoding():
        decoded = _decode(data, clip_format, limits)
    if gif is not None and (decoded.frame_count, decoded.size) != (gif.frame_count, (gif.width, gif.height)):
        raise ImageRejected("not_an_image", "The clip's frames are not those that its blocks announce.")
    _write_poster(decoded.poster, Path(poster_path))
    return VideoFacts(
        format=clip_format,
        mime_type=MIME_TYPES[clip_format],
        codec=decoded.codec,
        width=decoded.size[0],
        height=decoded.size[1],
        duration_ms=gif.duration_ms if gif else decoded.duration_ms,
        frame_count=decoded.frame_count,
        has_audio=decoded.has_audio,
        has_c2pa=has_c2pa,
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read_clip(path: str | os.PathLike[str], limits: VideoLimits) -> bytes:
    """The bytes of a file that is not too large. Raises ImageRejected, or OSError."""
    with open(path, "rb") as file:
        # One byte more than allowed tells a file that grows while it is read.
        if os.fstat(file.fileno()).st_size <= limits.max_bytes:
            data = file.read(limits.max_bytes + 1)
            if len(data) <= limits.max_bytes:
                return data
    raise ImageRejected("too_large", "The clip has too many bytes.")


def _check_size(width: int, height: int, limits: VideoLimits) -> None:
    if min(width, height) < 1:
        raise ImageRejected("not_an_image", "The clip has no pixels.")
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise ImageRejected("too_large", "The clip's frames have too many pixels.")


def _check_frames(count: int, pixels: int, limits: VideoLimits) -> None:
    if count > limits.max_frames or count * pixels > limits.max_decoded_pixels:
        raise ImageRejected("too_large", "The clip has too many frames.")


def _check_duration(duration_ms: float, limits: VideoLimits) -> None:
    if duration_ms > limits.max_duration_ms:
        raise ImageRejected("too_large", "The clip is too long.")


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever FFmpeg does with hostile bytes into ImageRejected; wrap no disk access in it."""
    try:
        yield
    except ImageRejected:
        raise
    except MemoryError as error:
        raise ImageRejected("too_large", "The clip needs too much memory.") from error
    except EOFError as error:
        raise ImageRejected("truncated", "The clip ends too early.") from error
    except Exception as error:
        raise ImageRejected("not_an_image", "The clip cannot be decoded.") from error


def _decode(data: bytes, clip_format: ClipFormat, limits: VideoLimits) -> _Decoded:
    import av

    # The format is named, so that no other demuxer is tried: some of them open further files and addresses.
    caps = {"max_pixels": str(limits.max_pixels)}
    stream_options = [caps] * MAX_STREAMS  # PyAV's stub has another type for it
    with av.open(BytesIO(data), "r", format=clip_format, stream_options=stream_options) as container:  # type: ignore[call-overload]
        stream = _only_video_stream(container, clip_format, limits)
        stream.thread_type = "NONE"  # threads would take address space that the decode process does not have
        stream.codec_context.options = {**caps, "err_detect": "explode"}
        return _FrameReader(stream, limits).read(container)


def _only_video_stream(container: "InputContainer", clip_format: ClipFormat, limits: VideoLimits) -> "VideoStream":
    videos = container.streams.video
    if len(videos) != 1 or len(container.streams.audio) > 1 or len(container.streams) > MAX_STREAMS:
        raise ImageRejected("not_an_image", "The clip is not made of one picture track and one of sound.")
    stream = videos[0]
    if stream.codec_context.codec.canonical_name not in (MP4_CODECS if clip_format == "mp4" else {"gif"}):
        raise ImageRejected("not_an_image", "The clip is in a format that browsers do not play.")
    if 0 in (stream.codec_context.width, stream.codec_context.height):  # what the decoder does of itself at its cap
        raise ImageRejected("too_large", "The clip's frames have too many pixels, or none.")
    _check_size(stream.codec_context.width, stream.codec_context.height, limits)
    for each in container.streams:  # the sound may be longer than the pictures
        if each.duration is not None and each.time_base is not None:
            _check_duration(float(each.duration * each.time_base * 1000), limits)
    _check_duration((container.duration or 0) / 1000, limits)
    _check_frames(stream.frames, stream.codec_context.width * stream.codec_context.height, limits)
    return stream


class _FrameReader:
    """Decodes every frame of a stream and keeps one of them."""

    def __init__(self, stream: "VideoStream", limits: VideoLimits) -> None:
        self.stream = stream
        self.limits = limits
        self.coded_size = stream.codec_context.width, stream.codec_context.height
        self.frame_count = 0
        self.first_ms = self.last_ms = self.end_ms = 0.0
        self.first: Image.Image | None = None
        self.poster: Image.Image | None = None
        self.rotation = 0

    def read(self, container: "InputContainer") -> _Decoded:
        for packets, packet in enumerate(container.demux(self.stream)):
            if packet.is_corrupt:
                raise ImageRejected("truncated", "The clip lacks a part of its frames.")
            if packets > 2 * self.limits.max_frames:
                raise ImageRejected("too_large", "The clip is made of too many parts.")
            for frame in packet.decode():
                self._take(frame)
        poster = self.poster or self.first
        if poster is None or 2 * self.frame_count < self.stream.frames:
            raise ImageRejected("truncated", "The clip lacks its frames.")
        return _Decoded(
            codec=self.stream.codec_context.codec.canonical_name,
            size=self._as_shown(),
            duration_ms=round(self.end_ms - self.first_ms),
            frame_count=self.frame_count,
            has_audio=len(container.streams.audio) > 0,
            poster=poster,
        )

    def _take(self, frame: "VideoFrame") -> None:
        if (frame.width, frame.height) != self.coded_size:
            raise ImageRejected("not_an_image", "The clip's frames are not of one size.")
        self.frame_count += 1
        _check_frames(self.frame_count, frame.width * frame.height, self.limits)
        self._take_time(frame)
        if self.first is None:
            self.rotation = frame.rotation
            self.first = self._picture(frame)
        if self.poster is None and _has_contrast(frame):
            self.poster = self.first if self.frame_count == 1 else self._picture(frame)

    def _take_time(self, frame: "VideoFrame") -> None:
        rate = self.stream.average_rate or self.stream.guessed_rate
        usual_ms = float(1000 / rate) if rate else 0.0
        unit_ms = float((frame.time_base or 0) * 1000)
        start = self.last_ms + usual_ms if frame.pts is None else frame.pts * unit_ms
        if self.frame_count == 1:
            self.first_ms = start
        self.first_ms = min(self.first_ms, start)
        self.last_ms = start
        self.end_ms = max(self.end_ms, start + (frame.duration * unit_ms or usual_ms))
        _check_duration(self.end_ms - self.first_ms, self.limits)

    def _as_shown(self) -> tuple[int, int]:
        width, height = self.coded_size
        return (height, width) if self.rotation % 180 else (width, height)

    def _picture(self, frame: "VideoFrame") -> Image.Image:
        if self.rotation % 90:
            raise ImageRejected("not_an_image", "The clip is turned by an odd angle.")
        scale = min(1.0, POSTER_SIDE / max(frame.width, frame.height))
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        picture = frame.to_image(width=size[0], height=size[1]).convert("RGB")
        return picture.rotate(self.rotation, expand=True) if self.rotation else picture


def _has_contrast(frame: "VideoFrame") -> bool:
    lightness = frame.to_image(width=PROBE_SIDE, height=PROBE_SIDE).convert("L")
    darkest, lightest = cast("tuple[int, int]", lightness.getextrema())
    return lightest - darkest >= POSTER_CONTRAST


def _write_poster(poster: Image.Image, path: Path) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            poster.save(file, format="PNG", compress_level=POSTER_COMPRESS_LEVEL)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
