"""What a prompt says in words: chat completions has no other place for shape, number and length.

Where several are named the last one counts, because clients write their own wishes behind those of a person.
"""

import re

from generations.emulator.offer import PIXELS_AT_1K, nearest_ratio, pixels

SIDES = re.compile(r"\b(\d{2,5})\s?[x×]\s?(\d{2,5})\b")
LINES = re.compile(r"\b(480|720|1080)p\b", re.IGNORECASE)
RATIO = re.compile(r"(?<![\d:.])(\d{1,2}:\d{1,2})(?![\d:])")
TIER = re.compile(r"\b(0\.5|1|2|4)K\b")
SECONDS = re.compile(r"\b(\d(?:\.\d)?)[\s-]?(?:s|sec|secs|second|seconds)\b", re.IGNORECASE)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
COUNT = re.compile(
    rf"\b(\d{{1,2}}|{'|'.join(NUMBERS)})\s+(?:[\w-]+\s+){{0,2}}?(?:variants?|variations?|versions?|images|pictures)\b",
    re.IGNORECASE,
)
LARGEST_PIXELS = 20_000_000
USUAL_COUNT = 3
CLIP_S = 2.0
LONGEST_CLIP_S = 3.0
CLIP_SIDE = 1920  # pixels at most


def read_shape(text: str) -> tuple[str, str, int, int]:
    """Ratio, tier or pixels, width and height: exact pixels if the words name them, else a ratio and a tier."""
    sides = [(int(width), int(height)) for width, height in SIDES.findall(text)]
    usable = [(w, h) for w, h in sides if w >= 64 <= h and w * h <= LARGEST_PIXELS]
    if usable:
        width, height = usable[-1]
        return nearest_ratio(width, height, tuple(PIXELS_AT_1K)), f"{width}x{height}", width, height
    ratio = read_ratio(text) or "1:1"
    tier = ([f"{found}K" for found in TIER.findall(text)] or ["1K"])[-1]
    return ratio, tier, *pixels(ratio, tier)


def read_ratio(text: str) -> str | None:
    """The last ratio that is sold."""
    named = [ratio for ratio in RATIO.findall(text) if ratio in PIXELS_AT_1K]
    return named[-1] if named else None


def read_count(text: str) -> int:
    """How many pictures."""
    found = COUNT.findall(text)
    if not found:
        return USUAL_COUNT
    word = found[-1].lower()
    number = int(word) if word.isdecimal() else NUMBERS.index(word) + 1
    return min(max(number, 1), 10)


def read_clip(text: str, directive: str) -> tuple[str, float, int, int]:
    """Format, seconds, width and height of a clip; the directive decides what the prompt leaves open."""
    lines = int((LINES.findall(text) or ["720"])[-1])
    across, down = (int(side) for side in (read_ratio(text) or "16:9").split(":"))
    longer = round(lines * max(across, down) / min(across, down) / 2) * 2
    width, height = (longer, lines) if across >= down else (lines, longer)
    width, height = ([(int(w), int(h)) for w, h in SIDES.findall(text)] or [(width, height)])[-1]
    seconds = [float(found) for found in SECONDS.findall(text)] or [CLIP_S]
    clip_format = _last_format(text) or _last_format(directive) or "MP4"
    width, height = (min(max(side, 64), CLIP_SIDE) for side in (width, height))
    return clip_format, min(max(seconds[-1], 1.0), LONGEST_CLIP_S), width, height


def _last_format(text: str) -> str:
    named = re.findall(r"\b(mp4|gif)\b", text, re.IGNORECASE)
    return named[-1].upper() if named else ""
