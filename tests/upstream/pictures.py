"""Pictures and clips by the byte, made without any code of the project."""

import base64
import io
import struct
import zlib
from functools import cache

from PIL import Image

Colour = tuple[int, int, int]
TEAL: Colour = (0, 128, 128)


@cache
def png(width: int = 1024, height: int = 1024, colour: Colour = TEAL) -> bytes:
    """A PNG of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 1)) + _chunk(b"IEND")


def _chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def still(image_format: str, width: int = 64, height: int = 64, colour: Colour = TEAL) -> bytes:
    """A picture in a format of Pillow's: JPEG, WEBP, GIF, BMP, TIFF."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, image_format)
    return out.getvalue()


def gif(width: int = 64, height: int = 48, *, frames: int = 20, frame_ms: int = 100) -> bytes:
    """An animation."""
    pictures = [Image.new("RGB", (width, height), (255 * i // frames, 64, 64)) for i in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=frame_ms, loop=0)
    return out.getvalue()


def clip(container: str = "mp4", *, width: int = 64, height: int = 48, seconds: float = 2.0, rate: int = 10) -> bytes:
    """A video without sound: H.264 in mp4, mov or matroska, VP9 in webm."""
    import av
    import numpy as np

    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream("libvpx-vp9" if container == "webm" else "libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(max(1, round(seconds * rate))):
            tone = np.full((height, width, 3), 8 * number % 256, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(tone, format="rgb24")))
        file.mux(stream.encode())
    return out.getvalue()


def png_bomb(side: int = 20_000) -> bytes:
    """A PNG of side x side one-bit pixels in a few kilobytes."""
    rows = bytes(1 + side // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(rows) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


def b64(data: bytes | str) -> str:
    """Base64 of bytes; a text is taken as it is, for what is no base64."""
    return data if isinstance(data, str) else base64.b64encode(data).decode()


def data_uri(data: bytes | str, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{b64(data)}"
