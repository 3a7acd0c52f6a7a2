"""What a picture looks like in 64 bits: copies in another size, format or quality differ in few of them. Pure.

A DCT hash: the signs of the 64 lowest frequencies but for the mean, of 32 x 32 grey values, against their median. Half
of the bits are set, so that two pictures that have nothing in common differ in about 32; a gradient hash calls all
pictures of one sky alike. It does not know a mirrored or a cropped copy. Our own, as it is a page of arithmetic: the
usual library brings NumPy, SciPy and PyWavelets into every decode process.
"""

import math
from collections.abc import Iterable
from statistics import median

from PIL import Image

SIDE = 32
LOW = 8  # frequencies in each direction
BITS = LOW * LOW
BANDS = 4
BAND_BITS = BITS // BANDS
# Of so little contrast, in 256 steps, that the bits would tell of noise and all such pictures would be alike.
MIN_CONTRAST = 12
MAX_DISTANCE = 6  # in how many bits near duplicates differ at most
WAVES = [[math.cos(math.pi * (2 * place + 1) * wave / (2 * SIDE)) for place in range(SIDE)] for wave in range(LOW + 1)]


def hash_of(small: Image.Image) -> str:
    """The hash of a picture without transparency, as 16 hexadecimal digits; empty for one of a single tone."""
    grey = small.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    darkest, lightest = grey.getextrema()
    if lightest - darkest < MIN_CONTRAST:  # type: ignore[operator]  # of one channel, two numbers
        return ""
    values = grey.tobytes()
    rows = [values[start : start + SIDE] for start in range(0, SIDE * SIDE, SIDE)]
    across = [[_dot(row, wave) for wave in WAVES] for row in rows]
    columns = list(zip(*across, strict=True))
    # The frequency 0 is the mean, which says how bright it is and not what is on it; each direction has one more.
    found = [_dot(columns[x], WAVES[y]) for y in range(1, LOW + 1) for x in range(1, LOW + 1)]
    middle = median(found)
    return f"{int(''.join('1' if each > middle else '0' for each in found), 2):016x}"


def _dot(numbers: Iterable[float], wave: list[float]) -> float:
    return sum(number * factor for number, factor in zip(numbers, wave, strict=True))


def distance(one: str, other: str) -> int:
    """In how many of the 64 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def bands_of(hash: str) -> tuple[int, ...]:
    """The four quarters of a hash, as whole numbers of 16 bits, to be found by an index each."""
    digits = BAND_BITS // 4
    return tuple(int(hash[start : start + digits], 16) for start in range(0, BITS // 4, digits))


def near_bands(band: int) -> list[int]:
    """The quarters that differ from this one in one bit at most.

    Of two hashes that differ in seven bits or fewer one quarter differs in one bit at most, so none of them is missed.
    """
    return [band, *(band ^ 1 << bit for bit in range(BAND_BITS))]
