"""The copy of a clip that others get: the same frames in a container of our own. Pure: no Django, no database.

Nothing is encoded anew. The frames and the sound are put into a fresh MP4, or the blocks of a GIF into a fresh GIF,
without what stood beside them: titles, places, comments, names of tracks, what encoders write into their streams, and
with the mark of AI origin. What comes here are hostile bytes: servers call it through `gallery.decode_pool`.
"""

import errno
import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gallery.clip_containers import GIF_MAGICS, sniff_clip
from gallery.containers import ImageRejected
from gallery.imaging import XMP_PACKET
from gallery.video import MAX_STREAMS, VIDEO_LIMITS, VideoLimits, read_clip

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

LABEL = "Made by AI: http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # the XMP specification, part 3, for MP4
MAX_PACKETS = 4096  # 3.5 s of pictures at 60 a second and of sound are some hundred
# Units of a stream that hold words and no pixels: supplemental information (H.264, HEVC), metadata OBUs (AV1).
DROPPED_UNITS = {"h264": (6,), "hevc": (39, 40), "av1": (5,)}
START_CODE = b"\0\0\1"
OUR_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EIO)

GIF_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
# Readers that know nothing of XMP take the packet for blocks; this leads each of them to the end, wherever it arrives.
GIF_XMP = b"!\xff\x0bXMP DataXMP" + XMP_PACKET + b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def make_public_clip(
    source_path: str | os.PathLike[str], target_path: str | os.PathLike[str], *, limits: VideoLimits = VIDEO_LIMITS
) -> None:
    """Write the copy of a verified clip to `target_path`, flushed; what came out is for the caller to verify.

    The same clip gives the same bytes. Raises ImageRejected, or OSError when the disk fails.
    """
    data = read_clip(source_path, limits)
    target = Path(target_path)
    temporary = target.with_name(target.name + ".tmp")
    try:
        if sniff_clip(data[:256]) == "gif":
            temporary.write_bytes(_plain_gif(data))
        else:
            _remux(data, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


# --- MP4 -----------------------------------------------------------------------------------------


def _remux(data: bytes, target: Path) -> None:
    try:
        _copy_streams(data, target)
    except ImageRejected:
        raise
    except OSError as error:
        if error.errno in OUR_TROUBLE:  # the clip itself is in memory, so it is about the target
            raise OSError(error.errno, "The copy could not be written", str(target)) from error
        raise _not_copied() from error
    except Exception as error:
        raise _not_copied() from error
    with target.open("ab") as file:
        body = XMP_UUID + XMP_PACKET
        file.write(struct.pack(">I4s", 8 + len(body), b"uuid") + body)


def _copy_streams(data: bytes, target: Path) -> None:
    import av
    from av.bitstream import BitStreamFilterContext

    options = {"movflags": "+faststart", "fflags": "+bitexact"}  # bitexact: no name and no time of the writer
    with (
        av.open(BytesIO(data), "r", format="mp4") as source,
        av.open(str(target), "w", format="mp4", options=options) as copy,
    ):
        wanted: list[Stream] = [*source.streams.video, *source.streams.audio]
        if not source.streams.video or len(wanted) > MAX_STREAMS:
            raise _not_copied()
        copy.metadata["comment"] = LABEL
        copies, cleaners = {}, {}
        for stream in wanted:
            # As it is: of a decoder that has no encoder of the same name PyAV would make no template.
            copies[stream.index] = copy.add_stream_from_template(stream, opaque=True)
            cleaners[stream.index] = _cleaner(stream, copies[stream.index], BitStreamFilterContext)
        for number, packet in enumerate(source.demux(wanted)):
            if number > MAX_PACKETS:
                raise ImageRejected("too_large", "The clip is made of too many parts.")
            index = packet.stream.index
            for each in cleaners[index](packet):
                each.stream = copies[index]
                copy.mux(each)


Cleaner = Callable[["Packet"], "list[Packet]"]


def _cleaner(stream: "Stream", copy: "Stream", make_filter: Callable[..., Any]) -> Cleaner:
    """What takes the words out of a stream's packets; what stands in its headers is taken out at once.

    The last packet of a stream is an empty one: it lets a filter give what it holds back.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec in DROPPED_UNITS:
        units = "|".join(map(str, DROPPED_UNITS[codec]))
        # With the target's stream: the filter writes start codes, and its headers tell the container that it does.
        cleaner = make_filter(f"filter_units=remove_types={units}", stream, copy)
        if codec == "hevc":  # the filter leaves the headers as they are
            _clean_headers(copy, _is_hevc_information)
        return lambda packet: cleaner.filter(packet if packet.size else None)
    if codec == "mpeg4":
        _clean_headers(copy, _is_user_data)
        return lambda packet: [_with_bytes(packet, _without(_is_user_data, bytes(packet)))] if packet.size else []
    return lambda packet: [packet] if packet.size else []


def _clean_headers(copy: Any, is_dropped: Callable[[bytes], bool]) -> None:
    context = copy.codec_context
    if context.extradata:
        context.extradata = _without(is_dropped, context.extradata)


def _without(is_dropped: Callable[[bytes], bool], data: bytes) -> bytes:
    """A stream of units that begin with a start code each, without some of them."""
    first, *units = data.split(START_CODE)
    return first + b"".join(START_CODE + unit for unit in units if not is_dropped(unit))


def _is_hevc_information(unit: bytes) -> bool:
    return bool(unit) and unit[0] >> 1 & 0x3F in DROPPED_UNITS["hevc"]


def _is_user_data(unit: bytes) -> bool:
    return unit.startswith(b"\xb2")  # of MPEG-4


def _with_bytes(packet: "Packet", data: bytes) -> "Packet":
    import av

    changed = av.Packet(data)
    changed.pts, changed.dts, changed.duration = packet.pts, packet.dts, packet.duration
    changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
    return changed


# --- GIF -----------------------------------------------------------------------------------------


def _plain_gif(data: bytes) -> bytes:
    """The frames, how long each is shown, and how often the whole; no comments, no texts, nothing of applications."""
    try:
        return _GifCopy(data).write()
    except (IndexError, struct.error):
        raise ImageRejected("truncated", "The clip ends too early.") from None


class _GifCopy:
    """Walks the blocks of a verified GIF and keeps those that are shown."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 13

    def write(self) -> bytes:
        self._skip_colours(self.data[10])
        kept = [GIF_MAGICS[1], self.data[len(GIF_MAGICS[1]) : self.position]]
        while (kind := self.data[self.position : self.position + 1]) != b";":
            start = self.position
            if kind == b",":
                self.position += 10
                self._skip_colours(self.data[start + 9])
                self.position += 1
                self._skip_blocks()
                is_kept = True
            elif kind == b"!":
                label = self.data[start + 1]
                self.position += 2
                self._skip_blocks()
                is_kept = label == 0xF9 or (label == 0xFF and self._is_loop(start))
            else:
                raise _not_copied()
            if is_kept:
                kept.append(self.data[start : self.position])
        return b"".join([*kept, GIF_XMP, b";"])

    def _is_loop(self, start: int) -> bool:
        """How often the clip is to be shown, and nothing beside it: one block of three bytes."""
        return self.data[start + 3 : start + 14] in GIF_LOOPS and self.position - start == 19

    def _skip_colours(self, flags: int) -> None:
        if flags & 0x80:
            self.position += 3 << (flags & 7) + 1

    def _skip_blocks(self) -> None:
        while length := self.data[self.position]:
            self.position += 1 + length
        self.position += 1


def _not_copied() -> ImageRejected:
    return ImageRejected("not_an_image", "The clip cannot be put into a container of our own.")
