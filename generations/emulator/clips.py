"""Short clips: a slow walk across a painting, as MP4 (H.264) or as an animated GIF. The same wish, the same bytes."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from generations.emulator.painter import SOFTWARE, Wish, paint

MP4_FRAMES_PER_S = 15
GIF_FRAMES_PER_S = 10
GIF_SIDE = 480  # the longer side at most: GIF is for quick sharing
MARGIN = 1.2  # how much larger the painting is than a frame


def write_clip(wish: Wish, out: BinaryIO) -> None:
    """Paint a wish that has seconds and write its encoded bytes to a file."""
    if wish.format == "GIF":
        shrink = min(1.0, GIF_SIDE / max(wish.width, wish.height))
        small = replace(wish, width=round(wish.width * shrink), height=round(wish.height * shrink))
        _write_gif(list(_frames(small, GIF_FRAMES_PER_S)), out)
    else:
        _write_mp4(wish, out)


def _frames(wish: Wish, frames_per_s: int) -> Iterator[Image.Image]:
    """The pictures of a clip, one after the other."""
    larger = replace(wish, width=round(wish.width * MARGIN), height=round(wish.height * MARGIN))
    painting = paint(larger).resize((larger.width, larger.height), Image.Resampling.BICUBIC)
    count = max(2, round(wish.seconds * frames_per_s))
    for index in range(count):
        way = (1 - math.cos(math.pi * index / (count - 1))) / 2  # sets off and arrives gently
        left = round((larger.width - wish.width) * way)
        top = round((larger.height - wish.height) * (1 - way))
        yield painting.crop((left, top, left + wish.width, top + wish.height))


def _write_gif(frames: list[Image.Image], out: BinaryIO) -> None:
    first = frames[0].quantize(128)
    rest = [frame.quantize(palette=first, dither=Image.Dither.NONE) for frame in frames[1:]]
    delay_ms = 1000 // GIF_FRAMES_PER_S
    first.save(out, "GIF", save_all=True, append_images=rest, duration=delay_ms, loop=0, comment=SOFTWARE.encode())


def _write_mp4(wish: Wish, out: BinaryIO) -> None:
    import av  # here, because it costs 50 MB and most emulators never make a clip

    with av.open(out, "w", format="mp4") as container:
        container.metadata["comment"] = SOFTWARE
        # One thread and no lookahead, or the same frames would give other bytes from time to time.
        options = {"preset": "veryfast", "crf": "26", "threads": "1", "x264-params": "rc-lookahead=0:mbtree=0"}
        stream = container.add_stream("libx264", rate=MP4_FRAMES_PER_S, options=options)
        stream.width, stream.height, stream.pix_fmt = wish.width & ~1, wish.height & ~1, "yuv420p"
        even = replace(wish, width=stream.width, height=stream.height)
        for picture in _frames(even, MP4_FRAMES_PER_S):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())
