"""Many reviewers on one queue: run.py bench reviewers [--reviewers 16] [--items 500] on the engine of DATABASE_URL.

Each takes the next picture and decides it until nothing is left; two of them die with a picture in their hands, and the
others finish theirs when the lease is over. A picture that is decided twice, not at all, or whose owner is not to be
told exactly once, is exit 1. Works in a test database of its own, which is removed afterwards.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection, connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from benchmarks.ledger import percentile, scratch_database  # noqa: E402
from gallery.models import Image, Notice, Review, ReviewStep  # noqa: E402
from gallery.review import claims, decisions  # noqa: E402
from tests.gallery.review.desk import make_pending, make_reviewer  # noqa: E402
from tests.people import make_person  # noqa: E402

DYING = 2


def work(reviewer: User, *, dies_after: int | None = None) -> tuple[int, list[float]]:
    """How many were decided, and how many seconds each took from the claim's beginning; a dying one claims one more."""
    times: list[float] = []
    while True:
        began = time.monotonic()
        review = claims.claim_next(reviewer=reviewer)
        if review is None or len(times) == dies_after:
            return len(times), times
        verb, reason = ("reject", "spam") if len(times) % 3 == 2 else ("approve", "")
        decisions.decide(
            verb=verb, reviewer=reviewer, image_id=review.image.public_id, version=review.version, reason=reason
        )
        times.append(time.monotonic() - began)


def race(reviewers: list[User]) -> list[float]:
    start = Barrier(len(reviewers))

    def run(index: int) -> list[float]:
        try:
            connection.ensure_connection()
            start.wait()
            return work(reviewers[index], dies_after=3 if index < DYING else None)[1]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(reviewers)) as pool:
        return [each for times in pool.map(run, range(len(reviewers))) for each in times]


def problems(items: int) -> list[str]:
    """What is wrong afterwards, in sentences."""
    verbs = ("approve", "reject")
    decided = Counter(ReviewStep.objects.filter(verb__in=verbs).values_list("review", flat=True))
    told = Counter(Notice.objects.values_list("step__review", flat=True))
    found = []
    if twice := [pk for pk, count in decided.items() if count > 1]:
        found.append(f"{len(twice)} were decided twice")
    if len(decided) != items:
        found.append(f"{items - len(decided)} were lost")
    if left := Image.objects.filter(review_status="pending").count():
        found.append(f"{left} still wait")
    if told.keys() != decided.keys() or set(told.values()) != {1}:
        found.append("not every owner is told once")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reviewers", type=int, default=16)
    parser.add_argument("--items", type=int, default=500)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, scratch_database(Path(directory)):
        owner = make_person("owner")
        for _ in range(wanted.items):
            make_pending(owner)
        reviewers = [make_reviewer(f"reviewer{number}") for number in range(wanted.reviewers)]
        began = time.monotonic()
        times = race(reviewers)
        took = time.monotonic() - began
        held = Review.objects.filter(queued_at__isnull=False)
        print(f"{connection.vendor}: {len(times)} of {wanted.items} decided by {wanted.reviewers} in {took:.1f} s")
        print(f"one: p50 {1000 * percentile(times, 0.5):.0f} ms, p99 {1000 * percentile(times, 0.99):.0f} ms")
        print(f"{held.count()} in the hands of {DYING} who died; after their lease:")
        held.update(claimed_until=timezone.now())
        print(f"{work(reviewers[-1])[0]} more decided")
        found = problems(wanted.items)
    print("\n".join(found) or "nothing decided twice, nothing lost, every owner told once")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
