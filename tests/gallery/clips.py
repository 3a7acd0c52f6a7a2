"""Small clips and broken ones, made by PyAV and by hand: nothing of this is kept in the repository."""

import struct
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image, ImageDraw

RED, BLUE, BLACK = "#c03020", "#2040c0", "#000000"
PIXEL_FORMATS = {"gif": "rgb8", "mjpeg": "yuvj420p"}


def frame_of(colour: str, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """One colour with a light bar along the upper edge; black is black all over."""
    image = Image.new("RGB", size, colour)
    if colour != BLACK:
        ImageDraw.Draw(image).rectangle((0, 0, size[0], size[1] // 4), fill="#ffffff")
    return image


def clip(
    codec: str = "libx264",
    *,
    frames: Sequence[Image.Image] | int = 10,
    rate: int = 10,
    sound_s: float = 0,
    container: str = "mp4",
    options: dict[str, str] | None = None,
    words: str = "",
) -> bytes:
    """A clip of red frames unless others are given, with silence of `sound_s` seconds.

    `words` stand wherever an MP4 has room for some: in its title, comment and place, and in the name of its track.
    """
    pictures = [frame_of(RED)] * frames if isinstance(frames, int) else frames
    with TemporaryDirectory() as directory:  # a file, because moving the index to the front reads it again
        path = Path(directory) / "clip"
        with av.open(path, "w", format=container, options=options or {}) as target:
            target.metadata.update({name: words for name in ("title", "comment", "artist") if words})
            if words:
                target.metadata["location"] = f"+48.8582+002.2945/{words}"
            if pictures:
                stream = target.add_stream(codec, rate=rate)
                stream.metadata.update({"handler_name": words} if words else {})
                stream.width, stream.height = pictures[0].size
                stream.pix_fmt = PIXEL_FORMATS.get(codec, "yuv420p")
            sound = target.add_stream("aac", rate=44_100) if sound_s else None
            for picture in pictures:
                target.mux(stream.encode(av.VideoFrame.from_image(picture)))
            if pictures:
                target.mux(stream.encode())
            if sound is not None:
                silence = np.zeros((1, round(44_100 * sound_s)), dtype=np.float32)
                samples = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
                samples.sample_rate = 44_100
                target.mux(sound.encode(samples))
                target.mux(sound.encode())
        return path.read_bytes()


def gif(frames: int = 10, rate: int = 10) -> bytes:
    return clip("gif", frames=[frame_of(RED), *[frame_of(BLUE)] * (frames - 1)], rate=rate, container="gif")


def box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def patched(data: bytes, after: bytes, offset: int, value: bytes, *, nth: int = 0) -> bytes:
    """The bytes with `value` written at `offset` behind the nth occurrence of a box's name."""
    position = -1
    for _ in range(nth + 1):
        position = data.index(after, position + 1)
    start = position + len(after) + offset
    return data[:start] + value + data[start + len(value) :]
