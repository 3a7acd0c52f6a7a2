"""The placeholder of a picture, read by what its format says."""

import math
from dataclasses import dataclass

import pytest
from PIL import Image

from gallery.thumbhash import LONG_SIDE, encode_thumbhash


@dataclass(frozen=True)
class Head:
    """The fixed part of a hash, its levels from 0 to 1; the colours from -1 to 1."""

    light: float
    yellow: float
    red: float
    contrast: float
    has_alpha: bool
    is_wide: bool
    waves: int

    @property
    def rgb(self) -> tuple[int, int, int]:
        blue = self.light - 2 / 3 * self.yellow
        red = (3 * self.light - blue + self.red) / 2
        return round(255 * red), round(255 * (red - self.red)), round(255 * blue)


def head_of(image: Image.Image) -> Head:
    code = encode_thumbhash(image)
    bits = int.from_bytes(code[:5], "little")

    def take(start: int, count: int) -> int:
        return bits >> start & (1 << count) - 1

    return Head(
        light=take(0, 6) / 63,
        yellow=take(6, 6) / 31.5 - 1,
        red=take(12, 6) / 31.5 - 1,
        contrast=take(18, 5) / 31,
        has_alpha=bool(take(23, 1)),
        is_wide=bool(take(39, 1)),
        waves=take(24, 3),
    )


def gradient(size: tuple[int, int] = (32, 24)) -> Image.Image:
    """Bright at the right, and red below."""
    width, height = size
    image = Image.new("RGB", size)
    image.putdata(
        [(min(255, 8 * x + 4 * y), 8 * x * 31 // 32, 8 * x * 31 // 32) for y in range(height) for x in range(width)]
    )
    return image


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 128, 0), (20, 30, 200), (255, 204, 0), (255, 255, 255), (0, 0, 0)])
def test_one_colour_is_kept_within_what_its_levels_can_tell(colour: tuple[int, int, int]):
    head = head_of(Image.new("RGB", (32, 32), colour))
    assert head.contrast == 0
    assert all(abs(a - b) <= 10 for a, b in zip(head.rgb, colour, strict=True)), head.rgb


def test_the_colour_of_two_halves_is_their_mean():
    image = Image.new("RGB", (32, 16), "#ffffff")
    image.paste("#0000ff", (0, 0, 16, 16))
    assert all(abs(a - b) <= 10 for a, b in zip(head_of(image).rgb, (128, 128, 255), strict=True))


@pytest.mark.parametrize("size", [(32, 32), (32, 18), (18, 32), (32, 4), (4, 32), (1, 1), (32, 1)])
def test_the_shape_can_be_told_from_it(size: tuple[int, int]):
    head = head_of(Image.new("RGB", size))
    width, height = size
    assert head.is_wide == (width > height)
    assert head.waves == max(1, math.floor(7 * min(size) / max(size) + 0.5))


def test_what_is_transparent_lends_no_colour():
    image = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 16, 32))
    head = head_of(image)
    assert head.has_alpha
    assert all(abs(a - b) <= 10 for a, b in zip(head.rgb, (255, 0, 0), strict=True)), head.rgb
    assert encode_thumbhash(image)[5] & 15 == 8  # half of it is seen
    assert head_of(Image.new("RGBA", (8, 8), (0, 255, 0, 0))).rgb == head_of(Image.new("RGB", (8, 8))).rgb


def test_an_alpha_channel_that_hides_nothing_is_left_out():
    image = gradient()
    assert encode_thumbhash(image.convert("RGBA")) == encode_thumbhash(image)


@pytest.mark.parametrize(("size", "alpha", "length"), [((32, 32), 255, 24), ((32, 32), 128, 25), ((32, 4), 255, 17)])
def test_it_has_25_bytes_at_most(size: tuple[int, int], alpha: int, length: int):
    image = gradient(size).convert("RGBA")
    image.putalpha(alpha)
    assert len(encode_thumbhash(image)) == length


def test_it_is_what_other_encoders_of_the_format_make_of_the_same_pixels():
    faded = gradient().convert("RGBA")
    faded.putalpha(gradient().getchannel("R").point(lambda value: 255 - value * value // 300))
    assert max(faded.size) == LONG_SIDE
    assert encode_thumbhash(gradient()).hex() == "a1581a158870777777787887777887876960970676"
    assert encode_thumbhash(gradient((24, 32))).hex() == "db78161d0c70777678787878878777777870870777"
    assert encode_thumbhash(faded).hex() == "99588e0c86393077678778788707647840f687a87788877808"
