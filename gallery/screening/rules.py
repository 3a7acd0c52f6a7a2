"""The verbs of the filter: screen texts by the rules in force, and write the next version of a rule."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from threading import Lock

from django.db import IntegrityError, transaction
from django.db.models import Count, Max

from accounts.errors import Conflict, FieldError, InvalidInput
from accounts.models import User
from gallery.errors import PromptRejected
from gallery.models import Reason, Rule
from gallery.screening.matching import ACTIONS, KINDS, RuleText, check_body
from gallery.screening.verdicts import MAX_KEPT, Ruleset, Verdict

MAX_RISK = 100
_CODE = re.compile(r"[a-z][a-z0-9_]{1,39}")


def screen(texts: Mapping[str, str]) -> Verdict:
    """What the rules in force say of these texts, by the name of their field. Stores nothing."""
    return rules_in_force().screen(texts)


def admit(texts: Mapping[str, str]) -> Verdict:
    """As `screen`, for texts that somebody asks us to use: nothing of them may be stored, held or sent before.

    Precondition: no open transaction. Raises PromptRejected.
    """
    verdict = screen(texts)
    if verdict.blocking:
        raise refusal_of(verdict)
    return verdict


def refusal_of(verdict: Verdict) -> PromptRejected:
    """The refusal of a text that a rule blocks: class, rule and version of the first, and every place."""
    names = category_labels()
    first = verdict.blocking[0]
    by_field: dict[str, list[str]] = {}
    for hit in verdict.blocking:
        names_here = by_field.setdefault(hit.field, [])
        if (name := names.get(hit.category, hit.category)) not in names_here:
            names_here.append(name)
    errors = tuple(
        FieldError(field, f"A rule of this site refuses it: {', '.join(found)}.") for field, found in by_field.items()
    )
    return PromptRejected(
        errors[0].message,
        errors=errors,
        rule_class=first.category,
        rule=first.rule,
        rule_version=first.version,
        spans=[hit.as_policy() for hit in verdict.blocking[:MAX_KEPT]],
    )


def category_labels() -> dict[str, str]:
    """How the categories are called, by their code."""
    return {reason.code: reason.label for reason in Reason.objects.current()}


def text_of(rule: Rule) -> RuleText:
    return RuleText(
        code=rule.code,
        version=rule.version,
        kind=rule.kind,
        body=rule.body,
        action=rule.action,
        category=rule.category,
        risk=rule.risk,
        label=rule.label,
    )


# --- The rules in force, made ready once a process ------------------------------------------------

_Edition = tuple[int, int | None, datetime | None]
_ready: tuple[_Edition, Ruleset] | None = None
_making = Lock()


def rules_in_force() -> Ruleset:
    """The rules as they are now; one small query tells whether those that are ready are still the latest."""
    global _ready
    edition = _edition()
    ready = _ready
    if ready is None or ready[0] != edition:
        with _making:  # a new rule is made ready once, not by every thread that finds it
            ready = _ready
            if ready is None or ready[0] != edition:
                ready = _ready = (edition, Ruleset([text_of(rule) for rule in Rule.objects.in_force()]))
    return ready[1]


def _edition() -> _Edition:
    """What changes with every new row. Not the highest id alone: a lower one may be committed after it."""
    facts = Rule.objects.aggregate(count=Count("pk"), last=Max("pk"), at=Max("created_at"))
    return facts["count"], facts["last"], facts["at"]


# --- Writing rules --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What a version of a rule says; `risk` is 0 to 100, `category` the code of a reason."""

    label: str
    kind: str
    body: str
    action: str
    category: str
    risk: int
    is_enabled: bool


def write_rule(*, code: str, wording: Wording, by: User, note: str = "", version: int = 0) -> Rule:
    """The version of a rule after `version`, 0 for a new rule. Raises InvalidInput, Conflict (somebody was faster)."""
    check_code(code)
    check_wording(wording)
    latest = Rule.objects.filter(code=code).aggregate(version=Max("version"))["version"] or 0
    if latest != version:
        raise _written_meanwhile(code)
    try:
        with transaction.atomic():
            return Rule.objects.create(code=code, version=version + 1, created_by=by, note=note, **asdict(wording))
    except IntegrityError:  # two who changed the same version: the unique constraint lets one of them write
        raise _written_meanwhile(code) from None


def switch_rule(*, code: str, version: int, is_enabled: bool, by: User) -> Rule:
    """The same rule in a new version that is on, or off. Raises Conflict."""
    rule = Rule.objects.filter(code=code, version=version).first()
    if rule is None:
        raise _written_meanwhile(code)
    wording = Wording(**{each.name: getattr(rule, each.name) for each in fields(Wording)})
    wording = replace(wording, is_enabled=is_enabled)
    return write_rule(code=code, wording=wording, by=by, note="On" if is_enabled else "Off", version=version)


def check_code(code: str) -> None:
    """Raises InvalidInput for a name that a rule cannot have."""
    if not _CODE.fullmatch(code):
        raise InvalidInput.of("code", "A code is 2 to 40 small letters, digits and underscores.")


def check_wording(wording: Wording) -> None:
    """Raises InvalidInput for a rule that would not work."""
    if wording.kind not in KINDS:
        raise InvalidInput.of("kind", f"A rule is one of {', '.join(KINDS)}.")
    if wording.action not in ACTIONS:
        raise InvalidInput.of("action", f"A rule does one of {', '.join(ACTIONS)}.")
    if wording.category not in (known := category_labels()):
        raise InvalidInput.of("category", f"There is no category {wording.category!r}; there are {', '.join(known)}.")
    if not 0 <= wording.risk <= MAX_RISK:
        raise InvalidInput.of("risk", f"A risk is a whole number from 0 to {MAX_RISK}.")
    if wording.kind == "picture" and wording.action != "block":
        raise InvalidInput.of("action", "A rule about pictures blocks, or is switched off.")
    check_body(wording.kind, wording.body)


def _written_meanwhile(code: str) -> Conflict:
    return Conflict(f"The rule {code} has another version by now.", remedy="Look at it again.")
