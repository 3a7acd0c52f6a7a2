"""The picture rules of the filter: nobody brings along what was refused here for a category that a rule names.

Found by its bytes, or by a perceptual hash that is as near as the rule says. Known is only what has been decided in
this review: a list of others' hashes is not asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accounts.errors import FieldError
from accounts.models import User
from gallery.errors import PictureRejected
from gallery.models import Image, PictureHit, Resemblance, ReviewStep
from gallery.screening.matching import RuleText, picture_distance_of
from gallery.screening.rules import category_labels, rules_in_force

REFUSED = (Image.ReviewStatus.REJECTED, Image.ReviewStatus.APPEALED, Image.ReviewStatus.QUARANTINED)
CANDIDATES = 500  # the latest decisions on what could look like it


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A picture that somebody brings along, and the field that names it; `hash` is empty when it has none."""

    field: str
    sha256s: tuple[str, ...]
    hash: str


@dataclass(frozen=True)
class _Found:
    rule: RuleText
    decision: ReviewStep
    distance: int


def admit_pictures(*, user: User, brought: Sequence[Brought], door: str, is_kept: bool = True) -> None:
    """Let pictures in that somebody wants to use; nothing of them may be stored, held or sent before.

    The hit is kept for the operators, without the picture: which rule and version, whom it met, at which door, and
    like which decision; not with `is_kept` off, for a question that changes nothing. Precondition: no open
    transaction. Raises PictureRejected.
    """
    rules = [rule for rule in rules_in_force().rules if rule.kind == "picture"]
    if not rules or not brought:
        return
    for picture in brought:
        if found := _look(picture, rules):
            if is_kept:
                _keep(user, door, found)
            raise _refusal_of(picture, found.rule)


def _look(picture: Brought, rules: Iterable[RuleText]) -> _Found | None:
    """The nearest of what a rule blocks."""
    # Of two rules for a category the one that reaches farther holds.
    by_reach = sorted((picture_distance_of(rule.body), rule.code, rule) for rule in rules)
    reach = {rule.category: (farthest, rule) for farthest, _, rule in by_reach}
    rows = Resemblance.objects.near(*picture.sha256s, hash=picture.hash).filter(
        review__image__review_status__in=REFUSED, review__decision__reason__code__in=reach
    )
    nearest: _Found | None = None
    for row in rows.select_related("review__decision__reason").order_by("-review__decision")[:CANDIDATES]:
        decision = row.review.decision
        assert decision is not None, "the filter asks for its reason"
        assert decision.reason is not None, "and so here"
        farthest, rule = reach[decision.reason.code]
        distance = row.distance_to(*picture.sha256s, hash=picture.hash)
        if distance is not None and distance <= farthest and (nearest is None or distance < nearest.distance):
            nearest = _Found(rule, decision, distance)
    return nearest


def _keep(user: User, door: str, found: _Found) -> None:
    PictureHit.objects.create(
        user=user,
        door=door,
        rule=found.rule.code,
        rule_version=found.rule.version,
        category=found.rule.category,
        decision=found.decision,
        distance=found.distance,
    )


def _refusal_of(picture: Brought, rule: RuleText) -> PictureRejected:
    name = category_labels().get(rule.category, rule.category)
    message = f"A rule of this site refuses this picture: it is one that was refused here, or looks like it ({name})."
    return PictureRejected(
        message,
        errors=(FieldError(picture.field, message),),
        rule_class=rule.category,
        rule=rule.code,
        rule_version=rule.version,
    )
