"""Figures of the review: how long pictures wait, how often rules are right, how much reviewers see (TRUST M6, M14).

There is no figure of one reviewer's speed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from django.utils import timezone

from gallery.models import Reveal, Review, ReviewStep
from gallery.models.review import HIGH_RISK
from gallery.review.access import name_of_reviewer
from gallery.review.exposure import HOUR
from gallery.review.steps import HIGH_RISK_SLA, SLA

PRECISION_WINDOW = timedelta(days=30)
DECIDED_WINDOW = timedelta(days=1)
MAX_DECIDED = 5000  # the latest of the window are enough for a quantile
FINAL = ("approved", "rejected", "quarantined")


@dataclass(frozen=True, kw_only=True)
class RuleFigures:
    """Decisions of the last 30 days over what a rule had marked; `upheld` were refused."""

    rule: str
    marked: int
    upheld: int

    @property
    def percent(self) -> int:
        return round(100 * self.upheld / self.marked)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How many high-risk pictures one reviewer has uncovered."""

    reviewer: str
    last_hour: int
    last_day: int


@dataclass(frozen=True, kw_only=True)
class ReviewFigures:
    """Seconds, and None where there is nothing to measure."""

    waiting: int
    waiting_high_risk: int
    waiting_appeals: int
    overdue: int
    oldest_at: datetime | None
    decided: int
    decided_late: int
    p50_s: float | None
    p90_s: float | None
    rules: list[RuleFigures]
    exposure: list[Exposure]

    @property
    def oldest_s(self) -> float:
        """0 when nothing waits."""
        return (timezone.now() - self.oldest_at).total_seconds() if self.oldest_at else 0.0

    @property
    def p50_ms(self) -> int | None:
        return None if self.p50_s is None else round(self.p50_s * 1000)

    @property
    def p90_ms(self) -> int | None:
        return None if self.p90_s is None else round(self.p90_s * 1000)


def figures() -> ReviewFigures:
    """All of them, as of now; the decisions are those of the last day."""
    now = timezone.now()
    queue = Review.objects.filter(queued_at__isnull=False, image__trashed_at=None).aggregate(
        waiting=Count("pk"),
        high=Count("pk", filter=Q(risk__gte=HIGH_RISK)),
        appeals=Count("pk", filter=Q(source="appeal")),
        overdue=Count("pk", filter=Q(due_at__lt=now)),
        oldest=Min("queued_at"),
    )
    decided = _decided(now - PRECISION_WINDOW)
    waits = _waits([step for step in decided if step.created_at > now - DECIDED_WINDOW])
    return ReviewFigures(
        waiting=queue["waiting"],
        waiting_high_risk=queue["high"],
        waiting_appeals=queue["appeals"],
        overdue=queue["overdue"],
        oldest_at=queue["oldest"],
        decided=len(waits),
        decided_late=sum(wait > sla for wait, sla in waits),
        p50_s=quantile([wait for wait, _ in waits], 0.5),
        p90_s=quantile([wait for wait, _ in waits], 0.9),
        rules=_rules(decided),
        exposure=_exposure(now),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of all does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _decided(since: datetime) -> list[ReviewStep]:
    """Decisions of people that hold: final ones that were not taken back."""
    steps = ReviewStep.objects.filter(
        created_at__gt=since,
        verb__in=["approve", "reject", "quarantine"],
        to_status__in=FINAL,
        is_automated=False,
        undone_by=None,
        queued_at_before__isnull=False,
    )
    columns = ("created_at", "queued_at_before", "risk_before", "rule_hits", "to_status")
    return list(steps.only(*columns).order_by("-pk")[:MAX_DECIDED])


def _waits(decided: Sequence[ReviewStep]) -> list[tuple[float, float]]:
    """Of each decision: how long it took, and how long it might have."""
    return [
        (
            (step.created_at - step.queued_at_before).total_seconds(),
            (HIGH_RISK_SLA if step.risk_before >= HIGH_RISK else SLA).total_seconds(),
        )
        for step in decided
        if step.queued_at_before
    ]


def _rules(decided: Sequence[ReviewStep]) -> list[RuleFigures]:
    marked: Counter[str] = Counter()
    upheld: Counter[str] = Counter()
    for step in decided:
        for rule in {f"{hit.get('rule', '')} v{hit.get('version', '')}" for hit in step.rule_hits}:
            marked[rule] += 1
            upheld[rule] += step.to_status != "approved"
    return [RuleFigures(rule=rule, marked=count, upheld=upheld[rule]) for rule, count in sorted(marked.items())]


def _exposure(now: datetime) -> list[Exposure]:
    since = now - timedelta(days=1)
    reveals = Reveal.objects.filter(created_at__gt=since).select_related("user").order_by("user_id")
    day: Counter[int] = Counter()
    hour: Counter[int] = Counter()
    names = {}
    for each in reveals:
        names[each.user_id] = name_of_reviewer(each.user)
        day[each.user_id] += 1
        hour[each.user_id] += each.created_at > now - HOUR
    rows = [Exposure(reviewer=names[pk], last_hour=hour[pk], last_day=day[pk]) for pk in day]
    return sorted(rows, key=lambda row: row.reviewer)
