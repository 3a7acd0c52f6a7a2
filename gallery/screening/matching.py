"""What a rule looks for, made ready: word lists as one tree of words, patterns as RE2, which is linear in the text.

A rule is read and checked here; nothing of it comes from a request.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import re2

from accounts.errors import InvalidInput
from gallery.perceptual import MAX_DISTANCE as MAX_PICTURE_DISTANCE
from gallery.screening.folding import fold
from gallery.screening.personal import DETECTORS

KINDS = ("words", "near", "pattern", "detector", "picture")
ACTIONS = ("allow", "flag", "block")
MAX_WORDS = 2000
MAX_WORD_CHARS = 60
MAX_PATTERN_CHARS = 2000
# What RE2 does is at most the length of the text times this, for each match that is looked for.
MAX_PROGRAM = 4000
PATTERN_MEMORY = 2 << 20
MAX_HITS = 20  # of one rule in one text; more of them tell nobody more
MAX_DISTANCE = 30
MAX_GAP = 3  # characters between two letters of a word that is spelled out
MIN_SPELLED = 3  # letters that stand one by one are read as a word from here on

_TOKEN = re.compile(r"(?:[^\W_]|[@$])+")
_DRAWN_OUT = re.compile(r"(.)\1\1")
_DISTANCE = re.compile(r"(?m)^[ \t]*~[ \t]*([0-9]{1,3})[ \t]*\r?$")
_STANDS_FOR = [
    str.maketrans({"0": "o", "1": one, "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "@": "a", "$": "s"})
    for one in "il"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """One version of a rule, as the filter reads it; `risk` is 0 to 100, `category` the code of a reason."""

    code: str
    version: int
    kind: str
    body: str
    action: str
    category: str
    risk: int
    label: str = ""


def check_body(kind: str, body: str) -> None:
    """Raises InvalidInput when a rule of this kind cannot say this."""
    match kind:
        case "words":
            _check_words(words_of(body))
        case "near":
            near_of(body)
        case "pattern":
            compile_pattern(body)
        case "detector":
            if body not in DETECTORS:
                raise InvalidInput.of("body", f"There is no detector {body[:40]!r}; there are {', '.join(DETECTORS)}.")
        case "picture":
            picture_distance_of(body)
        case _:
            raise InvalidInput.of("kind", f"A rule is one of {', '.join(KINDS)}.")


def _check_words(lines: Sequence[str]) -> None:
    if not 1 <= len(lines) <= MAX_WORDS:
        raise InvalidInput.of("body", f"{len(lines)} words; 1 to {MAX_WORDS} are possible, one in a line.")
    for line in lines:
        is_odd = "*" in line.strip("*") or (line.startswith("*") and not line.endswith("*"))
        if is_odd or len(line) > MAX_WORD_CHARS or not _TOKEN.search(fold(line)):
            message = f"{line[:MAX_WORD_CHARS]!r} is no word or phrase of up to {MAX_WORD_CHARS} characters."
            raise InvalidInput.of("body", message)


def near_of(body: str) -> tuple[list[str], list[str], int]:
    """The two lists of a rule about words that stand close to each other, and how many words apart they may be.

    A line "~ 8" stands between the lists. Raises InvalidInput.
    """
    parts = _DISTANCE.split(body)
    if len(parts) != 3 or not 1 <= int(parts[1]) <= MAX_DISTANCE:
        message = f"Two lists of words, and between them a line such as ~ 8: how many words apart, 1 to {MAX_DISTANCE}."
        raise InvalidInput.of("body", message)
    left, right = words_of(parts[0]), words_of(parts[2])
    _check_words(left)
    _check_words(right)
    return left, right, int(parts[1])


def picture_distance_of(body: str) -> int:
    """In how many of 64 bits a picture may differ from a refused one: a line such as ~ 4. Raises InvalidInput."""
    found = _DISTANCE.fullmatch(body.strip())
    if found is None or int(found[1]) > MAX_PICTURE_DISTANCE:
        message = f"A line such as ~ 4: in how many bits of 64 the pictures may differ, 0 to {MAX_PICTURE_DISTANCE}."
        raise InvalidInput.of("body", message)
    return int(found[1])


def words_of(body: str) -> list[str]:
    """The lines of a word list, without empty ones and without notes (# ...)."""
    lines = (line.partition("#")[0].strip() for line in body.splitlines())
    return [line for line in lines if line]


@lru_cache(256)
def compile_pattern(body: str) -> Any:
    """A pattern for the folded view; a dot is any character. Raises InvalidInput when RE2 cannot read it."""
    body = body.strip()
    if not body or len(body) > MAX_PATTERN_CHARS:
        raise InvalidInput.of("body", f"A pattern has 1 to {MAX_PATTERN_CHARS} characters.")
    for character in body:
        if not character.isascii() and fold(character) != character:
            read = fold(character) or "nothing"
            message = f"The filter reads {character!r} as {read!r}; a pattern with it would never be found."
            raise InvalidInput.of("body", message)
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    options.dot_nl = True
    options.case_sensitive = False  # the view has no capitals
    try:
        pattern = re2.compile(body, options)
    except re2.error as error:
        what = error.args[0] if error.args else "it cannot be read"
        message = what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
        raise InvalidInput.of("body", f"This is no pattern of RE2: {message}.") from None
    if max(pattern.programsize, pattern.reverseprogramsize) > MAX_PROGRAM:
        raise InvalidInput.of("body", "This pattern is too large: shorten its repetitions.")
    if pattern.search("") is not None:
        raise InvalidInput.of("body", "This pattern fits everything: it also finds nothing at all.")
    return pattern


@lru_cache(8192)
def forms_of(word: str) -> tuple[str, ...]:
    """The word as it stands, without letters drawn out, and with digits read as the letters they stand for."""
    forms = [word]
    if _DRAWN_OUT.search(word):
        forms.append("".join(letter for letter, _ in groupby(word)))
    if not word.isalpha() and any(map(str.isalpha, word)):
        forms += [form.translate(table) for table in _STANDS_FOR for form in tuple(forms)]
    return tuple(dict.fromkeys(forms))


class Phrase(NamedTuple):
    """A phrase of the list `number` at text[start:end]; `place` counts words, -1 inside of one."""

    number: int
    start: int
    end: int
    place: int


class _Node:
    """A place in the tree of words: what may follow, and which lists a phrase that ends here belongs to."""

    __slots__ = ("beginnings", "following", "lengths", "lists")

    def __init__(self) -> None:
        self.following: dict[str, _Node] = {}
        self.lists: list[int] = []
        self.beginnings: dict[str, list[int]] = {}  # word*
        self.lengths: set[int] = set()

    def follow(self, word: str) -> tuple[list["_Node"], list[int]]:
        """Where this word leads in any of its forms, and the lists of phrases that are complete with it."""
        nodes, complete = [], []
        for form in forms_of(word):
            if node := self.following.get(form):
                nodes.append(node)
                complete += node.lists
            for length in self.lengths:
                if length <= len(form):
                    complete += self.beginnings.get(form[:length], ())
        return nodes, complete


class WordTree:
    """The phrases of many lists; what is looked up for each word of a text does not grow with their number."""

    def __init__(self) -> None:
        self._root = _Node()
        # Most words of a text begin nothing, and the same ones come again and again.
        self._begin = lru_cache(8192)(self._root.follow)
        self._inside: dict[str, list[int]] = {}

    def add(self, line: str, number: int) -> None:
        """Let `line` belong to the list of this number."""
        # Upper and lower case of some letters look like different ones: each way of writing is a way of its own.
        for folded in {fold(written) for written in (line, line.upper(), line.title())}:
            if line.startswith("*"):
                self._inside.setdefault(folded.strip("*"), []).append(number)
                continue
            *before, last = _TOKEN.findall(folded)
            node = self._root
            for word in before:
                node = node.following.setdefault(word, _Node())
            if line.endswith("*"):
                node.beginnings.setdefault(last, []).append(number)
                node.lengths.add(len(last))
            else:
                node.following.setdefault(last, _Node()).lists.append(number)

    def find(self, text: str) -> Iterator[Phrase]:
        """Every phrase that is in a folded text, in the order of where it begins but for the odd ones at the end."""
        words = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
        for index, (word, start, end) in enumerate(words):
            nodes, complete = self._begin(word)
            yield from (Phrase(number, start, end, index) for number in complete)
            after = index + 1
            while nodes and after < len(words):
                steps = [node.follow(words[after][0]) for node in nodes]
                for _, complete in steps:
                    yield from (Phrase(number, start, words[after][2], index) for number in complete)
                nodes = [node for reached, _ in steps for node in reached]
                after += 1
        for word, start, end, index in _spelled_out(text, words):
            yield from (Phrase(number, start, end, index) for number in self._begin(word)[1])
        for part, numbers in self._inside.items():
            start = text.find(part)
            while start >= 0:
                yield from (Phrase(number, start, start + len(part), -1) for number in numbers)
                start = text.find(part, start + len(part))


def _spelled_out(text: str, words: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, int, int, int]]:
    """Words whose letters stand one by one (n-u-d-e), with the place of their first letter."""
    first = 0
    while first < len(words):
        after = first
        while after < len(words) and len(words[after][0]) == 1 and (after == first or _is_gap(text, words, after)):
            after += 1
        if after - first >= MIN_SPELLED:
            yield "".join(word for word, _, _ in words[first:after]), words[first][1], words[after - 1][2], first
        first = max(after, first + 1)


def _is_gap(text: str, words: Sequence[tuple[str, int, int]], index: int) -> bool:
    return words[index][1] - words[index - 1][2] <= MAX_GAP


def close_pairs(left: Sequence[Phrase], right: Sequence[Phrase], distance: int) -> Iterator[tuple[int, int]]:
    """From where to where a phrase of one list stands at most `distance` words from one of the other.

    Both are in the order of their places; each is looked at once.
    """
    latest: dict[bool, Phrase] = {}
    sides = [(phrase.place, True, phrase) for phrase in left] + [(phrase.place, False, phrase) for phrase in right]
    for place, is_left, phrase in sorted(sides):
        other = latest.get(not is_left)
        if other is not None and place - other.place <= distance:
            yield min(other.start, phrase.start), max(other.end, phrase.end)
        latest[is_left] = phrase
