"""A long statement: run.py bench statement on the engine that DATABASE_URL names.

One wallet with a million lines: the page of the ledger at page 1, at page 10,000 and far in the past, through the
whole stack; filters; a month's usage; and the export of every line as CSV and as JSON, each in a process of its own,
whose memory is measured before and at its peak. Ends with exit 1 when page 10,000 takes more than one and a half times
as long as page 1, or an export needs 100 MB more than the process had, or does not add up.

Works in a test database of its own, which is removed afterwards.
"""

import argparse
import csv
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import exports, ledger, usage  # noqa: E402
from accounts.audit import audit_ledger  # noqa: E402
from accounts.models import Entry, User  # noqa: E402
from accounts.periods import Period, days_before  # noqa: E402
from accounts.views import LINES  # noqa: E402
from benchmarks.ledger import make_user, scratch_database, write_history  # noqa: E402
from tests.accounts.money import IMAGE, grant, make_price, reserve  # noqa: E402
from tests.processes import child_environment  # noqa: E402

PAGE = "/account/ledger/"
MOST_SLOWDOWN = 1.5
MOST_MB = 100


def timed(label: str, *functions: Callable[[], object], repeats: int = 60) -> list[float]:
    """The median of each in milliseconds; in turns, so that a busy moment of the machine is nobody's alone."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            started = time.perf_counter()
            function()
            taken.append((time.perf_counter() - started) * 1000)
    medians = [statistics.median(taken) for taken in times]
    print(f"{label:45} p50 {', '.join(f'{each:.1f}' for each in medians)} ms")
    return medians


def pages(user: User, entries: int) -> bool:
    """True when page 10,000 (or the last one) costs what page 1 does."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    last = Entry.objects.filter(account__owner=user).count()
    far = max(LINES + 1, last - 9_999 * LINES)
    show = lambda **query: client.get(PAGE, query)  # noqa: E731
    assert show(before=far).content.count(b"</tr>") == LINES + 1
    show()
    first, later, _ = timed(
        f"page 1, page {(last - far) // LINES + 1}, and back from there",
        *(show, lambda: show(before=far), lambda: show(after=far)),
    )
    timed("grants only, of which there is one", lambda: show(kind="grant"), repeats=5)
    timed("releases only, of which there is none", lambda: show(kind="release"), repeats=5)
    timed("charges only", lambda: show(kind="capture"), repeats=20)
    timed("a month", lambda: show(month="2020-01"), repeats=20)
    timed(
        "usage of 30 days, all lines in them", lambda: usage.usage_of(user, days_before(timezone.now(), 30)), repeats=2
    )
    print(f"page 10,000 takes {later / first:.2f} of the time of page 1")
    return later <= MOST_SLOWDOWN * first


def export(form: str, user_id: int, path: Path) -> None:
    """Write an export to a file as a server would send it, and print what that took; runs in a child process."""
    user = User.objects.get(pk=user_id)
    before, started = resident_mb(), time.perf_counter()
    with path.open("wb") as file:
        for piece in exports.respond(exports.prepare(user, Period()), form=form).streaming_content:
            file.write(piece)
    took_s = time.perf_counter() - started
    print(json.dumps({"before_mb": before, "peak_mb": resident_mb(), "took_s": took_s}))


def resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exported(form: str, user: User, directory: Path) -> bool:
    path = directory / f"statement.{form}"
    command = [sys.executable, "-m", "benchmarks.statement", "export", form, str(user.pk), str(path)]
    done = subprocess.run(
        command, env=child_environment(directory), cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr)
        return False
    figures = json.loads(done.stdout)
    size_mb = path.stat().st_size / 1e6
    print(
        f"{form}: {size_mb:.0f} MB in {figures['took_s']:.1f} s, memory of the process {figures['before_mb']:.0f} MB "
        f"before, {figures['peak_mb']:.0f} MB at its peak"
    )
    balance = ledger.balance_of(user)
    needed_mb = figures["peak_mb"] - figures["before_mb"]
    return needed_mb < MOST_MB and closing_of(form, path) == balance.available + balance.held


def closing_of(form: str, path: Path) -> int | None:
    """The sum of the opening balance and every change, in micro-USD; None when the file says something else."""
    if form == "json":
        document = json.loads(path.read_bytes())
        total = document["opening"]["posted_micros"] + sum(line["posted_change_micros"] for line in document["lines"])
        return total if total == document["closing"]["posted_micros"] else None
    with path.open(newline="") as file:
        total = 0
        for row in csv.DictReader(file):
            total += ledger.parse_usd(row["posted_change"] or "0", allow_negative=True)
            if row["kind"] == "opening":
                total = ledger.parse_usd(row["posted_balance"])
    return total if total == ledger.parse_usd(row["posted_balance"]) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    commands = parser.add_subparsers(dest="command")
    child = commands.add_parser("export")
    child.add_argument("form", choices=["csv", "json"])
    child.add_argument("user", type=int)
    child.add_argument("path", type=Path)
    options = parser.parse_args()
    if options.command == "export":
        export(options.form, options.user, options.path)
        return
    logging.disable(logging.INFO)  # a line for each page
    sys.stdout.reconfigure(line_buffering=True)
    print(f"{connection.vendor}: {options.entries} entries")
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)):
        user, price = make_user(), make_price()
        grant(user, (options.entries + 10) * IMAGE)
        reserve(user, price)
        started = time.perf_counter()
        write_history(user, price, options.entries)
        print(f"written in {time.perf_counter() - started:.0f} s")
        print(f"{len(audit_ledger())} violations")
        results = [pages(user, options.entries), *(exported(form, user, Path(name)) for form in ("csv", "json"))]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
