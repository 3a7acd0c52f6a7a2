"""Whose turn it is: the order in which free workers take what waits, and where a job stands in it.

Everybody's waiting jobs are a line of their own, first come first served; a retry that is due stands where its job
stood. A free worker goes to the line whose head has the lowest `priority`, then to the person with the fewest jobs
under way, then to the one whose last turn is longest ago. So nobody who has nothing under way waits for more than one
start of each other person, however many jobs those have.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from generations.models import Generation, Status, Turn

KEPT_S = 5
CACHE_KEY = "queue"

# The pick costs as much as people wait, not jobs: it goes from one person to the next by an index and reads one head
# of each. The conditions stand in the words of the partial indexes, and each step is ordered by all columns of the one
# that it needs, so that PostgreSQL walks no index of finished jobs as well; SQLite is told the name. The heads are kept
# and their columns looked up one by one: PostgreSQL would join them with a scan of the whole table.
_WAITS = "job.lease_owner = '' AND job.reused_from_id IS NULL AND job.status IN ('queued', 'running')"
_IN_LINE = "job.priority, job.queued_at, job.id"
_NEXT = f"""
WITH RECURSIVE line (user_id) AS (
    SELECT (
        SELECT job.user_id FROM generations_generation job {{indexed}} WHERE {_WAITS}
        ORDER BY job.user_id, {_IN_LINE} LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT job.user_id FROM generations_generation job {{indexed}}
        WHERE {_WAITS} AND job.user_id > line.user_id
        ORDER BY job.user_id, {_IN_LINE} LIMIT 1
    ) FROM line WHERE line.user_id IS NOT NULL
), head (user_id, id) AS {{kept}} (
    SELECT line.user_id, (
        SELECT job.id FROM generations_generation job {{indexed}}
        WHERE {_WAITS} AND job.user_id = line.user_id AND job.next_run_at <= %s
        ORDER BY {_IN_LINE} LIMIT 1
    ) FROM line WHERE line.user_id IS NOT NULL
), first (id, user_id, priority, queued_at) AS {{kept}} (
    SELECT head.id, head.user_id, (SELECT job.priority FROM generations_generation job WHERE job.id = head.id),
        (SELECT job.queued_at FROM generations_generation job WHERE job.id = head.id)
    FROM head WHERE head.id IS NOT NULL
)
SELECT first.id FROM first
LEFT JOIN generations_turn turn ON turn.user_id = first.user_id
ORDER BY first.priority, (
    SELECT COUNT(*) FROM generations_generation job
    WHERE job.user_id = first.user_id AND job.status IN ('queued', 'running')
    AND job.status = 'running' AND job.lease_owner <> ''
), COALESCE(turn.number, 0), first.queued_at, first.id
LIMIT 1
"""  # noqa: S608 - made of constants


def next_due(at: datetime) -> int | None:
    """The id of the generation that the next free worker should take; None when nothing is due."""
    is_sqlite = connection.vendor == "sqlite"
    words = {
        "indexed": "INDEXED BY generation_line_of_user" if is_sqlite else "",
        "kept": "" if is_sqlite else "MATERIALIZED",
    }
    with connection.cursor() as cursor:
        cursor.execute(_NEXT.format(**words), [connection.ops.adapt_datetimefield_value(at)])
        row = cursor.fetchone()
    return row[0] if row else None


def record_turn(user_id: int) -> None:
    """Write down that it was this person's turn. Two at once may write one number: then the longer wait decides.

    A count, not a time: a clock that is set back would keep somebody waiting.
    """
    last = Turn.objects.aggregate(last=Max("number"))["last"] or 0
    turn = Turn(user_id=user_id, number=last + 1)
    Turn.objects.bulk_create([turn], update_conflicts=True, unique_fields=["user"], update_fields=["number"])


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A waiting job among the others: how many starts come before its own, and how many of these are its owner's."""

    ahead: int
    ahead_own: int
    free: int  # workers with nothing to do
    workers: int

    @property
    def rounds(self) -> float:
        """How often all workers have to finish a job each before one takes this one."""
        return max(0, self.ahead + 1 - self.free) / self.workers


@dataclass(kw_only=True)
class Line:
    """What one person has in the queue; `waiting` counts the due ones by priority, `since` is the first one's time."""

    running: int = 0
    number: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    since: dict[int, datetime] = field(default_factory=dict)

    def sooner_than(self, priority: int) -> int:
        """How many wait in the classes that are served before this one."""
        return sum(count for each, count in self.waiting.items() if each < priority)

    def place(self, priority: int) -> tuple[int, int, datetime]:
        """Who has the lower one takes the turn first when both have as many under way."""
        return -self.running, self.number, self.since.get(priority) or timezone.now()


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Everybody's lines at one moment."""

    lines: dict[int, Line]
    workers: int

    @property
    def running(self) -> int:
        return sum(line.running for line in self.lines.values())

    @property
    def waiting(self) -> int:
        return sum(sum(line.waiting.values()) for line in self.lines.values())

    def standing(self, *, user_id: int, priority: int, before: int) -> Standing:
        """Of the job that has `before` others of its owner and its priority before it, if none under way ends."""
        mine = self.lines.get(user_id) or Line()
        own_sooner = mine.sooner_than(priority)
        level = mine.running + own_sooner + before  # as many are under way when this one is started
        ahead = own_sooner + before
        for pk, line in self.lines.items():
            if pk != user_id:
                sooner = line.sooner_than(priority)
                # Who has more under way now takes no turn until the other one has as many, so it is the later one's.
                is_first = line.place(priority) < mine.place(priority)
                turns = level - line.running - sooner + is_first
                ahead += sooner + max(0, min(turns, line.waiting.get(priority, 0)))
        return Standing(
            ahead=ahead,
            ahead_own=own_sooner + before,
            free=max(0, self.workers - self.running),
            workers=self.workers,
        )


def read_queue() -> Queue:
    """The lines as they are, by one query. Workers are those of the processes that hold a lease, one at least."""
    lines: dict[int, Line] = defaultdict(Line)
    owners = set()
    is_due = Q(next_run_at__lte=timezone.now())
    figures = {"all": Count("pk"), "due": Count("pk", filter=is_due), "since": Min("queued_at", filter=is_due)}
    rows = Generation.objects.unfinished().paid_for().order_by()
    grouped: Iterable[Mapping[str, Any]] = rows.values(
        "user_id", "user__turn__number", "priority", "lease_owner"
    ).annotate(**figures)
    for row in grouped:
        line = lines[row["user_id"]]
        line.number = row["user__turn__number"] or 0
        if row["lease_owner"]:
            line.running += row["all"]
            owners.add(row["lease_owner"])
        elif row["due"]:
            line.waiting[row["priority"]] = row["due"]
            line.since[row["priority"]] = row["since"]
    return Queue(lines=dict(lines), workers=settings.WORKER_CONCURRENCY * max(1, len(owners)))


def recent_queue() -> Queue:
    """The lines, at most KEPT_S seconds old: good enough for people, and read once for all who look."""
    known: Queue | None = cache.get(CACHE_KEY)
    if known is None:
        known = read_queue()
        cache.set(CACHE_KEY, known, KEPT_S)
    return known


def standings(generations: Iterable[Generation]) -> dict[int, Standing]:
    """Where each of those that have not begun stands, by primary key; they come from `with_place`."""
    queued = [generation for generation in generations if generation.status == Status.QUEUED]
    queue = recent_queue() if queued else None
    return {
        each.pk: queue.standing(
            user_id=each.user_id,
            priority=each.priority,
            before=each.before or 0,  # type: ignore[attr-defined]  # an annotation
        )
        for each in queued
        if queue is not None
    }
