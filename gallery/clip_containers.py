"""The container around a clip, read without decoding: MP4 boxes, GIF blocks.

As with pictures every byte of the file is accounted for, and what a header promises is known before a decoder runs.
"""

import struct
from dataclasses import dataclass
from typing import Literal

from gallery.containers import MAX_PADDING, ImageRejected, refuse_polyglot

ClipFormat = Literal["mp4", "gif"]

GIF_MAGICS = (b"GIF87a", b"GIF89a")
MP4_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9"}
    | {b"mp41", b"mp42", b"avc1", b"av01", b"dash", b"cmfc", b"M4V ", b"M4VP", b"M4VH", b"MSNV"}
)
# HEIF and AVIF are pictures in the same container, and some of them name a brand of MP4 as well.
PICTURE_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"})
MP4_PLAIN_BOXES = frozenset({b"ftyp", b"styp", b"free", b"skip", b"wide", b"uuid", b"meta", b"udta", b"emsg", b"prft"})
MP4_INDEX_BOXES = frozenset({b"moov", b"moof", b"mfra", b"sidx", b"ssix", b"pdin"})
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")

MAX_BOXES = 4096
MAX_INDEX_BYTES = 4 * 1024 * 1024  # three seconds need some KiB; its entries become objects of the demuxer
MAX_GIF_BLOCKS = 300_000  # 32 MiB in blocks of 255 bytes, twice
GIF_MIN_DELAY = 2  # hundredths of a second; what is shorter is shown for GIF_USUAL_DELAY, by browsers and by FFmpeg
GIF_USUAL_DELAY = 10


@dataclass(frozen=True)
class GifContainer:
    """What the blocks of a GIF say; `duration_ms` is that of one round."""

    width: int
    height: int
    frame_count: int
    duration_ms: int


def sniff_clip(head: bytes) -> ClipFormat | None:
    """The format that the first bytes announce (64 suffice); the name of a file and its declared type prove nothing."""
    if head.startswith(GIF_MAGICS):
        return "gif"
    if len(head) < 12 or head[4:8] != b"ftyp":
        return None
    size = min(struct.unpack_from(">I", head)[0], len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    return "mp4" if head[8:12] not in PICTURE_BRANDS and brands & MP4_BRANDS else None


def read_mp4(data: bytes, *, max_metadata_bytes: int) -> bool:
    """Walk the boxes of the whole file; whether it carries a C2PA manifest. Raises ImageRejected."""
    refuse_polyglot(data)
    position = index_bytes = metadata_bytes = boxes = 0
    has_c2pa = False
    kinds: set[bytes] = set()
    while position < len(data):
        if len(data) - position <= MAX_PADDING and not data[position:].strip(b"\0"):
            break
        kind, body, end = _mp4_box(data, position)
        if kind == b"moov" and kind in kinds:
            raise _broken()
        if kind in MP4_INDEX_BOXES:
            index_bytes += end - position
        elif kind in MP4_PLAIN_BOXES:
            metadata_bytes += end - position
            has_c2pa = has_c2pa or (kind == b"uuid" and data[body : body + 16] == C2PA_UUID)
        elif kind != b"mdat":
            raise ImageRejected("not_an_image", "The clip holds foreign bytes.")
        boxes += 1
        if index_bytes > MAX_INDEX_BYTES or metadata_bytes > max_metadata_bytes or boxes > MAX_BOXES:
            raise ImageRejected("too_large", "The clip carries too much beside its frames.")
        kinds.add(kind)
        position = end
    if not {b"moov", b"mdat"} <= kinds:
        raise _cut()
    return has_c2pa


def _mp4_box(data: bytes, position: int) -> tuple[bytes, int, int]:
    """Kind, start of the body and end of the box at `position`."""
    if position + 8 > len(data):
        raise _cut()
    size, kind = struct.unpack_from(">I4s", data, position)
    body = position + 8
    if size == 1:
        if body + 8 > len(data):
            raise _cut()
        size = struct.unpack_from(">Q", data, body)[0]
        body += 8
    end = len(data) if size == 0 else position + size
    if end < body:
        raise _broken()
    if end > len(data):
        raise _cut()
    return kind, body, end


def read_gif(data: bytes, *, max_metadata_bytes: int) -> GifContainer:
    """Walk the blocks of the whole file. Raises ImageRejected unless it is exactly one GIF with bounded metadata."""
    refuse_polyglot(data)
    walk = _GifWalk(data, max_metadata_bytes)
    container = walk.read()
    rest = data[walk.position :]
    if len(rest) > MAX_PADDING or rest.strip(b"\0"):
        raise ImageRejected("not_an_image", "There are foreign bytes after the end of the clip.")
    return container


class _GifWalk:
    """Reads a GIF block by block; `position` is what comes next."""

    def __init__(self, data: bytes, max_metadata_bytes: int) -> None:
        self.data = data
        self.position = len(GIF_MAGICS[0])
        self.blocks_left = MAX_GIF_BLOCKS
        self.metadata_left = max_metadata_bytes

    def read(self) -> GifContainer:
        width, height, flags, _, _ = struct.unpack("<HHBBB", self._take(7))
        self._skip_colours(flags)
        frames = duration = 0
        delay = GIF_USUAL_DELAY
        while (kind := self._take(1)) != b";":
            if kind == b",":
                self._take_frame(width, height)
                frames += 1
                duration += delay
                delay = GIF_USUAL_DELAY
            elif kind == b"!":
                label = self._take(1)
                body_start = self.position
                byte_size = self._skip_blocks()
                if label == b"\xf9" and byte_size >= 4:
                    told = struct.unpack_from("<H", self.data, body_start + 2)[0]
                    delay = told if told >= GIF_MIN_DELAY else GIF_USUAL_DELAY
                self.metadata_left -= byte_size
                if self.metadata_left < 0:
                    raise ImageRejected("too_large", "The clip carries too much metadata.")
            else:
                raise _broken()
        return GifContainer(width, height, frames, duration * 10)

    def _take_frame(self, width: int, height: int) -> None:
        left, top, frame_width, frame_height, flags = struct.unpack("<HHHHB", self._take(9))
        if left + frame_width > width or top + frame_height > height:
            raise ImageRejected("not_an_image", "A frame of the clip lies outside of it.")
        self._skip_colours(flags)
        self._take(1)  # the width of a code
        self._skip_blocks()

    def _take(self, count: int) -> bytes:
        taken = self.data[self.position : self.position + count]
        if len(taken) < count:
            raise _cut()
        self.position += count
        return taken

    def _skip_colours(self, flags: int) -> None:
        if flags & 0x80:
            self._take(3 << (flags & 7) + 1)

    def _skip_blocks(self) -> int:
        """Pass by blocks of up to 255 bytes; how many bytes they hold."""
        byte_size = 0
        while length := self._take(1)[0]:
            self._take(length)
            byte_size += length
            self.blocks_left -= 1
            if self.blocks_left < 0:
                raise ImageRejected("too_large", "The clip is made of too many parts.")
        return byte_size


def _cut() -> ImageRejected:
    return ImageRejected("truncated", "The clip ends too early.")


def _broken() -> ImageRejected:
    return ImageRejected("not_an_image", "The clip's headers are broken.")
