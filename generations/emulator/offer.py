"""What the emulated upstream sells: models, the ratios and sizes of each, and true pixels."""

import re
from dataclasses import dataclass

PIXELS_AT_1K = {
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
# Twice the linear scale, so that a half is still a whole number.
SIZE_IN_HALVES = {"0.5K": 1, "512": 1, "1K": 2, "2K": 4, "4K": 8}
IMAGE_TOKENS = {"0.5K": 747, "512": 747, "1K": 1120, "2K": 1120, "4K": 2000}
COMMON_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
METHODS = ("generateContent", "streamGenerateContent", "countTokens")


@dataclass(frozen=True)
class Model:
    """One model; history_needs_signatures where drafts sent back must carry theirs."""

    id: str
    label: str
    ratios: tuple[str, ...]
    sizes: tuple[str, ...]
    thinking_levels: frozenset[str]
    history_needs_signatures: bool

    def as_json(self) -> dict:
        """The entry of the models list."""
        return {
            "name": f"models/{self.id}",
            "version": "3.0",
            "displayName": self.label,
            "description": f"{self.label} (emulated)",
            "inputTokenLimit": 65536,
            "outputTokenLimit": 32768,
            "supportedGenerationMethods": list(METHODS),
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxTemperature": 1,
            "thinking": True,
        }


MODELS = {
    model.id: model
    for model in (
        Model(
            id="gemini-3.1-flash-image-preview",
            label="Nano Banana 2",
            ratios=tuple(PIXELS_AT_1K),
            sizes=("0.5K", "512", "1K", "2K", "4K"),
            thinking_levels=frozenset({"MINIMAL", "HIGH"}),
            history_needs_signatures=False,
        ),
        Model(
            id="gemini-3-pro-image-preview",
            label="Nano Banana Pro",
            ratios=COMMON_RATIOS,
            sizes=("1K", "2K", "4K"),
            thinking_levels=frozenset({"MINIMAL", "LOW", "MEDIUM", "HIGH"}),
            history_needs_signatures=True,
        ),
    )
}
# The Images API sells these, and any other model of the two families that are still made.
IMAGES_MODELS = ("gpt-image-2", "gpt-image-1.5", "flux-2-pro", "flux-2-flex")
IMAGES_FAMILIES = re.compile(r"gpt-image-(?!1$|1-)[\w.-]+|flux[\w.-]*")


def sold_by_images_api(name: str) -> bool:
    """Is this a model of POST /v1/images/generations?"""
    return IMAGES_FAMILIES.fullmatch(name) is not None


def pixels(ratio: str, size: str) -> tuple[int, int]:
    """Width and height of a picture."""
    width, height = PIXELS_AT_1K[ratio]
    return width * SIZE_IN_HALVES[size] // 2, height * SIZE_IN_HALVES[size] // 2


def nearest_ratio(width: int, height: int, ratios: tuple[str, ...]) -> str:
    """The ratio among these that is closest to the shape of a picture."""

    def distance(ratio: str) -> float:
        across, down = PIXELS_AT_1K[ratio]
        return abs(width / height - across / down) / (across / down)

    return min(ratios, key=distance)
