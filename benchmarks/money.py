"""The operators' money page over a month's history: run.py bench money [--transfers 1000000], on DATABASE_URL's engine.

Prints how long the report takes of a period in which everything happened, of one in which nothing did, and again of
the first one when its days are kept. A table or a kept day that is not what the ledger says ends with exit 1. Works in
a test database of its own, which is removed afterwards.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import closed_days  # noqa: E402
from accounts.models import Transfer  # noqa: E402
from benchmarks.ledger import make_user, scratch_database, write_history  # noqa: E402
from generations.money_report import Period, report  # noqa: E402
from tests.accounts.money import IMAGE, grant, make_price, reserve  # noqa: E402

DAYS = 30  # of history


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    options = parser.parse_args()
    is_even = True
    with tempfile.TemporaryDirectory() as directory, scratch_database(Path(directory)):
        user, price = make_user(), make_price()
        grant(user, (options.transfers + 10) * IMAGE)
        reserve(user, price)
        write_history(user, price, options.transfers, days=DAYS)
        print(f"{connection.vendor}: {Transfer.objects.count()} transfers")
        today = timezone.now().date()
        first = Transfer.objects.order_by("created_at").values_list("created_at", flat=True)[0].date()
        for name, period in {
            "all of it": Period(first, today),
            "nothing of it": Period(first - timedelta(days=31), first - timedelta(days=1)),
        }.items():
            is_even = timed(name, period) and is_even
        began = time.perf_counter()
        closed = closed_days.rebuild(timezone.now())
        print(f"  {closed} days are kept now, in {time.perf_counter() - began:.2f} s; load {os.getloadavg()[0]:.1f}")
        connection.close()
        is_even = timed("all of it, days kept", Period(first, today)) and is_even
        began = time.perf_counter()
        is_even = not list(closed_days.wrong_days()) and is_even
        print(f"  the audit compares them in {time.perf_counter() - began:.2f} s")
    return is_even


def timed(name: str, period: Period) -> bool:
    """Whether the report is even; prints how long it took."""
    began = time.perf_counter()
    found = report(period)
    print(f"  {name}: {time.perf_counter() - began:.3f} s, revenue {found.total.revenue} micro-USD")
    return found.is_even


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
