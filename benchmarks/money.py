"""The operators' money page over a long history: run.py bench money [--transfers 1000000], on DATABASE_URL's engine.

Prints how long the report takes of a period in which everything happened, and of one in which nothing did; a table that
does not add up to the ledger ends with exit 1. Works in a test database of its own, which is removed afterwards.
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

from accounts.models import Transfer  # noqa: E402
from benchmarks.ledger import make_user, scratch_database, write_history  # noqa: E402
from generations.money_report import Period, report  # noqa: E402
from tests.accounts.money import IMAGE, grant, make_price, reserve  # noqa: E402


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    options = parser.parse_args()
    is_even = True
    with tempfile.TemporaryDirectory() as directory, scratch_database(Path(directory)):
        user, price = make_user(), make_price()
        grant(user, (options.transfers + 10) * IMAGE)
        reserve(user, price)
        write_history(user, price, options.transfers)
        print(f"{connection.vendor}: {Transfer.objects.count()} transfers")
        today = timezone.now().date()
        first = Transfer.objects.order_by("created_at").values_list("created_at", flat=True)[0].date()
        for name, period in {
            "all of it": Period(first, today),
            "nothing of it": Period(first - timedelta(days=31), first - timedelta(days=1)),
        }.items():
            began = time.perf_counter()
            found = report(period)
            is_even = is_even and found.is_even
            print(f"  {name}: {time.perf_counter() - began:.2f} s, revenue {found.total.revenue} micro-USD")
    return is_even


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
