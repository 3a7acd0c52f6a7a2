"""The catalogue: models, sizes, shapes and first prices."""

import subprocess
import sys

import pytest

from generations import catalog
from generations.errors import RetiredModel, UnknownModel

FLASH = "gemini-3.1-flash-image-preview"
PRO = "gemini-3-pro-image-preview"
ARTICLE_RATIOS = ["1:1", "4:3", "3:4", "16:9", "9:16", "1:4", "4:1", "1:8", "8:1"]


def test_the_pure_core_does_not_import_django():
    code = (
        "import sys, generations.outcomes, generations.wire.gemini\n"
        "sys.exit(any(name.partition('.')[0] == 'django' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (FLASH, FLASH),
        ("gemini-3.1-flash-image", FLASH),
        ("nano-banana-2", FLASH),
        (f"models/{FLASH}", FLASH),
        (PRO, PRO),
        ("gemini-3-pro-image", PRO),
        ("nano-banana-pro", PRO),
        ("models/gemini-3-pro-image", PRO),
    ],
)
def test_a_model_is_found_by_id_and_alias(name, expected):
    assert catalog.get_model(name).id == expected


def test_the_default_model_is_nano_banana_2():
    model = catalog.get_model(catalog.DEFAULT_MODEL_ID)
    assert (model.id, model.label, model.lifecycle) == (FLASH, "Nano Banana 2", "preview")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gemini-3.1-flash-image-previw", FLASH),
        ("Nano-Banana-2", "nano-banana-2"),
        ("gemini-3-pro", "gemini-3-pro-image"),
        ("models/nano-bananapro", "nano-banana-pro"),
    ],
)
def test_an_unknown_model_names_the_nearest(name, nearest):
    with pytest.raises(UnknownModel) as caught:
        catalog.get_model(name)
    error = caught.value
    assert error.nearest == nearest
    assert error.message == f'There is no model "{name}"; did you mean "{nearest}"?'
    assert (error.status, error.code) == (400, "invalid")
    assert [(each.field, each.message) for each in error.errors] == [("model", error.message)]


def test_an_unknown_model_like_no_other_names_them_all():
    with pytest.raises(UnknownModel) as caught:
        catalog.get_model("zzz")
    assert caught.value.nearest is None
    assert caught.value.message == f'There is no model "zzz"; there are: {FLASH}, {PRO}.'


def test_a_very_long_model_name_is_cut_in_the_answer():
    with pytest.raises(UnknownModel) as caught:
        catalog.get_model("x" * 100_000)
    assert len(caught.value.message) < 300


def test_flash_has_every_size_and_every_ratio():
    model = catalog.get_model(FLASH)
    assert model.sizes == ("0.5K", "1K", "2K", "4K")
    assert len(model.aspect_ratios) == 14
    assert set(ARTICLE_RATIOS) < set(model.aspect_ratios)


def test_pro_lacks_the_small_size_and_the_extreme_ratios():
    model = catalog.get_model(PRO)
    assert model.sizes == ("1K", "2K", "4K")
    assert len(model.aspect_ratios) == 10
    assert not set(model.aspect_ratios) & {"1:4", "4:1", "1:8", "8:1"}


def test_no_name_stands_for_two_models():
    names = [name for model in catalog.MODELS.values() for name in (model.id, *model.aliases)]
    assert len(names) == len(set(names))


def test_a_preferred_size_falls_back_to_the_smallest_that_the_model_has():
    assert catalog.get_model(PRO).default_size("2K") == "2K"
    assert catalog.get_model(PRO).default_size("0.5K") == "1K"


@pytest.mark.parametrize(("name", "expected"), [("512", "0.5K"), ("512px", "0.5K"), ("2K", "2K"), ("2k", "2k")])
def test_sizes_have_two_aliases_and_keep_their_case(name, expected):
    assert catalog.canonical_size(name) == expected


def test_each_upstream_has_its_own_word_for_the_small_size():
    tokens = {upstream: catalog.size_token(upstream, "0.5K") for upstream in ("wisgate", "google")}
    assert tokens == {"wisgate": "0.5K", "google": "512"}
    assert catalog.size_token("google", "4K") == "4K"


def test_every_model_has_a_name_at_every_upstream():
    for model in catalog.MODELS.values():
        assert [route.protocol for route in model.routes] == (["images"] if model.is_optional else ["native", "chat"])
    assert {route.upstream_id for route in catalog.get_model(FLASH).routes} == {FLASH}


def test_the_time_of_a_call_grows_with_the_size():
    assert {size: catalog.default_timeout_s(size) for size in catalog.SIZES} == {
        **{"0.5K": 35, "1K": 35},
        **{"2K": 60, "4K": 60},
    }
    assert {catalog.typical_latency_s(size) for size in catalog.SIZES} == {20}


def test_the_first_prices_are_those_of_the_articles_and_marked_placeholders():
    rows = {(row.model, row.size): row for row in catalog.FIRST_PRICES}
    assert rows.keys() == {(model.id, size) for model in catalog.offered_models(()) for size in model.sizes}
    assert {rows[FLASH, size] for size in ("0.5K", "1K", "2K", "4K")} == {
        catalog.PriceRow(FLASH, size, amount_micros=58_000, cost_micros=58_000, comparison_micros=68_000)
        for size in ("0.5K", "1K", "2K", "4K")
    }
    assert {size: rows[PRO, size].amount_micros for size in ("1K", "2K", "4K")} == {
        **{"1K": 134_000, "2K": 134_000},
        **{"4K": 240_000},
    }
    assert {row.placeholder for row in rows.values() if row.model == PRO} == {True}
    assert {row.placeholder for row in rows.values() if row.model == FLASH} == {False}
    assert {row.unit for row in rows.values()} == {"image"}


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [
        ("1:1", "1K", (1024, 1024)),
        ("1:1", "0.5K", (512, 512)),
        ("16:9", "4K", (5504, 3072)),
        ("21:9", "0.5K", (792, 336)),
        ("9:16", "2K", (1536, 2752)),
        ("8:1", "4K", (12288, 1536)),
        ("1:8", "0.5K", (192, 1536)),
    ],
)
def test_expected_pixels_follow_the_providers_table(ratio, size, pixels):
    assert catalog.expected_pixels(ratio, size) == pixels


@pytest.mark.parametrize(
    ("model_id", "ratio", "size", "pixels"),
    [
        ("gpt-image-2", "1:1", "1K", (1024, 1024)),
        ("gpt-image-2", "3:2", "1K", (1248, 832)),
        ("gpt-image-2", "16:9", "2K", (2560, 1440)),
        ("gpt-image-2", "16:9", "4K", (3840, 2160)),
        ("gpt-image-2", "1:1", "4K", (2880, 2880)),
        ("gpt-image-2", "21:9", "4K", (3808, 1632)),
        ("gpt-image-1.5", "3:2", "1K", (1536, 1024)),
        ("flux-2-pro", "1:1", "2K", (2048, 2048)),
        ("flux-2-pro", "16:9", "2K", (2048, 1152)),
    ],
)
def test_the_images_api_has_pixels_of_its_own(model_id, ratio, size, pixels):
    assert catalog.expected_pixels(ratio, size, model_id) == pixels
    assert catalog.honours(*pixels, ratio, size, model_id=model_id) == catalog.Honoured(True, True)


@pytest.mark.parametrize(
    "model", [model for model in catalog.MODELS.values() if model.is_optional], ids=lambda model: model.id
)
def test_the_images_api_takes_every_size_that_a_model_offers(model):
    for size in model.sizes:
        for ratio in model.aspect_ratios:
            width, height = catalog.expected_pixels(ratio, size, model.id)
            assert (width % 16, height % 16) == (0, 0)
            assert max(width, height) <= 3840
            assert max(width, height) <= 3 * min(width, height)
            assert 655_360 <= width * height <= 8_294_400


def test_an_optional_model_is_offered_while_it_has_a_price():
    assert [model.id for model in catalog.offered_models(())] == [FLASH, PRO]
    assert [model.id for model in catalog.offered_models({"flux-2-pro"})] == [FLASH, PRO, "flux-2-pro"]


@pytest.mark.parametrize(("name", "instead"), [("dall-e-3", "gpt-image-2"), ("models/gemini-2.5-flash-image", FLASH)])
def test_a_retired_id_names_what_follows_it(name, instead):
    with pytest.raises(RetiredModel) as caught:
        catalog.get_model(name)
    assert caught.value.message == f'The model "{name}" is retired; use "{instead}" instead.'
    assert catalog.get_model(instead)


@pytest.mark.parametrize("size", list(catalog.SIZES))
@pytest.mark.parametrize("ratio", list(catalog.PIXELS_1K))
def test_a_picture_of_the_expected_pixels_honours_its_wish_and_no_other_size(ratio, size):
    width, height = catalog.expected_pixels(ratio, size)
    assert catalog.honours(width, height, ratio, size) == catalog.Honoured(True, True)
    for other in catalog.SIZES.keys() - {size}:
        assert catalog.honours(width, height, ratio, other) == catalog.Honoured(True, False)


def test_a_picture_of_another_shape_may_still_have_the_size():
    assert catalog.honours(1024, 1024, "16:9", "1K") == catalog.Honoured(aspect_ratio=False, image_size=True)
    assert catalog.honours(1024, 1024, "1:8", "1K") == catalog.Honoured(aspect_ratio=False, image_size=True)
    assert catalog.honours(1024, 1024, "1:8", "4K") == catalog.Honoured(aspect_ratio=False, image_size=False)
    assert catalog.honours(1376, 768, "9:16", "1K") == catalog.Honoured(aspect_ratio=False, image_size=True)


def test_small_differences_are_tolerated_and_larger_ones_are_not():
    assert catalog.honours(1920, 1080, "16:9", "2K").aspect_ratio
    assert catalog.honours(1036, 1024, "1:1", "1K") == catalog.Honoured(True, True)
    assert catalog.honours(1060, 1024, "1:1", "1K").aspect_ratio is False
    assert catalog.honours(980, 980, "1:1", "1K") == catalog.Honoured(True, False)
    assert catalog.honours(980, 980, "1:1", "1K", tolerance=0.05) == catalog.Honoured(True, True)


@pytest.mark.parametrize(("width", "height"), [(0, 0), (1024, 0), (-1024, -1024)])
def test_a_picture_without_pixels_honours_nothing(width, height):
    assert catalog.honours(width, height, "1:1", "1K") == catalog.Honoured(False, False)
