"""What the rules say of some texts: hits with their places, and whether they go on, are marked, or are refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gallery.screening.folding import folded_view, plain_view
from gallery.screening.matching import (
    MAX_HITS,
    Phrase,
    RuleText,
    WordTree,
    close_pairs,
    compile_pattern,
    near_of,
    words_of,
)
from gallery.screening.personal import DETECTORS, masked

MAX_MASKED_CHARS = 60
MAX_KEPT = 50
PRIVATE = "privacy"  # the category of which no word is kept
SURENESS = {name: place for place, name in enumerate(DETECTORS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What one rule found: `text[start:end]` of the field, of which only the masked form is kept.

    `risk` is 0 to 100; `placeholder` is what stands for it when it is taken out, empty for what is not personal data.
    """

    field: str
    start: int
    end: int
    rule: str
    version: int
    label: str
    category: str
    action: str
    risk: int
    masked: str
    placeholder: str = ""
    detector: str = ""

    def as_json(self) -> dict[str, Any]:
        """How it is kept with a generation, a picture and its review."""
        return {**self.as_policy(), "score": self.risk / 100, "masked": self.masked}

    def as_policy(self) -> dict[str, Any]:
        """What the author of the text is told."""
        return {
            "rule": self.rule,
            "version": self.version,
            "class": self.category,
            "action": self.action,
            "field": self.field,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All hits, in the order of the fields and of their places; none when everything is allowed."""

    hits: tuple[Hit, ...] = ()

    @property
    def action(self) -> str:
        """The severest of them: "block", "flag" or "allow"."""
        actions = {hit.action for hit in self.hits}
        return next((action for action in ("block", "flag") if action in actions), "allow")

    @property
    def blocking(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.action == "block")

    @property
    def maskable(self) -> tuple[Hit, ...]:
        """Personal data, which a click takes out."""
        return tuple(hit for hit in self.hits if hit.placeholder)

    def kept(self) -> list[dict[str, Any]]:
        """The hits as rows keep them, the riskiest when there are very many."""
        return [hit.as_json() for hit in sorted(self.hits, key=lambda hit: -hit.risk)[:MAX_KEPT]]

    def policy(self) -> dict[str, Any]:
        """The verdict as an answer tells it."""
        return {"action": self.action, "hits": [hit.as_policy() for hit in self.hits[:MAX_KEPT]]}

    def mask(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The texts with a placeholder for each piece of personal data; what overlaps is taken out together."""
        done = dict(texts)
        for field, text in texts.items():
            for start, end, placeholder in reversed(_merged([hit for hit in self.maskable if hit.field == field])):
                text = text[:start] + placeholder + text[end:]
            done[field] = text
        return done


def _merged(hits: Iterable[Hit]) -> list[tuple[int, int, str]]:
    parts: list[tuple[int, int, str]] = []
    for hit in sorted(hits, key=lambda hit: hit.start):
        if parts and hit.start < parts[-1][1]:
            start, end, placeholder = parts.pop()
            parts.append((start, max(end, hit.end), placeholder))
        else:
            parts.append((hit.start, hit.end, hit.placeholder))
    return parts


class Ruleset:
    """Rules made ready, to be asked about any number of texts by any number of threads."""

    def __init__(self, rules: Sequence[RuleText]) -> None:
        self.rules = tuple(rules)
        self._words = WordTree()
        self._near: dict[int, int] = {}  # of how many words two lists may be apart, by rule
        self._patterns = []
        self._detectors = []
        for index, rule in enumerate(self.rules):
            match rule.kind:
                case "words":
                    for line in words_of(rule.body):
                        self._words.add(line, 2 * index)
                case "near":
                    left, right, self._near[index] = near_of(rule.body)
                    for number, lines in ((2 * index, left), (2 * index + 1, right)):
                        for line in lines:
                            self._words.add(line, number)
                case "pattern":
                    self._patterns.append((index, compile_pattern(rule.body)))
                case "detector":
                    self._detectors.append((index, DETECTORS[rule.body]))

    def screen(self, texts: Mapping[str, str]) -> Verdict:
        """The verdict on texts by the name of their field; their order is that of the hits."""
        return Verdict(tuple(hit for field, text in texts.items() for hit in resolve(self.find(field, text))))

    def find(self, field: str, text: str) -> list[Hit]:
        """Everything that any rule finds, the exceptions too."""
        folded, plain = folded_view(text), plain_view(text)
        counts = [0] * len(self.rules)
        hits = []

        def found(index: int, span: tuple[int, int]) -> bool:
            """Note it; False when this rule has found enough."""
            hits.append(_hit(self.rules[index], field, text, span))
            counts[index] += 1
            return counts[index] < MAX_HITS

        near: dict[int, tuple[list[Phrase], list[Phrase]]] = {index: ([], []) for index in self._near}
        for phrase in self._words.find(folded.text):
            index, side = divmod(phrase.number, 2)
            if index in near:
                near[index][side].append(phrase)
            elif counts[index] < MAX_HITS:
                found(index, folded.span(phrase.start, phrase.end))
        for index, (left, right) in near.items():
            for start, end in close_pairs(left, right, self._near[index]):
                if not found(index, folded.span(start, end)):
                    break
        for index, pattern in self._patterns:
            for match in pattern.finditer(folded.text):
                if match.end() > match.start() and not found(index, folded.span(*match.span())):
                    break
        for index, detector in self._detectors:
            for start, end in detector.find(plain.text):
                if not found(index, plain.span(start, end)):
                    break
        private = [hit for hit in hits if hit.detector]
        return [_without_private(hit, private) for hit in hits]


def _hit(rule: RuleText, field: str, text: str, span: tuple[int, int]) -> Hit:
    start, end = span
    detector = rule.body if rule.kind == "detector" else ""
    found = text[start:end]
    if detector:
        kept = masked(detector, found)
    elif rule.category == PRIVATE:
        kept = f"{found[0]}…"
    else:
        kept = " ".join(found.split())[:MAX_MASKED_CHARS]
    return Hit(
        field=field,
        start=start,
        end=end,
        rule=rule.code,
        version=rule.version,
        label=rule.label,
        category=rule.category,
        action=rule.action,
        risk=rule.risk,
        masked=kept,
        placeholder=DETECTORS[detector].placeholder if detector else "",
        detector=detector,
    )


def _without_private(hit: Hit, private: Sequence[Hit]) -> Hit:
    """Nothing is kept of words with somebody's data among them."""
    is_open = not hit.detector and any(_overlaps(other, hit) for other in private)
    return replace(hit, masked="…") if is_open else hit


def resolve(hits: Iterable[Hit]) -> list[Hit]:
    """What holds of the hits in one text: an exception clears what lies inside it, and digits are one thing only."""
    found = sorted(set(hits), key=lambda hit: (hit.start, -hit.end, SURENESS.get(hit.detector, 0)))
    exceptions = [hit for hit in found if hit.action == "allow"]
    sure = [hit for hit in found if hit.detector]
    return [
        hit
        for hit in found
        if hit.action != "allow"
        and not any(_covers(other, hit) for other in exceptions)
        and not any(other is not hit and _outdoes(other, hit) for other in sure if hit.detector)
    ]


def _covers(outer: Hit, inner: Hit) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _overlaps(one: Hit, other: Hit) -> bool:
    return one.start < other.end and other.start < one.end


def _outdoes(other: Hit, hit: Hit) -> bool:
    """Whether another detector has a better claim on the same characters."""
    if not _overlaps(other, hit):
        return False
    if SURENESS[other.detector] != SURENESS[hit.detector]:
        return SURENESS[other.detector] < SURENESS[hit.detector]
    return _covers(other, hit) and (other.start, other.end) != (hit.start, hit.end)
