"""Who is next in a long queue: run.py bench queue [--jobs 2000] [--people 200] on the engine of DATABASE_URL.

One person has all the jobs but one, somebody else has that one; then every person has as many. Prints how long a pick,
a claim and the reading of the queue take, and after how many starts the lonely job is started: more than two end with
exit 1. Works in a test database of its own, which is removed afterwards.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Price, User  # noqa: E402
from benchmarks.ledger import make_user, percentile, scratch_database  # noqa: E402
from generations import leases, turns  # noqa: E402
from generations.models import Generation  # noqa: E402
from generations.spec import GenerationSpec  # noqa: E402
from tests.accounts.money import IMAGE, grant, reserve  # noqa: E402

WORKERS, ROUNDS = 16, 12


def line_up(user: User, jobs: int) -> None:
    """Rows as submit writes them, except that they share a hold."""
    spec = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
    grant(user, IMAGE)
    hold, now = reserve(user, Price.objects.first()), timezone.now()
    row = {
        "user": user,
        "source": "rest",
        "model": spec.model,
        "prompt": spec.prompt,
        "spec": spec.canonical(),
        "fingerprint": spec.fingerprint,
        "price": hold.price,
        "quoted_micros": IMAGE,
        "quota_window": now,
        "hold": hold,
        "next_run_at": now,
    }
    Generation.objects.bulk_create([Generation(**row, queued_at=timezone.now()) for _ in range(jobs)], batch_size=500)


def measure(name: str, function: Callable[[], object], times: int) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        took.append((time.perf_counter() - began) * 1000)
    print(f"  {name:<34} p50 {percentile(took, 0.5):7.2f} ms   p95 {percentile(took, 0.95):7.2f} ms")


def measure_all() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as a server does by itself after a while
    measure("pick", lambda: turns.next_due(timezone.now()), 200)
    measure("read the queue for a page", turns.read_queue, 50)
    measure("pick and claim, one worker", leases.claim_next, 100)

    def work(_: int) -> None:
        for _ in range(ROUNDS):
            leases.claim_next()
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    print(f"  {'pick and claim, 16 workers':<34} {WORKERS * ROUNDS / (time.perf_counter() - began):.0f} a second")


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--people", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, scratch_database(Path(directory)):
        heavy, lonely = make_user(), make_user()
        line_up(heavy, options.jobs)
        line_up(lonely, 1)
        print(f"{connection.vendor}: {options.jobs} jobs of one person and 1 of another")
        starts = 0
        while Generation.objects.filter(user=lonely, lease_owner="").exists():
            leases.claim_next()
            starts += 1
        print(f"  the one is start number {starts}")
        measure_all()
        for _ in range(options.people):
            line_up(make_user(), max(1, options.jobs // options.people))
        print(f"{connection.vendor}: as many of {options.people} people more")
        measure_all()
    return starts <= 2


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
