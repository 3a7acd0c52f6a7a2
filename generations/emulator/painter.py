"""Deterministic pictures for prompts: the same wish always gives the same bytes.

The words of a prompt pick a style and a palette, the digest of prompt and seed decides the rest. A picture is painted
on a canvas of at most one megapixel and enlarged band by band while it is encoded, so a 4K picture never exists in
memory as pixels.

Pictures that were sent along show: the colours of references replace the palette, and an edited picture keeps its tones
and takes the colours of the new words.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from generations.emulator.brushes import Colour, Palette, ramp, stretched
from generations.emulator.styles import STYLES

PALETTES = {
    "dawn": Palette(("#fbe3c0", "#f4b183", "#d97b6c", "#7d4e6d", "#2c2440")),
    "dusk": Palette(("#f6c9a0", "#e58a6f", "#a9566f", "#4d3a66", "#1c1b33")),
    "ocean": Palette(("#dff1ec", "#9fd0cf", "#4f9ca8", "#1f5f78", "#0d2c43")),
    "forest": Palette(("#eef0d8", "#c3cfa1", "#83a077", "#41705c", "#17352f")),
    "desert": Palette(("#fbe8c8", "#f0c48a", "#d9935a", "#a65a3c", "#4f2a26")),
    "night": Palette(("#c9d3ee", "#7f8fc9", "#4a5596", "#262b5c", "#0e1029")),
    "neon": Palette(("#ffd166", "#ff5d8f", "#a23bd6", "#3b1f7a", "#0c0a24")),
    "banana": Palette(("#fff3c4", "#ffd84d", "#f0a93a", "#7a8b4f", "#2b3a2e")),
    "paper": Palette(("#f5efe2", "#e4593a", "#f2b632", "#2f6f73", "#22262b")),
    "ink": Palette(("#f4f1ea", "#cfc8ba", "#948d80", "#55514a", "#1f1e1c")),
    "rose": Palette(("#fdeae6", "#f5bdb6", "#df8092", "#8e4a70", "#33213f")),
    "aurora": Palette(("#d8ffe9", "#74e0b3", "#3aa0a8", "#27477f", "#0a1230")),
}
PALETTE_WORDS = {
    "dawn": "dawn sunrise morning peach mist",
    "dusk": "dusk sunset evening golden",
    "ocean": "ocean sea reef water wave lagoon harbour",
    "forest": "forest moss leaf fern garden botanical jungle",
    "desert": "desert dune sand clay canyon terracotta",
    "night": "night moon star midnight winter",
    "neon": "neon cyberpunk arcade city rain",
    "banana": "banana lemon yellow summer citrus",
    "paper": "poster bauhaus geometric print collage",
    "ink": "ink paper sketch charcoal monochrome",
    "rose": "rose blossom pink flower portrait",
    "aurora": "aurora borealis glacier ice polar",
}
STYLE_WORDS = {
    "ridges": "mountain ridge landscape hill valley mist forest fjord canyon dawn",
    "dunes": "dune desert sand wave sea ocean fabric silk",
    "skyline": "city skyline neon street tower night alley rain harbour",
    "poster": "poster bauhaus geometric print pattern tile collage logo",
    "flow": "flow hair wind current ink fur river lines portrait",
    "mesh": "gradient abstract soft blur glow mood reef bokeh",
    "orbs": "still life product orb sphere fruit ceramic marble object studio banana",
    "aurora": "aurora borealis polar star night sky",
    "botanical": "botanical leaf fern plant flower garden herbarium sketch",
    "contour": "map contour topographic terrain agate wood rings",
}

CANVAS_PIXELS = 1_200_000  # every 1K picture is painted at its own size; larger ones are enlarged from that
BAND_ROWS = 128
SOFTWARE = "Plantain emulator"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    "</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
).encode()
MIME_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "MP4": "video/mp4",
    "GIF": "image/gif",
}

# A fine grain against banding. Bytes wrap on addition, so bands are clipped to GRAIN_LIMIT..255-GRAIN_LIMIT before it.
GRAIN_LIMIT = 4
_GRAIN = np.clip(np.random.default_rng(20).normal(0, 1.1, (BAND_ROWS, 256)).round(), -GRAIN_LIMIT, GRAIN_LIMIT)
_GRAIN_TILE = np.repeat(_GRAIN.astype(np.int8).view(np.uint8)[..., None], 3, axis=2)


Thumbnail = tuple[int, int, bytes]  # width, height and the grey tones of a picture, row by row


@dataclass(frozen=True)
class Wish:
    """What decides a picture; format is PNG, JPEG or WEBP, or with some seconds MP4 or GIF."""

    prompt: str
    seed: int
    width: int
    height: int
    format: str = "PNG"
    tints: tuple[Colour, ...] = ()  # the colours of references
    edited: Thumbnail | None = None  # the picture that is to be changed
    seconds: float = 0.0

    @property
    def mime_type(self) -> str:
        return MIME_TYPES[self.format]

    def variant(self) -> "Wish":
        """Another picture for the same prompt."""
        return replace(self, seed=self.seed + 1)


def paint(wish: Wish) -> Image.Image:
    """The canvas for a wish: an RGB picture of its shape, of at most CANVAS_PIXELS."""
    rng, style, palette = _choose(wish)
    shrink = min(1.0, (CANVAS_PIXELS / (wish.width * wish.height)) ** 0.5)
    width, height = max(16, round(wish.width * shrink)), max(16, round(wish.height * shrink))
    colours = _tinted(wish.tints) if wish.tints else PALETTES[palette]
    if wish.edited:
        return _recolour(wish.edited, width, height, colours)
    return STYLES[style](rng, width, height, colours)


def describe(wish: Wish) -> str:
    """One sentence about the picture for a wish."""
    _, style, palette = _choose(wish)
    subject = "The picture from before" if wish.edited else (STYLES[style].__doc__ or style).rstrip(".")
    return f"{subject}, in the colours of {'the reference' if wish.tints else palette}."


def write_picture(wish: Wish, out: BinaryIO) -> None:
    """Paint a wish and write its encoded bytes, provenance included, to a file."""
    canvas = paint(wish)
    if wish.format == "PNG":
        _write_png(canvas, wish.width, wish.height, out)
        return
    picture = Image.fromarray(np.concatenate(list(_bands(canvas, wish.width, wish.height))))
    picture.save(out, wish.format, quality=88, method=0, xmp=XMP)


def _choose(wish: Wish) -> tuple[np.random.Generator, str, str]:
    """The generator for a wish, its style and its palette."""
    digest = hashlib.sha256(f"{wish.prompt.strip().lower()}\x1f{wish.seed}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint64))
    return rng, _pick(wish.prompt, STYLE_WORDS, rng), _pick(wish.prompt, PALETTE_WORDS, rng)


def _pick(prompt: str, table: dict[str, str], rng: np.random.Generator) -> str:
    words = {word.strip(".,;:!?\"'()").rstrip("s") for word in prompt.lower().split()}
    scores = {name: len(words & {word.rstrip("s") for word in text.split()}) for name, text in table.items()}
    best = max(scores.values())
    names = [name for name, score in scores.items() if score == best]
    return names[int(rng.integers(len(names)))]


def _tinted(tints: tuple[Colour, ...]) -> Palette:
    """Five tones of these colours, from light to dark; several colours take turns."""
    tones = []
    for index, (light, dark) in enumerate(((0.72, 1.0), (0.36, 1.0), (0.0, 1.0), (0.0, 0.62), (0.0, 0.28))):
        tint = tints[index % len(tints)]
        tones.append("#" + "".join(f"{round((value + (255 - value) * light) * dark):02x}" for value in tint))
    return Palette(tuple(tones))


def _recolour(edited: Thumbnail, width: int, height: int, palette: Palette) -> Image.Image:
    """The tones of a picture in other colours, light ones for what was light."""
    tones = Image.frombytes("L", edited[:2], edited[2])
    tones = tones.resize((width, height), Image.Resampling.BICUBIC, box=_centre(tones.size, width / height))
    darkness = 1 - stretched(np.asarray(tones, np.float32))
    return Image.fromarray(ramp(palette.colours, darkness).astype(np.uint8))


def _centre(size: tuple[int, int], shape: float) -> tuple[float, float, float, float]:
    """The largest box of a shape (width / height) in the middle of a picture."""
    width, height = size
    across, down = min(width, height * shape), min(height, width / shape)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _bands(canvas: Image.Image, width: int, height: int) -> Iterator[np.ndarray]:
    """The enlarged picture as arrays of BAND_ROWS rows, with grain."""
    grain = np.tile(_GRAIN_TILE, (1, -(-width // 256), 1))[:, :width]
    scale = canvas.height / height
    for top in range(0, height, BAND_ROWS):
        rows = min(BAND_ROWS, height - top)
        if canvas.size == (width, height):
            band = np.array(canvas.crop((0, top, width, top + rows)))
        else:
            # Resampling reads beyond the box, so neighbouring bands meet without a seam.
            box = (0, top * scale, canvas.width, min((top + rows) * scale, canvas.height))
            band = np.array(canvas.resize((width, rows), Image.Resampling.BICUBIC, box=box))
        np.clip(band, GRAIN_LIMIT, 255 - GRAIN_LIMIT, out=band)
        band += grain[:rows]
        yield band


def _write_png(canvas: Image.Image, width: int, height: int, out: BinaryIO) -> None:
    """Up filter and deflate level 1: half the time of Pillow's adaptive filters at the same size for such pictures."""
    out.write(b"\x89PNG\r\n\x1a\n")
    out.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
    out.write(_chunk(b"tEXt", b"Software\0" + SOFTWARE.encode()))
    out.write(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    deflate = zlib.compressobj(1)
    above = np.zeros(width * 3, np.uint8)
    for band in _bands(canvas, width, height):
        rows = band.reshape(len(band), width * 3)
        filtered = np.empty((len(rows), 1 + width * 3), np.uint8)
        filtered[:, 0] = 2
        np.subtract(rows[0], above, out=filtered[0, 1:])
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
        above = rows[-1]
        out.write(_chunk(b"IDAT", deflate.compress(filtered.data)))
    out.write(_chunk(b"IDAT", deflate.flush()))
    out.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
