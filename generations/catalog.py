"""Models, sizes, aspect ratios and first prices, as data; what each model can do is read from here, never coded."""

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from generations.errors import RetiredModel, UnknownModel, shown

Lifecycle = Literal["preview", "ga", "deprecated", "retired"]
Protocol = Literal["native", "chat", "images"]
Pixels = Mapping[str, Mapping[str, tuple[int, int]]]  # width and height by size, then by aspect ratio


@dataclass(frozen=True, slots=True)
class Size:
    """One size; its pixels are those of the 1K column of PIXELS_1K times `scale`, its times are in seconds."""

    name: str
    scale: float
    timeout_s: int
    typical_latency_s: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """For each optional parameter of a wish the values that may be asked for; one value = it cannot be changed.

    An empty tuple means that the parameter has to be left out. `max_references` counts the pictures that a wish may
    bring along, an edited one included; `edits` says whether a picture can be worked on in further turns, `styles`
    whether each of several pictures may have one. `seed` is the lowest and the highest, None for no seed at all.
    """

    modalities: tuple[tuple[str, ...], ...] = (("IMAGE",), ("TEXT", "IMAGE"))
    count: tuple[int, ...] = (1, 2, 3, 4)
    grounding: tuple[bool, ...] = (False, True)
    thinking: tuple[str, ...] = ("off", "minimal", "high")
    include_thoughts: tuple[bool, ...] = (False, True)
    max_references: int = 14
    edits: bool = True
    seed: tuple[int, int] | None = (-(2**31), 2**31 - 1)
    styles: bool = True


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a model: the protocol that serves it, what it is called there, and the quality that is asked for.

    An empty quality is not sent, because the model knows none.
    """

    protocol: Protocol
    upstream_id: str
    quality: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model; `replacement` is the id that follows a retired one.

    `routes` are in the order of fallback. An `is_optional` model is offered only while it has a price. A call may take
    `timeout_s` seconds, 0 for what is usual at its size.
    """

    id: str
    label: str
    aliases: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[str, ...]
    aspect_ratios: tuple[str, ...]
    capabilities: Capabilities
    lifecycle: Lifecycle
    routes: tuple[Route, ...]
    pixels: Pixels
    replacement: str | None = None
    is_optional: bool = False
    timeout_s: int = 0

    def default_size(self, preferred: str, kind: str = "image") -> str:
        """The operator's preferred size where this model has it, else its smallest."""
        sizes = self.sizes_of(kind)
        return preferred if preferred in sizes else sizes[0]

    def sizes_of(self, kind: str) -> tuple[str, ...]:
        """The sizes in which a kind ("image", "video") may be asked for."""
        return (CLIP_SIZE.name,) if kind == "video" else self.sizes

    def units(self) -> list[tuple[str, str]]:
        """What has a price of its own: each kind with each of its sizes."""
        return [(kind, size) for kind in self.kinds for size in self.sizes_of(kind)]

    def aspect_ratios_of(self, kind: str) -> tuple[str, ...]:
        """The shapes in which a kind ("image", "video") may be asked for."""
        return tuple(CLIP_PIXELS) if kind == "video" else self.aspect_ratios


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A first price in micro-USD; `comparison_micros` is Google's own, a placeholder is to be set by the operator."""

    model: str
    size: str
    amount_micros: int
    cost_micros: int
    comparison_micros: int | None = None
    placeholder: bool = False
    unit: str = "image"


@dataclass(frozen=True, slots=True)
class Honoured:
    """Whether a picture came in the shape and in the size that were asked for."""

    aspect_ratio: bool
    image_size: bool


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        size.name: size
        for size in (
            Size("0.5K", 0.5, timeout_s=35, typical_latency_s=20),
            Size("1K", 1, timeout_s=35, typical_latency_s=20),
            Size("2K", 2, timeout_s=60, typical_latency_s=20),
            Size("4K", 4, timeout_s=60, typical_latency_s=20),
        )
    }
)
SIZE_ALIASES: Mapping[str, str] = MappingProxyType({"512": "0.5K", "512px": "0.5K"})

# Clips have one size; the articles ask for it in words ("720p").
CLIP_SIZE = Size("720p", 1, timeout_s=60, typical_latency_s=20)
CLIP_PIXELS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"1:1": (720, 720), "16:9": (1280, 720), "9:16": (720, 1280)}
)

# What an upstream calls a size where that differs from our own name for it.
UPSTREAM_SIZE_TOKENS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"wisgate": MappingProxyType({}), "google": MappingProxyType({"0.5K": "512"})}
)

PIXELS_1K: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "1:1": (1024, 1024),
        "2:3": (848, 1264),
        "3:2": (1264, 848),
        "3:4": (896, 1200),
        "4:3": (1200, 896),
        "4:5": (928, 1152),
        "5:4": (1152, 928),
        "9:16": (768, 1376),
        "16:9": (1376, 768),
        "21:9": (1584, 672),
        "1:4": (512, 2048),
        "4:1": (2048, 512),
        "1:8": (384, 3072),
        "8:1": (3072, 384),
    }
)
EXTREME_RATIOS = ("1:4", "4:1", "1:8", "8:1")
COMMON_RATIOS = tuple(ratio for ratio in PIXELS_1K if ratio not in EXTREME_RATIOS)
DEFAULT_ASPECT_RATIO = "1:1"
SIDE_STEP = 16  # pixels, of the Images API

GEMINI_PIXELS: Pixels = MappingProxyType(
    {
        size.name: MappingProxyType(
            {ratio: (int(width * size.scale), int(height * size.scale)) for ratio, (width, height) in PIXELS_1K.items()}
        )
        for size in SIZES.values()
    }
)


def _largest(ratio: str, *, max_pixels: int, max_side: int) -> tuple[int, int]:
    """The largest picture of exactly this shape whose sides are whole steps."""
    across, down = (int(side) for side in ratio.split(":"))
    common = math.gcd(across, down)
    width, height = across // common * SIDE_STEP, down // common * SIDE_STEP
    times = min(math.isqrt(max_pixels // (width * height)), max_side // max(width, height))
    return width * times, height * times


def _exact_pixels(limits: Mapping[str, int], *, max_side: int) -> Pixels:
    """The table of a model that is asked for pixels; `limits` has the most pixels of each size."""
    return MappingProxyType(
        {
            size: MappingProxyType(
                {ratio: _largest(ratio, max_pixels=most, max_side=max_side) for ratio in COMMON_RATIOS}
            )
            for size, most in limits.items()
        }
    )


# What the Images API allows: sides in steps of 16, at most 3:1. The largest of GPT Image is 3840x2160 and its likes.
GPT_IMAGE_PIXELS = _exact_pixels({"1K": 1024**2, "2K": 2048**2, "4K": 3840 * 2160}, max_side=3840)
GPT_IMAGE_CLASSIC_PIXELS: Pixels = MappingProxyType(
    {"1K": MappingProxyType({"1:1": (1024, 1024), "2:3": (1024, 1536), "3:2": (1536, 1024)})}
)
FLUX_PIXELS = _exact_pixels({"1K": 1024**2, "2K": 2048**2}, max_side=2048)

# The Images API has a place for a prompt, a size and a number of pictures, and for nothing else that a wish can say.
OF_THE_IMAGES_API = Capabilities(
    modalities=(("IMAGE",),),
    grounding=(False,),
    thinking=(),
    include_thoughts=(False,),
    max_references=0,
    edits=False,
    seed=None,
    styles=False,
)

DEFAULT_MODEL_ID = "gemini-3.1-flash-image-preview"
MODELS: Mapping[str, Model] = MappingProxyType(
    {
        model.id: model
        for model in (
            Model(
                id=DEFAULT_MODEL_ID,
                label="Nano Banana 2",
                aliases=("gemini-3.1-flash-image", "nano-banana-2"),
                kinds=("image", "video"),
                sizes=("0.5K", "1K", "2K", "4K"),
                aspect_ratios=tuple(PIXELS_1K),
                capabilities=Capabilities(),
                lifecycle="preview",
                routes=(Route("native", DEFAULT_MODEL_ID), Route("chat", DEFAULT_MODEL_ID)),
                pixels=GEMINI_PIXELS,
            ),
            Model(
                id="gemini-3-pro-image-preview",
                label="Nano Banana Pro",
                aliases=("gemini-3-pro-image", "nano-banana-pro"),
                kinds=("image", "video"),
                sizes=("1K", "2K", "4K"),
                aspect_ratios=COMMON_RATIOS,
                # This model always thinks, so that "off" cannot be promised.
                capabilities=Capabilities(thinking=()),
                lifecycle="preview",
                routes=(
                    Route("native", "gemini-3-pro-image-preview"),
                    Route("chat", "gemini-3-pro-image-preview"),
                ),
                pixels=GEMINI_PIXELS,
            ),
            # Quality makes the price, and "auto" is a price that nobody knows beforehand: one quality is sold.
            Model(
                id="gpt-image-2",
                label="GPT Image 2",
                aliases=("gpt-image",),
                kinds=("image",),
                sizes=tuple(GPT_IMAGE_PIXELS),
                aspect_ratios=COMMON_RATIOS,
                capabilities=OF_THE_IMAGES_API,
                lifecycle="ga",
                routes=(Route("images", "gpt-image-2", quality="medium"),),
                pixels=GPT_IMAGE_PIXELS,
                is_optional=True,
                timeout_s=120,
            ),
            Model(
                id="gpt-image-1.5",
                label="GPT Image 1.5",
                aliases=(),
                kinds=("image",),
                sizes=tuple(GPT_IMAGE_CLASSIC_PIXELS),
                aspect_ratios=tuple(GPT_IMAGE_CLASSIC_PIXELS["1K"]),
                capabilities=OF_THE_IMAGES_API,
                lifecycle="ga",
                routes=(Route("images", "gpt-image-1.5", quality="medium"),),
                pixels=GPT_IMAGE_CLASSIC_PIXELS,
                is_optional=True,
                timeout_s=120,
            ),
            Model(
                id="flux-2-pro",
                label="Flux 2 Pro",
                aliases=("flux", "flux-2"),
                kinds=("image",),
                sizes=tuple(FLUX_PIXELS),
                aspect_ratios=COMMON_RATIOS,
                capabilities=replace(OF_THE_IMAGES_API, seed=(0, 2**31 - 1)),
                lifecycle="ga",
                routes=(Route("images", "flux-2-pro"),),
                pixels=FLUX_PIXELS,
                is_optional=True,
                timeout_s=60,
            ),
        )
    }
)
# Ids that were retired before this catalogue began, and what follows them.
RETIRED: Mapping[str, str] = MappingProxyType(
    {
        "gemini-2.5-flash-image": DEFAULT_MODEL_ID,
        "gemini-2.5-flash-image-preview": DEFAULT_MODEL_ID,
        "gemini-2.0-flash-preview-image-generation": DEFAULT_MODEL_ID,
        "nano-banana": DEFAULT_MODEL_ID,
        "gpt-image-1": "gpt-image-2",
        "dall-e-3": "gpt-image-2",
        "dall-e-2": "gpt-image-2",
    }
)

FIRST_PRICES: tuple[PriceRow, ...] = (
    *(
        PriceRow(DEFAULT_MODEL_ID, size, amount_micros=58_000, cost_micros=58_000, comparison_micros=68_000)
        for size in MODELS[DEFAULT_MODEL_ID].sizes
    ),
    *(
        PriceRow("gemini-3-pro-image-preview", size, amount_micros=micros, cost_micros=micros, placeholder=True)
        for size, micros in (("1K", 134_000), ("2K", 134_000), ("4K", 240_000))
    ),
)
# The articles show clips and name no price for them.
FIRST_CLIP_PRICES: tuple[PriceRow, ...] = tuple(
    PriceRow(model.id, CLIP_SIZE.name, amount_micros=300_000, cost_micros=300_000, placeholder=True, unit="video")
    for model in MODELS.values()
    if "video" in model.kinds
)

_IDS_BY_NAME = {name: model.id for model in MODELS.values() for name in (model.id, *model.aliases)}


def get_model(id_or_alias: str) -> Model:
    """The model of an id or alias, with or without a leading `models/`, also a retired one of ours.

    UnknownModel names the nearest one, RetiredModel what follows an id that was retired before.
    """
    name = id_or_alias.removeprefix("models/")
    if name in _IDS_BY_NAME:
        return MODELS[_IDS_BY_NAME[name]]
    if name in RETIRED:
        raise _retired(id_or_alias, RETIRED[name])
    close = difflib.get_close_matches(name[:100].lower(), _IDS_BY_NAME, n=1, cutoff=0.5)
    nearest = close[0] if close else None
    always = ", ".join(model.id for model in offered_models(()))
    hint = f'did you mean "{nearest}"?' if nearest else f"there are: {always}."
    raise UnknownModel(f"There is no model {shown(id_or_alias)}; {hint}", nearest=nearest)


def askable_model(id_or_alias: str) -> Model:
    """As get_model, for a new wish: RetiredModel names what follows a model that is not made any more."""
    model = get_model(id_or_alias)
    if model.lifecycle == "retired":
        raise _retired(id_or_alias, model.replacement)
    return model


def offered_models(priced: Collection[str]) -> list[Model]:
    """What is on offer while the models of these ids have a price."""
    models = (model for model in MODELS.values() if model.lifecycle != "retired")
    return [model for model in models if not model.is_optional or model.id in priced]


def _retired(name: str, replacement: str | None) -> RetiredModel:
    instead = f'use "{replacement}" instead.' if replacement else "nothing follows it."
    return RetiredModel(f"The model {shown(name)} is retired; {instead}", nearest=replacement)


def canonical_size(name: str) -> str:
    """The canonical name of a size alias; any other text comes back as it is (sizes are case-sensitive)."""
    return SIZE_ALIASES.get(name, name)


def size_token(upstream: str, image_size: str) -> str:
    """What the upstream ("wisgate", "google") calls the canonical size."""
    return UPSTREAM_SIZE_TOKENS[upstream].get(image_size, image_size)


def default_timeout_s(image_size: str, model_id: str = DEFAULT_MODEL_ID) -> int:
    """Seconds that one upstream call may take at this size unless the operator says otherwise."""
    return MODELS[model_id].timeout_s or _size(image_size).timeout_s


def typical_latency_s(image_size: str) -> int:
    """Seconds that a picture of this size usually takes, before anything was measured."""
    return _size(image_size).typical_latency_s


def _size(name: str) -> Size:
    return CLIP_SIZE if name == CLIP_SIZE.name else SIZES[name]


def expected_pixels(aspect_ratio: str, image_size: str, model_id: str = DEFAULT_MODEL_ID) -> tuple[int, int]:
    """Width and height that a model documents for a shape and a size, or that it is asked for."""
    if image_size == CLIP_SIZE.name:
        return CLIP_PIXELS[aspect_ratio]
    return _pixels_of(model_id)[image_size][aspect_ratio]


def _pixels_of(model_id: str) -> Pixels:
    model = MODELS.get(model_id)  # a stored wish outlives its catalogue
    return model.pixels if model else GEMINI_PIXELS


def honours(
    width: int,
    height: int,
    aspect_ratio: str,
    image_size: str,
    *,
    model_id: str = DEFAULT_MODEL_ID,
    tolerance: float = 0.02,
) -> Honoured:
    """Compare a picture's true pixels with the wish; `tolerance` is relative, for either side of the comparison."""
    if width <= 0 or height <= 0:
        return Honoured(False, False)
    wanted_width, wanted_height = expected_pixels(aspect_ratio, image_size, model_id)
    ratio_holds = _within((width / height) / (wanted_width / wanted_height), 1, 1, tolerance)
    edge = math.sqrt(width * height)
    if ratio_holds:
        smallest = largest = math.sqrt(wanted_width * wanted_height)
    else:
        # Another shape has another area at the same size, so any area that the size has anywhere will do.
        table = CLIP_PIXELS if image_size == CLIP_SIZE.name else _pixels_of(model_id)[image_size]
        areas = [math.prod(pixels) for pixels in table.values()]
        smallest, largest = math.sqrt(min(areas)), math.sqrt(max(areas))
    return Honoured(aspect_ratio=ratio_holds, image_size=_within(edge, smallest, largest, tolerance))


def _within(value: float, low: float, high: float, tolerance: float) -> bool:
    return low * (1 - tolerance) <= value <= high * (1 + tolerance)
