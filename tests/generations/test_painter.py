"""The emulator's painter: true sizes, the same bytes for the same wish, provenance in the file."""

import io
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from generations.emulator import painter
from generations.emulator.clips import write_clip
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


# Pictures that were sent along

RAMP = (64, 1, bytes(range(0, 256, 4)))  # from black to white, left to right


def mean(picture: Image.Image) -> tuple[float, ...]:
    return tuple(np.asarray(picture, float).mean(axis=(0, 1)))


@pytest.mark.parametrize("style", PROMPTS)
def test_references_colour_every_style(style):
    red, green, blue = mean(paint(Wish(PROMPTS[style], 1, 96, 96, tints=((210, 30, 30),))))
    assert red > 1.3 * max(green, blue)


def test_several_references_share_the_palette():
    one, two = (paint(replace(WISH, tints=tints)) for tints in (((210, 30, 30),), ((210, 30, 30), (30, 30, 210))))
    assert mean(two)[2] > mean(one)[2]


def test_an_edited_picture_keeps_its_tones():
    picture = paint(Wish("forest", 1, 128, 16, edited=(64, 64, RAMP[2] * 64)))
    tones = np.asarray(picture.convert("L")).mean(axis=0)
    assert picture.size == (128, 16)
    assert tones[-1] > tones[64] > tones[0]


def test_the_words_say_what_was_used():
    tinted = describe(replace(WISH, tints=((1, 2, 3),)))
    assert tinted == "Layered mountains under a low sun, in the colours of the reference."
    assert describe(replace(WISH, edited=RAMP)) == "The picture from before, in the colours of dawn."


# Clips


def clip(**changes) -> bytes:
    out = io.BytesIO()
    write_clip(replace(WISH, seconds=1.0, **changes), out)
    return out.getvalue()


def test_a_clip_has_its_length_its_size_and_its_maker():
    with av.open(io.BytesIO(clip(format="MP4", width=241))) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, container.duration) == (240, 160, 1_000_000)
        assert container.metadata["comment"] == "Plantain emulator"


def test_a_gif_is_no_larger_than_its_purpose():
    with Image.open(io.BytesIO(clip(format="GIF", width=960, height=320))) as picture:
        assert (picture.size, picture.is_animated, picture.info["loop"]) == ((480, 160), True, 0)


@pytest.mark.parametrize("kind", ["MP4", "GIF"])
def test_the_same_clip_has_the_same_bytes(kind):
    assert clip(format=kind) == clip(format=kind) != clip(format=kind, seed=8)
