"""A month of simulated use: run.py bench month [--people 50] [--pictures 20000] on the engine of DATABASE_URL.

People submit wishes for one to four pictures through the real services, pipeline and settlement to an upstream in this
process that fails in every way; money comes in, is refunded and corrected, prices and months change, and limits and
budgets of keys refuse. Ends with exit 1 unless wallets, statements, usage, receipts, the revenue account and the
operators' page say the same to the micro, limits count what was made, no refusal has left a trace, every outcome has
occurred and the audit finds nothing. With
--minutes the month ends early, if need be. Works in a test database and a directory of its own, which are removed
afterwards.
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
from gallery.models import Image  # noqa: E402
from generations.audit import audit  # noqa: E402
from generations.models import Attempt  # noqa: E402
from tests.generations import month_books  # noqa: E402
from tests.generations.month import Month  # noqa: E402


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="the longest that people go on asking")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    month = Month(people=options.people, pictures=options.pictures, seed=options.seed)
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)), month.in_force():
        directory = Path(name)
        with override_settings(
            DATA_DIR=directory,
            MEDIA_ROOT=directory / "media",
            SPOOL_DIR=directory / "spool",
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # nobody signs in
        ):
            return report(month, options.minutes)


def report(month: Month, minutes: float) -> bool:
    """Live the month and print the table; True when everything says the same."""
    began = time.perf_counter()
    month.live(is_over=lambda: time.perf_counter() - began > minutes * 60)
    elapsed_s = time.perf_counter() - began
    print(f"{connection.vendor}: {month.asked} pictures of {month.people} people asked for, {pictures()} made")
    print(f"  {Transfer.objects.count()} transfers in {elapsed_s:.0f} s, {month.asked / elapsed_s:.1f} pictures/s")
    for what, many in month.counts.most_common():
        print(f"  {many:7} {what}")
    outcomes = Attempt.objects.order_by("outcome").values_list("outcome", flat=True).distinct()
    print(f"  outcomes of calls: {', '.join(outcomes)}")
    unseen, miscounted = month_books.unseen(), month_books.miscounted()
    print(f"  outcomes that did not occur: {', '.join(sorted(unseen)) or 'none'}")
    print(f"  {len(month.traces)} refusals left a trace; {len(miscounted)} days and months are miscounted")
    for problem in (*month.traces, *miscounted):
        print(f"    {problem}")
    totals, (told, booked), violations = month.totals(), month.costs(), audit()
    for name, micros in asdict(totals).items():
        print(f"  spent as of {name.replace('_', ' '):16} {format_usd(micros):>16} USD")
    for name, micros in told.items():
        print(
            f"  {name:10} on the money page {format_usd(micros):>16} USD, in its account {format_usd(booked[name]):>16}"
        )
    print(f"  {len(violations)} violations; everything read in {time.perf_counter() - began:.0f} s in all")
    for violation in violations:
        print(f"    {violation.name}: {violation.detail}")
    is_even = totals.is_even and told == booked
    return is_even and not (violations or unseen or miscounted or month.traces)


def pictures() -> int:
    return Image.objects.filter(output__is_draft=False).count()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
