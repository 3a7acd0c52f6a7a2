"""Hostile, broken and odd picture files, made by code: nothing of this is kept in the repository.

`corpus()` gives every file by name; what becomes of each is the table in test_hostile_images.py.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from io import BytesIO

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SCRIPT = b"<script>alert(1)</script>"


def picture(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A small picture with some detail."""
    image = Image.new("RGB", size, "#3060a0")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 4, size[1] // 2), fill="#f0c040")
    return image.convert(mode)


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    output = BytesIO()
    image.save(output, format=image_format, **options)
    return output.getvalue()


def zip_archive() -> bytes:
    output = BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("evil.class", "bytes")
    return output.getvalue()


# PNG


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, depth: int = 8, colour_type: int = 2) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return PNG_MAGIC + b"".join(chunks) + png_chunk(b"IEND")


def png_with(*chunks: bytes) -> bytes:
    """A good 2 x 2 picture with further chunks between header and pixels."""
    return png(png_header(2, 2), *chunks, png_chunk(b"IDAT", zlib.compress(b"\0\x30\x60\xa0\x30\x60\xa0" * 2)))


def deflated_zeros(byte_size: int) -> bytes:
    deflate = zlib.compressobj(9)
    block = bytes(1024 * 1024)
    pieces = [deflate.compress(block[: min(len(block), byte_size - done)]) for done in range(0, byte_size, len(block))]
    return b"".join(pieces) + deflate.flush()


def one_bit_png(side: int) -> bytes:
    return png(
        png_header(side, side, depth=1, colour_type=0), png_chunk(b"IDAT", deflated_zeros((side // 8 + 1) * side))
    )


def sixteen_bit_png(colour_type: int, channels: int) -> bytes:
    row = b"\0" + struct.pack(">H", 0x8000) * channels * 4
    return png(png_header(4, 4, depth=16, colour_type=colour_type), png_chunk(b"IDAT", zlib.compress(row * 4)))


def interlaced_png(*, complete: bool) -> bytes:
    """Black, 9 x 9: seven passes of 2 x 2, 1 x 2, 3 x 1, 2 x 3, 5 x 2, 4 x 5 and 9 x 4 pixels."""
    passes = [(2, 2), (1, 2), (3, 1), (2, 3), (5, 2), (4, 5), (9, 4)]
    rows = b"".join(bytes(columns + 1) * rows for columns, rows in (passes if complete else passes[:-1]))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 1))
    return png(header, png_chunk(b"IDAT", zlib.compress(rows)))


def flipped_bit(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def png_files() -> dict[str, bytes]:
    good = saved(picture(), "PNG")
    bomb = deflated_zeros(64 * 1024 * 1024)
    pixels_start = good.index(b"IDAT") + 4
    return {
        "png": good,
        "png 1x1": saved(picture(size=(1, 1)), "PNG"),
        "png 1-bit": saved(picture("1"), "PNG"),
        "png greyscale": saved(picture("L"), "PNG"),
        "png grey and alpha": saved(picture("LA"), "PNG"),
        "png palette": saved(picture("P"), "PNG"),
        "png palette with transparency": saved(picture("P"), "PNG", transparency=0),
        "png alpha": saved(picture("RGBA"), "PNG"),
        "png 16-bit grey": sixteen_bit_png(0, 1),
        "png 16-bit colour": sixteen_bit_png(2, 3),
        "png 16-bit alpha": sixteen_bit_png(6, 4),
        "png with C2PA": png_with(png_chunk(b"caBX", b"jumb c2pa" * 1000)),
        "png with script in its text": png_with(png_chunk(b"tEXt", b"Comment\0" + SCRIPT)),
        "png padded with NUL": good + bytes(16),
        "png 12000x12000 of 1 bit": one_bit_png(12_000),
        "png 20000x20000 of 1 bit": one_bit_png(20_000),
        "png header of 2^31 pixels a side": png(
            png_header(2**31 - 1, 2**31 - 1), png_chunk(b"IDAT", zlib.compress(b"\0"))
        ),
        "png 1x65535": png(png_header(1, 65_535, 8, 0), png_chunk(b"IDAT", zlib.compress(bytes(2 * 65_535)))),
        "png without width": png(png_header(0, 4), png_chunk(b"IDAT", zlib.compress(bytes(4)))),
        "png 1x1 with 64 MiB of deflated pixels": png(png_header(1, 1), png_chunk(b"IDAT", bomb)),
        "png zTXt bomb": png_with(png_chunk(b"zTXt", b"Comment\0\0" + bomb)),
        "png iTXt bomb": png_with(png_chunk(b"iTXt", b"Comment\0\x01\0en\0Comment\0" + bomb)),
        "png iCCP bomb": png_with(png_chunk(b"iCCP", b"profile\0\0" + bomb)),
        "png text of 10 MB": png_with(png_chunk(b"tEXt", b"Comment\0" + b"x" * 10_000_000)),
        "png 300 texts of 64 KiB, deflated": png_with(
            *[png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(65_536)))] * 300
        ),
        "png 70000 chunks": png_with(*[png_chunk(b"tEXt")] * 70_000),
        "png magic only": PNG_MAGIC,
        "png first byte": PNG_MAGIC[:1],
        "png cut in its header": good[:20],
        "png cut in its pixels": good[: pixels_start + 10],
        "png without end": good[:-12],
        "png cut in its end": good[:-1],
        "png black to its last row": saved(Image.new("RGB", (24, 16)), "PNG"),
        "png interlaced, black": interlaced_png(complete=True),
        "png interlaced without its last pass": interlaced_png(complete=False),
        "png with a cut deflate stream": png(
            png_header(64, 64), png_chunk(b"IDAT", zlib.compress(bytes(193 * 64))[:-8])
        ),
        "png with half of its pixels": png(png_header(64, 64), png_chunk(b"IDAT", zlib.compress(bytes(193 * 32)))),
        "png without pixels": png(png_header(2, 2)),
        "png wrong checksum": flipped_bit(good, pixels_start + 10),
        "png broken deflate": png(png_header(2, 2), png_chunk(b"IDAT", b"this is no deflate stream")),
        "png two headers": png_with(png_header(9000, 9000)),
        "png unknown critical chunk": png_with(png_chunk(b"EVIL", b"x")),
        "png script after the end": good + SCRIPT,
        "png zip after the end": good + zip_archive(),
        "png zip in a chunk": png_with(png_chunk(b"zzZz", zip_archive())),
        "png pdf in its text": png_with(png_chunk(b"tEXt", b"Comment\0%PDF-1.7 obj")),
        "png second png after the end": good + good,
        "png animated": saved(picture(), "PNG", save_all=True, append_images=[picture("L").convert("RGB")]),
    }


# JPEG


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(good: bytes, *segments: bytes) -> bytes:
    """Further segments straight after the start of the picture."""
    return good[:2] + b"".join(segments) + good[2:]


def with_jpeg_size(good: bytes, width: int, height: int) -> bytes:
    position = good.index(b"\xff\xc0") + 5
    return good[:position] + struct.pack(">HH", height, width) + good[position + 4 :]


def repeated_scan(progressive: bytes, times: int) -> bytes:
    start = progressive.rindex(b"\xff\xda")
    return progressive[:start] + progressive[start:-2] * times + progressive[-2:]


def jpeg_files() -> dict[str, bytes]:
    good = saved(picture(), "JPEG")
    progressive = saved(picture(), "JPEG", progressive=True)
    pixels_start = good.index(b"\xff\xda")
    jumbf = b"JP\0\1\0\0\0\1" + b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa"
    return {
        "jpeg": good,
        "jpeg progressive": progressive,
        "jpeg greyscale": saved(picture("L"), "JPEG"),
        "jpeg cmyk": saved(picture("CMYK"), "JPEG"),
        "jpeg with C2PA": jpeg_with(good, jpeg_segment(0xEB, jumbf)),
        "jpeg padded with NUL": good + bytes(16),
        "jpeg 6000x6000 of nothing": with_jpeg_size(good, 6000, 6000),
        "jpeg 65535x65535": with_jpeg_size(good, 65_535, 65_535),
        "jpeg 8000x8000 of nothing": with_jpeg_size(good, 8000, 8000),
        "jpeg 40000x2": with_jpeg_size(good, 40_000, 2),
        "jpeg without height": with_jpeg_size(good, 24, 0),
        "jpeg magic only": good[:3],
        "jpeg cut in its header": good[:100],
        "jpeg cut in its pixels": good[: pixels_start + 20],
        "jpeg without end": good[:-2],
        "jpeg start and end": b"\xff\xd8\xff\xd9",
        "jpeg without scan": good[:pixels_start] + b"\xff\xd9",
        "jpeg lossless frame": good.replace(b"\xff\xc0", b"\xff\xc3", 1),
        "jpeg two frames": jpeg_with(good, jpeg_segment(0xC0, b"\x08" + struct.pack(">HHB", 9000, 9000, 3) + bytes(9))),
        "jpeg noise between segments": jpeg_with(good, b"noise"),
        "jpeg 1000 scans": repeated_scan(progressive, 1000),
        "jpeg comments of 2 MB": jpeg_with(good, *[jpeg_segment(0xFE, bytes(60_000))] * 34),
        "jpeg script after the end": good + SCRIPT,
        "jpeg zip after the end": good + zip_archive(),
        "jpeg zip in a comment": jpeg_with(good, jpeg_segment(0xFE, zip_archive())),
        "jpeg pdf in a comment": jpeg_with(good, jpeg_segment(0xFE, b"%PDF-1.7 obj")),
        "jpeg of two pictures": saved(picture(), "MPO", save_all=True, append_images=[picture()]),
    }


# WebP


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_extended(width: int, height: int, flags: int = 0) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + canvas)


def webp_files() -> dict[str, bytes]:
    good = saved(picture(), "WEBP")
    frame = good[12:]
    frames: Iterable[Image.Image] = [picture("L").convert("RGB")]
    return {
        "webp": good,
        "webp lossless": saved(picture(), "WEBP", lossless=True),
        "webp alpha": saved(Image.new("RGBA", (24, 16), (48, 96, 160, 128)), "WEBP"),
        "webp with C2PA": webp(webp_extended(24, 16), frame, webp_chunk(b"C2PA", b"jumb c2pa")),
        "webp canvas of 16383x16383": webp(webp_extended(16_383, 16_383), frame),
        "webp lossless 6000x6000 of nothing": webp(
            webp_chunk(b"VP8L", b"\x2f" + (5999 | 5999 << 14).to_bytes(4, "little") + bytes(64))
        ),
        "webp canvas larger than its picture": webp(webp_extended(4000, 4000), frame),
        "webp animated": saved(picture(), "WEBP", save_all=True, append_images=frames),
        "webp that says it is animated": webp(webp_extended(24, 16, flags=0x02), frame),
        "webp two pictures": webp(webp_extended(24, 16), frame, frame),
        "webp without picture": webp(webp_extended(24, 16)),
        "webp magic only": good[:12],
        "webp cut in its header": good[:10],
        "webp cut in its pixels": good[:-20],
        "webp pixels shorter than told": webp(webp_chunk(b"VP8 ", good[20:60])),
        "webp chunk longer than the file": good[:16] + b"\xff\xff\xff\x7f" + good[20:],
        "webp metadata of 2 MB": webp(webp_extended(24, 16, flags=0x08), frame, webp_chunk(b"EXIF", bytes(2_000_000))),
        "webp script after the end": good + SCRIPT,
    }


def other_files() -> dict[str, bytes]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    return {
        "nothing": b"",
        "gif": saved(picture("P"), "GIF"),
        "bmp": saved(picture(), "BMP"),
        "tiff": saved(picture(), "TIFF"),
        "ico": saved(picture(size=(32, 32)), "ICO"),
        "eps": saved(picture(), "EPS"),
        "pdf": saved(picture(), "PDF"),
        "svg": svg,
        "html": b"<!doctype html>" + SCRIPT,
        "heic": struct.pack(">I", 24) + b"ftypheic" + bytes(64),
        "zip": zip_archive(),
        "noise": bytes(range(256)) * 16,
        "png behind a script": SCRIPT + saved(picture(), "PNG"),
        "riff that is no webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
    }


def corpus() -> dict[str, bytes]:
    """Every file by name."""
    return png_files() | jpeg_files() | webp_files() | other_files()


def jpeg_with_location() -> bytes:
    """A JPEG whose EXIF tells where it was taken."""
    exif = Image.Exif()
    exif[0x010E] = "private note"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    return saved(picture(size=(64, 48)), "JPEG", exif=exif, comment=b"private comment")


def png_with_text() -> bytes:
    text = PngInfo()
    text.add_text("parameters", "private prompt")
    return saved(picture(size=(64, 48)), "PNG", pnginfo=text)
