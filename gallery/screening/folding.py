"""A text as the rules read it: look-alikes folded, what cannot be seen left out, and each character's place kept.

Two views. The plain one is for numbers and addresses: compatibility forms (NFKC), digits of every script, dashes. The
folded one is for words: also without case, accents and look-alikes of other scripts. Both are made character by
character, so that a span in them is a span of the original.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

# Letters that look like a Latin one: pairs of what stands there and what it is read as. Case is folded first, so both
# cases of a letter are read alike; a rule's own words are folded too, and stay what they are among themselves.
_LOOK_ALIKES = {
    "а": "a", "в": "b", "е": "e", "з": "3", "і": "i", "ї": "i", "ј": "j", "к": "k", "м": "m", "н": "h", "о": "o",
    "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ѕ": "s", "ԁ": "d", "ԛ": "q", "ԝ": "w", "ӏ": "l", "һ": "h",
    "ѵ": "v", "ғ": "f", "ү": "y", "ҽ": "e", "г": "r", "п": "n", "ь": "b", "ё": "e",
    "α": "a", "β": "b", "γ": "y", "ε": "e", "ζ": "z", "η": "n", "ι": "i", "κ": "k", "μ": "m", "ν": "v", "ο": "o",
    "ρ": "p", "σ": "o", "τ": "t", "υ": "u", "χ": "x", "ω": "w", "ϲ": "c", "ϳ": "j",
    "օ": "o", "ս": "u", "հ": "h", "ո": "n", "ց": "g", "յ": "j", "զ": "q", "ք": "p",
    "ı": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ð": "d", "þ": "p", "æ": "ae", "œ": "oe", "ɑ": "a",
    "ɡ": "g", "ɩ": "i", "ʋ": "v", "ɯ": "w", "ɛ": "e", "ə": "e", "ƅ": "b", "ƽ": "s", "ǀ": "l", "ꞵ": "b", "ꭓ": "x",
    "ɐ": "a", "ɔ": "o", "ᴉ": "i", "ɹ": "r", "ʇ": "t", "ʌ": "v", "ʍ": "w", "ʎ": "y", "ɥ": "h", "ʞ": "k",
}  # fmt: skip
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
_SHAPES = _LOOK_ALIKES | _SMALL_CAPITALS
# Capitals in boxes, of which NFKC knows only some, and the letters that flags are made of.
_BOXED = (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
# Seen as nothing, though Unicode calls them letters; and one that is seen as a space.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
_BLANK = "\u2800"
_UNSEEN = frozenset({"Cf", "Cc"})
_MARKS = frozenset({"Mn", "Me"})
_CACHED = 4096


@dataclass(frozen=True, slots=True)
class View:
    """A text as it is read, and where each of its characters stood; `origins` is None where nothing has moved."""

    text: str
    source: str
    origins: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original that the characters from `start` to before `end` come from, with its accents."""
        if self.origins is None:
            return start, end
        first, after = self.origins[start], self.origins[end - 1] + 1
        while after < len(self.source) and unicodedata.category(self.source[after]) in _MARKS:
            after += 1
        return first, after


def plain_view(text: str) -> View:
    """For numbers and addresses: case, accents and the letters of other scripts stay."""
    return View(text, text) if text.isascii() else _view(text, _plain)


def folded_view(text: str) -> View:
    """For words: what looks alike is alike."""
    return View(text.lower(), text) if text.isascii() else _view(text, _folded)


def fold(text: str) -> str:
    """A text as the folded view shows it."""
    return folded_view(text).text


def _view(text: str, read: Callable[[str], str]) -> View:
    parts = list(map(read, text))
    shown = "".join(parts)
    if len(shown) == len(text) and "" not in parts:  # one for one: nothing has moved
        return View(shown, text)
    return View(shown, text, [index for index, part in enumerate(parts) for _ in part])


@lru_cache(_CACHED)
def _plain(character: str) -> str:
    return "".join(map(_plain_one, unicodedata.normalize("NFKC", character)))


def _plain_one(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\t\n\r":
        return character
    if category in _UNSEEN or category == "Me" or character in _FILLERS:
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "Pd" or character == "\u2212":
        return "-"
    return " " if category == "Zs" or character == _BLANK else character


@lru_cache(_CACHED)
def _folded(character: str) -> str:
    for first in _BOXED:
        if first <= ord(character) < first + 26:
            return chr(ord("a") + ord(character) - first)
    seen = (each for each in unicodedata.normalize("NFKD", character) if unicodedata.category(each) not in _MARKS)
    return "".join(_SHAPES.get(each, each) for one in seen for each in _plain_one(one).casefold())
