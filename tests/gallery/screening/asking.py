"""Rules made for a test, and what they say of a text."""

from gallery.screening.matching import RuleText
from gallery.screening.verdicts import Hit, Ruleset, Verdict


def rule(body: str, *, kind: str = "words", action: str = "flag", code: str = "rule", **fields: object) -> RuleText:
    wanted = {"version": 1, "category": "sexual", "risk": 60, **fields}
    return RuleText(code=code, kind=kind, body=body, action=action, **wanted)


def detector(name: str) -> RuleText:
    return rule(name, kind="detector", code=f"pii_{name}", category="privacy", label=name)


def ask(text: str, *rules: RuleText) -> Verdict:
    return Ruleset(rules).screen({"prompt": text})


def found(text: str, *rules: RuleText) -> list[str]:
    """The parts of the original text that are hits."""
    return [text[hit.start : hit.end] for hit in ask(text, *rules).hits]


def only(verdict: Verdict) -> Hit:
    (hit,) = verdict.hits
    return hit
