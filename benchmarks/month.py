"""A month of simulated use: run.py bench month [--people 50] [--pictures 20000] on the engine of DATABASE_URL.

People submit wishes for one to four pictures through the real services, pipeline and settlement to an upstream in this
process that fails in every way; money comes in, is refunded and corrected, prices and months change. Ends with exit 1
unless wallets, statements, usage, receipts, the revenue account and the operators' page say the same to the micro and
the audit finds nothing. Works in a test database and a directory of its own, which are removed afterwards.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import structlog  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import override_settings  # noqa: E402

from accounts.ledger import format_usd  # noqa: E402
from accounts.models import Transfer  # noqa: E402
from benchmarks.ledger import scratch_database  # noqa: E402
from generations.audit import audit  # noqa: E402
from generations.models import Attempt  # noqa: E402
from tests.generations.month import Month  # noqa: E402


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    month = Month(people=options.people, pictures=options.pictures, seed=options.seed)
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)), month.in_force():
        directory = Path(name)
        with override_settings(DATA_DIR=directory, MEDIA_ROOT=directory / "media", SPOOL_DIR=directory / "spool"):
            return report(month)


def report(month: Month) -> bool:
    """Live the month and print the table; True when everything says the same."""
    began = time.perf_counter()
    month.live()
    print(f"{connection.vendor}: {month.pictures} pictures of {month.people} people asked for")
    print(f"  {Transfer.objects.count()} transfers in {time.perf_counter() - began:.0f} s")
    for what, many in month.counts.most_common():
        print(f"  {many:7} {what}")
    outcomes = Attempt.objects.order_by("outcome").values_list("outcome", flat=True).distinct()
    print(f"  outcomes of calls: {', '.join(outcomes)}")
    totals, (told, booked), violations = month.totals(), month.costs(), audit()
    for name, micros in asdict(totals).items():
        print(f"  spent as of {name.replace('_', ' '):16} {format_usd(micros):>16} USD")
    for name, micros in told.items():
        print(
            f"  {name:10} on the money page {format_usd(micros):>16} USD, in its account {format_usd(booked[name]):>16}"
        )
    print(f"  {len(violations)} violations; everything read in {time.perf_counter() - began:.0f} s in all")
    return totals.is_even and told == booked and not violations


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
