"""The container around a picture, read without decoding: PNG chunks, JPEG segments, WebP chunks.

Pillow reads what it needs and skips the rest; here every byte of the file is accounted for, so that nothing rides
along: no second picture, no archive, no script after the end, no metadata that swells when it is unpacked.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Reason = Literal["not_an_image", "truncated", "too_large"]
Format = Literal["png", "jpeg", "webp"]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"

MAX_PADDING = 64  # NUL bytes after the end that some writers leave; nothing can be hidden in them
MAX_PNG_CHUNKS = (
    65_536  # 32 MiB in IDATs of 512 bytes; a walk over millions of empty chunks would be a denial of service
)
INFLATE_PIECE = 1024 * 1024
MAX_JPEG_SCANS = 64  # encoders write about 10; each scan costs a pass over all pixels

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
PNG_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
PNG_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
PNG_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

# Start of frame markers that every browser decodes: baseline, extended, progressive.
JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
JPEG_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
JPEG_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # FF00 is a stuffed byte, FFD0 to FFD7 restart a scan


class ImageRejected(Exception):
    """A file is no picture that we keep. `reason` is an attempt's outcome; `detail` is a sentence safe to show."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Container:
    """What the headers say of the one picture inside."""

    width: int
    height: int
    has_c2pa: bool


def sniff_format(head: bytes) -> Format | None:
    """The format that the first bytes (12 suffice) announce; the name of a file and its declared type prove nothing."""
    if head.startswith(PNG_MAGIC):
        return "png"
    if head.startswith(JPEG_MAGIC):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None


def read_container(data: bytes, image_format: Format, *, max_metadata_bytes: int) -> Container:
    """Walk the whole file; raise ImageRejected unless it is exactly one picture with bounded metadata."""
    meter = _MetadataMeter(max_metadata_bytes)
    container, end = READERS[image_format](data, meter)
    rest = data[end:]
    if len(rest) > MAX_PADDING or rest.strip(b"\0"):
        raise ImageRejected("not_an_image", "There are foreign bytes after the end of the picture.")
    refuse_polyglot(data)
    return container


class _MetadataMeter:
    """Adds up the metadata of one file as it would be after unpacking. C2PA is not counted: it is not compressed."""

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes

    def add(self, byte_size: int) -> None:
        self.left -= byte_size
        if self.left < 0:
            raise ImageRejected("too_large", "The picture carries too much metadata.")

    def add_deflated(self, deflated: memoryview) -> None:
        try:
            self.add(len(zlib.decompressobj().decompress(deflated, self.left + 1)))
        except zlib.error:
            self.add(len(deflated))


def refuse_polyglot(data: bytes) -> None:
    """Raise ImageRejected for a file that is a document or an archive as well."""
    # PDF readers look for their magic in the first KiB, ZIP readers for a directory's end in the last 64 KiB.
    is_pdf = b"%PDF-" in data[:1024]
    is_zip = b"PK\x05\x06" in data[-65_557:] and b"PK\x01\x02" in data
    if is_pdf or is_zip:
        raise ImageRejected("not_an_image", "The file is a picture and another kind of document at once.")


def _cut() -> ImageRejected:
    return ImageRejected("truncated", "The picture ends too early.")


def _broken() -> ImageRejected:
    return ImageRejected("not_an_image", "The picture's headers are broken.")


def _animated() -> ImageRejected:
    return ImageRejected("too_large", "The file holds more than one frame.")


# PNG


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    view = memoryview(data)
    position = len(PNG_MAGIC)
    for _ in range(MAX_PNG_CHUNKS):
        if position + 12 > len(data):
            raise _cut()
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise _cut()
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageRejected("not_an_image", "A checksum inside the picture is wrong.")
        yield kind, view[position + 8 : end - 4], end
        if kind == b"IEND":
            return
        position = end
    raise ImageRejected("too_large", "The picture is made of too many parts.")


def _read_png(data: bytes, meter: _MetadataMeter) -> tuple[Container, int]:
    has_c2pa = False
    deflated_pixels = 0
    chunks = _png_chunks(data)
    kind, header, end = next(chunks)
    if kind != b"IHDR" or len(header) != 13:
        raise _broken()
    width, height = struct.unpack_from(">II", header)
    for kind, body, end in chunks:  # noqa: B007
        if kind == b"IDAT":
            deflated_pixels += len(body)
        elif kind == b"caBX":
            has_c2pa = True
        elif kind in PNG_ANIMATION:
            raise _animated()
        elif kind == b"IHDR" or (kind[:1].isupper() and kind not in PNG_CRITICAL):
            raise _broken()
        elif kind[:1].islower():
            _meter_png_chunk(kind, body, meter)
    # More than deflate's own overhead on top cannot be pixels: it is a bomb, or a cache of foreign bytes.
    if deflated_pixels > _png_pixel_bytes(header) * 9 // 8 + 1024:
        raise ImageRejected("not_an_image", "The picture holds more data than its size can need.")
    return Container(width, height, has_c2pa), end


def _png_pixel_bytes(header: memoryview) -> int:
    """Bytes of all rows before compression, each with its filter byte."""
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = PNG_CHANNELS.get(colour_type, 4) * depth
    total = 0
    for left, top, step_x, step_y in PNG_PASSES if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -((left - width) // step_x), -((top - height) // step_y)
        if columns > 0 and rows > 0:
            total += ((columns * bits + 7) // 8 + 1) * rows
    return total


def holds_all_png_pixels(data: bytes) -> bool:
    """Whether the compressed rows of a PNG that was walked before reach to the last one; costs as much as a decode."""
    inflate = zlib.decompressobj()
    missing = 0
    for kind, body, _ in _png_chunks(data):
        if kind == b"IHDR":
            missing = _png_pixel_bytes(body)
        rest: bytes | memoryview = body if kind == b"IDAT" else b""
        while rest and missing > 0:
            missing -= len(inflate.decompress(rest, INFLATE_PIECE))
            rest = inflate.unconsumed_tail
    return missing <= 0


def _meter_png_chunk(kind: bytes, body: memoryview, meter: _MetadataMeter) -> None:
    if kind in (b"zTXt", b"iCCP"):  # name NUL method deflated
        _, _, rest = bytes(body).partition(b"\0")
        meter.add_deflated(memoryview(rest)[1:])
    elif kind == b"iTXt":  # keyword NUL flag method language NUL keyword NUL text
        _, _, rest = bytes(body).partition(b"\0")
        text = rest[2:].split(b"\0", 2)[-1]
        if rest[:1] == b"\x01":
            meter.add_deflated(memoryview(text))
        else:
            meter.add(len(body))
    else:
        meter.add(len(body))


# JPEG


def _read_jpeg(data: bytes, meter: _MetadataMeter) -> tuple[Container, int]:
    size: tuple[int, int] | None = None
    has_c2pa = False
    scans = 0
    position = 2
    while True:
        marker, position = _jpeg_marker(data, position)
        if marker == 0xD9:
            break
        if position + 2 > len(data):
            raise _cut()
        length = struct.unpack_from(">H", data, position)[0]
        end = position + length
        if length < 2 or marker in JPEG_OTHER_FRAMES or (marker in JPEG_FRAMES and size is not None):
            raise _broken()
        if end > len(data):
            raise _cut()
        if marker in JPEG_FRAMES:
            if length < 8:
                raise _broken()
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = width, height
        elif marker == 0xEB and data[position + 2 : position + 4] == b"JP":
            has_c2pa = True
        elif marker == 0xFE or 0xE0 <= marker <= 0xEF:
            meter.add(length)
        elif marker == 0xDA:
            scans += 1
            if scans > MAX_JPEG_SCANS:
                raise ImageRejected("too_large", "The picture is made of too many scans.")
            end = _skip_scan(data, end)
        position = end
    if size is None or scans == 0:
        raise _broken()
    return Container(*size, has_c2pa), position


def _jpeg_marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at `position` and where its segment starts; any number of FF may fill the space before it."""
    start = position
    while data[position : position + 1] == b"\xff":
        position += 1
    if position >= len(data):
        raise _cut()
    if position == start or data[position] in (0x00, 0x01, 0xD8) or 0xD0 <= data[position] <= 0xD7:
        raise _broken()
    return data[position], position + 1


def _skip_scan(data: bytes, position: int) -> int:
    found = JPEG_NEXT_MARKER.search(data, position)
    if found is None:
        raise _cut()
    return found.start()


# WebP


def _read_webp(data: bytes, meter: _MetadataMeter) -> tuple[Container, int]:
    riff_end = 8 + struct.unpack_from("<I", data, 4)[0]
    if riff_end > len(data):
        raise _cut()
    canvas: tuple[int, int] | None = None
    picture: tuple[int, int] | None = None
    has_c2pa = False
    position = 12
    while position < riff_end:
        if position + 8 > riff_end:
            raise _broken()
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
        if position > riff_end:
            raise _broken()
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and body[:1] and body[0] & 0x02):
            raise _animated()
        if kind == b"VP8X" and canvas is None and picture is None and length == 10:
            canvas = _little_24(body, 4) + 1, _little_24(body, 7) + 1
        elif kind in (b"VP8 ", b"VP8L") and picture is None:
            picture = _webp_frame_size(kind, body)
        elif kind == b"C2PA":
            has_c2pa = True
        elif kind in (b"VP8X", b"VP8 ", b"VP8L"):
            raise _broken()
        elif kind != b"ALPH":
            meter.add(length)
    if picture is None:
        raise _broken()
    if canvas is not None and canvas != picture:
        raise ImageRejected("not_an_image", "The picture's size is not the size that its header tells.")
    return Container(*picture, has_c2pa), riff_end


def _little_24(body: bytes, offset: int) -> int:
    return int.from_bytes(body[offset : offset + 3], "little")


def _webp_frame_size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8 " and len(body) >= 10 and not body[0] & 1 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise _broken()


READERS: dict[Format, Callable[[bytes, _MetadataMeter], tuple[Container, int]]] = {
    "png": _read_png,
    "jpeg": _read_jpeg,
    "webp": _read_webp,
}
