"""What the prompt filter says of a wish while it is typed, and of one with personal data before it is sent."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from gallery.screening.rules import category_labels, screen
from gallery.screening.verdicts import Verdict
from generations.forms import Composer

MAX_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Line:
    """One phrase of one's own text, as it was typed; `name` is what it is called: its category, or which data it is."""

    text: str
    name: str
    is_blocked: bool
    is_personal: bool


@dataclass(frozen=True, kw_only=True)
class Hints:
    """The verdict on what stands in a composer, in words."""

    composer: Composer
    verdict: Verdict
    lines: tuple[Line, ...]

    @property
    def is_personal(self) -> bool:
        """Whether there is something that can be masked."""
        return bool(self.verdict.maskable)

    @cached_property
    def masked(self) -> Composer:
        return self.composer.with_texts(self.verdict.mask(self.composer.texts()))

    @property
    def masked_texts(self) -> str:
        """What the fields hold when it is masked, as JSON for the page's script."""
        return json.dumps({"prompt": self.masked.prompt, "styles": self.masked.style_fields}, ensure_ascii=False)

    @property
    def seen(self) -> str:
        """Sent back with the form by whoever was shown these hints, for exactly these words."""
        texts = json.dumps(self.composer.texts(), sort_keys=True)
        return hashlib.sha256(texts.encode("utf-8", "replace")).hexdigest()[:32]


def hints_of(composer: Composer) -> Hints:
    """What the rules in force say of the words in the composer; nothing of them is stored."""
    texts = composer.texts()
    verdict = screen(texts)
    names = category_labels() if verdict.hits else {}
    lines = {}
    for hit in verdict.hits:
        text = " ".join(texts[hit.field][hit.start : hit.end].split())
        name = hit.label if hit.placeholder else names.get(hit.category, hit.category)
        blocked = hit.action == "block"
        lines[text, name] = Line(text=text, name=name, is_blocked=blocked, is_personal=bool(hit.placeholder))
    ordered = sorted(lines.values(), key=lambda line: not line.is_blocked)
    return Hints(composer=composer, verdict=verdict, lines=tuple(ordered[:MAX_LINES]))
