"""ThumbHash, the placeholder of Evan Wallace: a picture in at most 25 bytes, as a blur of its shape and colours.

The format is the public one (evanw.github.io/thumbhash), so that any decoder reads it. Pure: no Django, no database.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

LONG_SIDE = 32  # pixels; seven waves a side are kept at most, so that more of them would change nothing that is seen
MAX_WAVES, MAX_WAVES_WITH_ALPHA = 7, 5
MIN_WAVES, ALPHA_WAVES = 3, 5

Row = list[float]


@dataclass(frozen=True)
class Channel:
    """One plane as cosines: its mean, the others from 0 to 1 around 0.5, and what 1 of these stands for."""

    mean: float
    waves: Sequence[float]
    scale: float


def encode_thumbhash(image: Image.Image) -> bytes:
    """The hash of a picture in RGB or RGBA whose longer side is at most LONG_SIDE."""
    width, height = image.size
    alpha = _plane(image.getchannel("A")) if image.mode == "RGBA" else None
    red, green, blue = (_plane(image.getchannel(name)) for name in "RGB")
    if alpha is not None:
        if all(value == 1.0 for row in alpha for value in row):
            alpha = None
        else:
            red, green, blue = (_on_its_mean(plane, alpha) for plane in (red, green, blue))
    most = MAX_WAVES if alpha is None else MAX_WAVES_WITH_ALPHA
    across, down = (max(1, math.floor(most * side / max(width, height) + 0.5)) for side in (width, height))
    light = _channel(_mixed(red, green, blue, (1 / 3, 1 / 3, 1 / 3)), max(MIN_WAVES, across), max(MIN_WAVES, down))
    yellow = _channel(_mixed(red, green, blue, (0.5, 0.5, -1.0)), MIN_WAVES, MIN_WAVES)
    redness = _channel(_mixed(red, green, blue, (1.0, -1.0, 0.0)), MIN_WAVES, MIN_WAVES)
    channels = [light, yellow, redness]
    is_wide = width > height
    head = (
        _level(light.mean, 63)
        | _level((yellow.mean + 1) / 2, 63) << 6
        | _level((redness.mean + 1) / 2, 63) << 12
        | _level(light.scale, 31) << 18
        | (alpha is not None) << 23
    )
    shape = (down if is_wide else across) | _level(yellow.scale, 63) << 3 | _level(redness.scale, 63) << 9
    packed = head.to_bytes(3, "little") + (shape | is_wide << 15).to_bytes(2, "little")
    if alpha is not None:
        opacity = _channel(alpha, ALPHA_WAVES, ALPHA_WAVES)
        channels.append(opacity)
        packed += bytes([_level(opacity.mean, 15) | _level(opacity.scale, 15) << 4])
    return packed + _nibbles([wave for channel in channels for wave in channel.waves])


def _plane(band: Image.Image) -> list[Row]:
    """The rows of one band, from 0 to 1."""
    levels = band.tobytes()
    return [
        [level / 255 for level in levels[start : start + band.width]] for start in range(0, len(levels), band.width)
    ]


def _on_its_mean(plane: list[Row], alpha: list[Row]) -> list[Row]:
    """The plane laid on the mean of what is seen of it, so that no colour comes from where nothing is seen."""
    pairs = [list(zip(*rows, strict=True)) for rows in zip(plane, alpha, strict=True)]
    seen = sum(opacity for row in pairs for _, opacity in row)
    mean = sum(value * opacity for row in pairs for value, opacity in row) / seen if seen else 0.0
    return [[value * opacity + mean * (1 - opacity) for value, opacity in row] for row in pairs]


def _mixed(red: list[Row], green: list[Row], blue: list[Row], parts: tuple[float, float, float]) -> list[Row]:
    """A plane of so many parts of each colour."""
    of_red, of_green, of_blue = parts
    return [
        [of_red * r + of_green * g + of_blue * b for r, g, b in zip(*rows, strict=True)]
        for rows in zip(red, green, blue, strict=True)
    ]


def _channel(plane: list[Row], across: int, down: int) -> Channel:
    """The lower left triangle of the plane's cosine transform, first along the rows and then along the columns."""
    by_row = [[sum(map(float.__mul__, row, wave)) for wave in _cosines(len(row), across)] for row in plane]
    area = len(plane) * len(plane[0])
    found = []
    for y, wave in enumerate(_cosines(len(plane), down)):
        reach = (x for x in range(across) if x * down < across * (down - y))
        found += [sum(row[x] * height for row, height in zip(by_row, wave, strict=True)) / area for x in reach]
    mean, *others = found
    scale = max(map(abs, others))
    return Channel(mean, [0.5 + 0.5 * wave / scale if scale else 0.5 for wave in others], scale)


def _cosines(length: int, count: int) -> Iterator[Row]:
    for frequency in range(count):
        yield [math.cos(math.pi / length * frequency * (place + 0.5)) for place in range(length)]


def _level(value: float, highest: int) -> int:
    """From 0 to 1 as one of the levels from 0 to `highest`."""
    return min(highest, max(0, math.floor(value * highest + 0.5)))


def _nibbles(waves: Sequence[float]) -> bytes:
    levels = [_level(wave, 15) for wave in waves]
    levels += [0] * (len(levels) % 2)
    return bytes(low | high << 4 for low, high in zip(levels[::2], levels[1::2], strict=True))
