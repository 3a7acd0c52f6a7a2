"""How long a waiting or running generation will take, and how far it is; figures for people, never for decisions."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from statistics import median

from django.core.cache import cache
from django.utils import timezone

from generations import catalog
from generations.models import Attempt, Generation
from generations.turns import Standing, standings

SAMPLE = 50
KEPT_S = 30
NEARLY_DONE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`progress` is 0..1, `eta_s` seconds until the end, `queue_position` 1 for the next one to be taken.

    `reason` says in a sentence why it waits; empty while somebody works on it.
    """

    progress: float
    eta_s: float | None = None
    queue_position: int | None = None
    reason: str = ""


def typical_latency_s(*, model: str, size: str) -> float:
    """The median of the last calls that brought a picture; the articles' 20 s until there are any."""
    key = f"latency:{model}:{size}"
    known: float | None = cache.get(key)
    if known is None:
        recent = Attempt.objects.filter(generation__model=model, outcome="ok", elapsed_ms__isnull=False)
        recent = recent.filter(generation__spec__image_size=size).order_by("-pk")
        times = [elapsed_ms or 0 for elapsed_ms in recent.values_list("elapsed_ms", flat=True)[:SAMPLE]]
        known = median(times) / 1000 if times else float(catalog.typical_latency_s(size))
        cache.set(key, known, KEPT_S)
    return known


def estimate_all(generations: Iterable[Generation]) -> dict[int, Estimate]:
    """An estimate for each, by primary key; they come from `with_place`. Reads `attempts`."""
    generations = list(generations)
    found = standings(generations)
    return {generation.pk: _estimate(generation, found.get(generation.pk)) for generation in generations}


def _estimate(generation: Generation, standing: Standing | None) -> Estimate:
    if generation.is_terminal:
        return Estimate(progress=1.0)
    latency_s = typical_latency_s(model=generation.model, size=generation.spec["image_size"])
    if standing is not None:
        return Estimate(
            progress=0.0,
            eta_s=round(latency_s * (standing.rounds + 1), 1),
            queue_position=standing.ahead + 1,
            reason=_why_queued(standing),
        )
    now = timezone.now()
    elapsed_s = (now - (generation.started_at or now)).total_seconds()
    progress = round(min(NEARLY_DONE, elapsed_s / max(latency_s, 0.1)), 2)
    if generation.reused_from_id is not None or generation.lease_owner:
        reason = "" if generation.lease_owner else "The same wish is being painted; its pictures are shown here too."
        return Estimate(progress=progress, eta_s=round(max(0.0, latency_s - elapsed_s), 1), reason=reason)
    wait_s = max(0.0, (generation.next_run_at - now).total_seconds())
    return Estimate(progress=progress, eta_s=round(wait_s + latency_s, 1), reason=_why_parked(generation, wait_s))


def _why_queued(standing: Standing) -> str:
    ahead, own = standing.ahead, standing.ahead_own
    if standing.free > ahead:
        return "A worker is about to take it."
    if not ahead:
        return "Next; waiting for a free worker."
    if own == ahead:
        return f"{own} of your own {'is' if own == 1 else 'are'} ahead."
    of_own = f", {own} of them your own" if own else ""
    return f"{ahead} ahead of you{of_own}; each person's pictures take turns."


def _why_parked(generation: Generation, wait_s: float) -> str:
    if wait_s <= 0:
        return "Waiting for a free worker to go on."
    wait = f"{ceil(wait_s)} s"
    if generation.stage == "upstream_resting":
        return f"The provider failed again and again and is left alone for another {wait}."
    last = max(generation.attempts.all(), key=lambda attempt: attempt.number, default=None)
    if last is not None and last.outcome == "rate_limited":
        return f"The provider asked us to wait; trying again in {wait}."
    return f"Trying again in {wait}."
