"""Tools that the styles share: palettes, colour ramps, smooth noise, light, height lines."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]


def _rgb(hex_colour: str) -> np.ndarray:
    return np.array([int(hex_colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)


@dataclass(frozen=True)
class Palette:
    """Five colours, from the far and light end to the near and dark one."""

    hexes: tuple[str, ...]

    @cached_property
    def colours(self) -> np.ndarray:
        """The same five as a 5x3 array of floats in 0..255."""
        return np.stack([_rgb(colour) for colour in self.hexes])


def solid(colour: np.ndarray) -> Colour:
    """Three bytes for Pillow's drawing calls."""
    red, green, blue = (int(np.clip(value, 0, 255)) for value in colour)
    return red, green, blue


def ramp(colours: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Colours along t in 0..1, mixed in roughly linear light so that the middles do not go muddy."""
    stops, keys = np.linspace(0, 1, len(colours)), np.linspace(0, 1, 512)
    linear = (colours / 255.0) ** 2.2
    table = np.stack([np.interp(keys, stops, linear[:, channel]) for channel in range(3)], -1)
    table = (table ** (1 / 2.2) * 255).astype(np.float32)
    return table[(np.clip(t, 0, 1) * 511).astype(np.int16)]


def noise_line(rng: np.random.Generator, n: int, *, octaves: int = 5, base: int = 3, gain: float = 0.5) -> np.ndarray:
    """Smooth fractal noise along a line, in about -1..1."""
    x, total, amplitude = np.linspace(0, 1, n, dtype=np.float32), np.zeros(n, np.float32), 1.0
    for octave in range(octaves):
        cells = base * 2**octave + 2
        knots = rng.uniform(-1, 1, cells + 2).astype(np.float32)
        position = x * (cells - 1)
        i = position.astype(int)
        f = position - i
        f = f * f * (3 - 2 * f)
        total += amplitude * (knots[i] * (1 - f) + knots[i + 1] * f)
        amplitude *= gain
    return total


def noise_field(rng: np.random.Generator, w: int, h: int, *, cells: int = 3, octaves: int = 3) -> np.ndarray:
    """Smooth noise over a plane, in 0..1: small random grids, enlarged and summed."""
    total, amplitude, norm = np.zeros((h, w), np.float32), 1.0, 0.0
    for octave in range(octaves):
        k = cells * 2**octave + 1
        across, down = max(2, round(k * max(1, w / h))), max(2, round(k * max(1, h / w)))
        grid = Image.fromarray(rng.random((down, across), np.float32))
        total += amplitude * np.asarray(grid.resize((w, h), Image.Resampling.BICUBIC))
        norm += amplitude
        amplitude *= 0.5
    return np.clip(total / norm, 0, 1)


def soft_size(w: int, h: int, pixels: int) -> tuple[int, int]:
    """The same shape with about so many pixels, for what is soft enough to be enlarged; never more than w x h."""
    shrink = min(1.0, math.sqrt(pixels / (w * h)))
    return max(8, round(w * shrink)), max(8, round(h * shrink))


def stretched(field: np.ndarray) -> np.ndarray:
    """The field, from exactly 0 to 1."""
    return (field - field.min()) / (np.ptp(field) + 1e-6)


def gradient_strip(colours: np.ndarray, h: int, power: float = 1.0) -> Image.Image:
    """A picture one pixel wide that runs through the colours from top to bottom."""
    return Image.fromarray(ramp(colours, np.linspace(0, 1, h) ** power).astype(np.uint8)[:, None, :])


def widen(strip: Image.Image, w: int) -> Image.Image:
    """A one-pixel strip repeated to a width."""
    return strip.resize((w, strip.height), Image.Resampling.NEAREST)


def glow(size: tuple[int, int], centre: tuple[float, float], radius: float, colour: np.ndarray) -> Image.Image:
    """A soft round light, to be added with ImageChops.screen."""
    w, h = size
    y, x = np.mgrid[0 : max(2, h // 8), 0 : max(2, w // 8)].astype(np.float32)
    distance = np.hypot(x * 8 - centre[0], y * 8 - centre[1]) / radius
    return enlarged(np.exp(-(distance**2) * 1.6)[..., None] * colour, w, h)


def fill_below(image: Image.Image, line: np.ndarray, strip: Image.Image) -> None:
    """Paint everything under a height line; only the rows that the line crosses need an antialiased mask."""
    w, h = image.size
    top, end = int(np.clip(line.min() - 1, 0, h)), int(np.clip(line.max() + 2, 0, h))
    if end > top:
        rows = np.arange(top, end, dtype=np.float32)[:, None]
        mask = np.clip((rows - line[None, :] + 0.5) * 255, 0, 255).astype(np.uint8)
        image.paste(widen(strip.crop((0, top, 1, end)), w), (0, top), Image.fromarray(mask))
    if h > end:
        image.paste(widen(strip.crop((0, end, 1, h)), w), (0, end))


def enlarged(pixels: np.ndarray, w: int, h: int) -> Image.Image:
    """An array of colours as a picture of this size."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
