"""The emulator's painter: true sizes, the same bytes for the same wish, provenance in the file."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from generations.emulator import painter
from generations.emulator.painter import PALETTE_WORDS, PALETTES, STYLE_WORDS, Wish, describe, paint, write_picture
from generations.emulator.styles import STYLES

# One prompt per style; each names no other style's words.
PROMPTS = {
    "ridges": "mountain",
    "dunes": "silk",
    "skyline": "skyline",
    "poster": "bauhaus",
    "flow": "hair",
    "mesh": "bokeh",
    "orbs": "marble",
    "aurora": "borealis",
    "botanical": "herbarium",
    "contour": "agate",
}
WISH = Wish("Layered mountains at dawn", 7, 240, 160)


def encoded(wish: Wish) -> bytes:
    out = io.BytesIO()
    write_picture(wish, out)
    return out.getvalue()


def test_every_style_and_palette_can_be_asked_for():
    assert STYLES.keys() == STYLE_WORDS.keys() == PROMPTS.keys()
    assert PALETTES.keys() == PALETTE_WORDS.keys()


@pytest.mark.parametrize(("width", "height"), [(96, 96), (384, 48), (48, 384)])
@pytest.mark.parametrize("style", PROMPTS)
def test_a_style_fills_every_shape_with_more_than_one_tone(style, width, height):
    picture = paint(Wish(PROMPTS[style], 1, width, height))

    assert (picture.size, picture.mode) == ((width, height), "RGB")
    tones = np.asarray(picture.convert("L"))
    assert np.ptp(tones) > 20


def test_the_same_wish_gives_the_same_bytes():
    assert encoded(WISH) == encoded(Wish("Layered mountains at dawn", 7, 240, 160))


@pytest.mark.parametrize("change", [{"prompt": "Layered mountains at dusk"}, {"seed": 8}, {"width": 256}])
def test_another_wish_gives_another_picture(change):
    assert encoded(replace(WISH, **change)) != encoded(WISH)


def test_words_of_the_prompt_pick_style_and_palette():
    assert describe(WISH) == "Layered mountains under a low sun, in the colours of dawn."


def test_a_png_decodes_to_the_canvas_but_for_the_grain():
    wish = Wish("poster", 3, 96, 200)

    with Image.open(io.BytesIO(encoded(wish))) as picture:
        picture.load()
        shown = np.asarray(picture).astype(int)

    canvas = np.asarray(paint(wish)).astype(int)
    assert np.abs(shown - canvas).max() <= 2 * painter.GRAIN_LIMIT
    assert shown.shape == (200, 96, 3)


def test_a_png_names_its_maker_and_says_that_no_camera_took_it():
    with Image.open(io.BytesIO(encoded(WISH))) as picture:
        picture.load()
        assert picture.text["Software"] == "Plantain emulator"
        assert "digitalsourcetype/trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_other_formats_carry_the_same_provenance(image_format):
    with Image.open(io.BytesIO(encoded(replace(WISH, format=image_format)))) as picture:
        assert (picture.format, picture.size) == (image_format, (240, 160))
        assert b"digitalsourcetype/trainedAlgorithmicMedia" in picture.info["xmp"]


def test_a_large_picture_is_enlarged_from_a_canvas_of_a_megapixel(monkeypatch):
    monkeypatch.setattr(painter, "CANVAS_PIXELS", 10_000)
    wish = Wish("agate", 5, 400, 300)

    assert paint(wish).size == (115, 87)
    with Image.open(io.BytesIO(encoded(wish))) as picture:
        picture.load()
        assert picture.size == (400, 300)


def test_bands_of_an_enlarged_picture_meet_without_a_seam(monkeypatch):
    monkeypatch.setattr(painter, "CANVAS_PIXELS", 10_000)
    monkeypatch.setattr(painter, "_GRAIN_TILE", np.zeros_like(painter._GRAIN_TILE))
    canvas = paint(Wish("bauhaus", 5, 400, 300))

    banded = np.concatenate(list(painter._bands(canvas, 400, 300))).astype(int)

    whole = np.asarray(canvas.resize((400, 300), Image.Resampling.BICUBIC)).astype(int)
    assert (
        np.abs(banded - whole.clip(painter.GRAIN_LIMIT, 255 - painter.GRAIN_LIMIT)).max() <= 4
    )  # a seam shows as 70 and more
