"""A rule on trial: what it would change for texts that people have sent, before it is switched on.

It tells how many, and the words that were found, masked; never whose they are, nor the text around them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gallery.models import Rule
from gallery.screening.rules import text_of
from gallery.screening.verdicts import Hit, Ruleset, Verdict, resolve

MAX_PHRASES = 30


@dataclass(frozen=True, kw_only=True)
class Flip:
    """How many texts would go from one action to another."""

    before: str
    after: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a rule would do; `phrases` are what it found, masked, with how many texts hold each."""

    looked_at: int
    found_in: int
    flips: tuple[Flip, ...]
    phrases: tuple[tuple[str, int], ...]

    @property
    def flipped(self) -> int:
        return sum(flip.count for flip in self.flips)


def try_rule(rule: Rule, wishes: Iterable[Mapping[str, str]]) -> Trial:
    """Compare the rules in force, as they are, with this version in the place of its present one.

    A version that is in force already is compared with there being no such rule.
    """
    in_force = list(Rule.objects.in_force())
    others = [each for each in in_force if each.pk != rule.pk]
    # Each text is read once: the hits say which version they are of.
    ruleset = Ruleset([text_of(each) for each in (*others, rule)])
    flips: Counter[tuple[str, str]] = Counter()
    phrases: Counter[str] = Counter()
    looked_at = found_in = 0
    for texts in wishes:
        looked_at += 1
        hits = [hit for field, text in texts.items() for hit in ruleset.find(field, text)]
        mine = [hit for hit in hits if _is_of(hit, rule)]
        found_in += bool(mine)
        phrases.update({hit.masked for hit in mine})
        before = _action([hit for hit in hits if not _is_of(hit, rule)])
        after = _action([hit for hit in hits if hit.rule != rule.code or hit.version == rule.version])
        if before != after:
            flips[before, after] += 1
    return Trial(
        looked_at=looked_at,
        found_in=found_in,
        flips=tuple(Flip(before=old, after=new, count=count) for (old, new), count in sorted(flips.items())),
        phrases=tuple(phrases.most_common(MAX_PHRASES)),
    )


def _is_of(hit: Hit, rule: Rule) -> bool:
    return (hit.rule, hit.version) == (rule.code, rule.version)


def _action(hits: Iterable[Hit]) -> str:
    """What comes of them together; exceptions hold inside their own field only."""
    by_field: dict[str, list[Hit]] = {}
    for hit in hits:
        by_field.setdefault(hit.field, []).append(hit)
    return Verdict(tuple(hit for found in by_field.values() for hit in resolve(found))).action
