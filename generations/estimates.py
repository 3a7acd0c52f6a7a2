"""How long a waiting or running generation will take, and how far it is; figures for people, never for decisions."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from generations import catalog
from generations.models import Attempt, Generation, Status

SAMPLE = 50
KEPT_S = 30
NEARLY_DONE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`progress` is 0..1, `eta_s` seconds until the end, `queue_position` 1 for the next one to be taken."""

    progress: float
    eta_s: float | None = None
    queue_position: int | None = None


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
    """An estimate for each, by primary key; one query for all the queued ones together."""
    generations = list(generations)
    positions = _queue_positions([generation for generation in generations if generation.status == Status.QUEUED])
    return {generation.pk: estimate(generation, positions.get(generation.pk)) for generation in generations}


def _queue_positions(queued: list[Generation]) -> dict[int, int]:
    if not queued:
        return {}
    last = max(generation.pk for generation in queued)
    waiting = Generation.objects.filter(status=Status.QUEUED, pk__lte=last).order_by("pk").values_list("pk", flat=True)
    return {pk: position for position, pk in enumerate(waiting, start=1)}


def estimate(generation: Generation, position: int | None) -> Estimate:
    """The estimate of one whose place in the queue is known (None: it is not waiting)."""
    if generation.is_terminal:
        return Estimate(progress=1.0)
    latency_s = typical_latency_s(model=generation.model, size=generation.spec["image_size"])
    if generation.status == Status.QUEUED or generation.started_at is None:
        rounds = ((position or 1) - 1) // settings.WORKER_CONCURRENCY
        return Estimate(progress=0.0, eta_s=round(latency_s * (rounds + 1), 1), queue_position=position or 1)
    elapsed_s = (timezone.now() - generation.started_at).total_seconds()
    return Estimate(
        progress=round(min(NEARLY_DONE, elapsed_s / max(latency_s, 0.1)), 2),
        eta_s=round(max(0.0, latency_s - elapsed_s), 1),
    )
