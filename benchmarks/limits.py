"""Every limit against many programs at once: run.py bench limits [--clients 64] on the engine of DATABASE_URL.

Starts an instance of its own and lets the clients loose, over HTTP and all at the same moment, on one limit after the
other: exactly as many are let in as there is room for, the others are refused in the words of the contract and cost
nothing. Then everything is killed (kill -9) while jobs run, wishes and uploads arrive, and started again: afterwards no
job, hold, budget or counter is left over, and each may run as many jobs at once as before. Exit 1 on any miss.

--decisions N measures instead how long N decisions of one process take, half of them refusals, in a test database of
its own: what applies, the counters of user, key and site, the jobs at once. On a busy machine look at the CPU time.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402
from django.test import override_settings  # noqa: E402

from accounts import keys, quotas  # noqa: E402
from accounts.errors import QuotaExceeded  # noqa: E402
from accounts.models import ApiKey, User  # noqa: E402
from benchmarks.ledger import make_user, percentile, scratch_database  # noqa: E402
from generations.running import count_running  # noqa: E402
from tests.contract import recovery, rush  # noqa: E402
from tests.contract.live import Instance, instance  # noqa: E402
from tests.contract.rush import Case, Person, Rush  # noqa: E402

KEYS = 4


def cases(room: int) -> list[Case]:
    """The site's first: they count everybody's."""
    return [
        Case(name="pictures a day, site", measure="images_per_day", source="site", room=room, people=4, keys=2),
        Case(name="jobs at once, site", measure="concurrent", source="site", room=room, people=4, keys=2),
        Case(name="pictures a day, plan", measure="images_per_day", source="plan", room=room, keys=KEYS),
        Case(name="pictures a day, user", measure="images_per_day", room=room, keys=KEYS),
        Case(name="pictures a day, key", measure="images_per_day", source="key", room=room),
        Case(name="pictures a day, wishes of 1-4", measure="images_per_day", room=room, wishes=(1, 2, 1, 4, 1, 3)),
        Case(name="pictures a month, user", measure="images_per_month", room=room, keys=KEYS),
        Case(name="pictures a month, key", measure="images_per_month", source="key", room=room),
        Case(name="jobs at once, user", measure="concurrent", room=room, keys=KEYS),
        Case(name="jobs at once, key", measure="concurrent", source="key", room=room),
        Case(name="requests a minute, user", measure="requests_per_minute", room=room, keys=KEYS),
        Case(name="requests a minute, key", measure="requests_per_minute", source="key", room=room),
        Case(name="bytes of storage, user", measure="storage_bytes", room=room, keys=KEYS),
        Case(name="balance of a user", measure="balance", room=room, keys=KEYS),
        Case(name="budget of a key, in all", measure="budget", source="total", room=room),
        Case(name="budget of a key, a month", measure="budget", source="month", room=room),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--room", type=int, help="how many are let in; a quarter of the clients without it")
    parser.add_argument("--decisions", type=int, metavar="N", help="measure so many decisions instead")
    options = parser.parse_args()
    if options.decisions:
        # Without a debugger's log of every query, as in production.
        quiet = override_settings(DEBUG=False)
        with tempfile.TemporaryDirectory() as directory, scratch_database(Path(directory)), quiet:
            return decide(options.decisions)
    room = options.room or max(1, options.clients // 4)
    if room >= options.clients or options.clients > 100:
        parser.error("there are at most 100 clients, and more of them than there is room for")
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **rush.STILL) as live:
        began = time.monotonic()
        print(f"{connection.vendor}, {options.clients} clients, load {os.getloadavg()[0]:.1f}")
        people, problems = storm(live, cases(room), clients=options.clients)
        problems += crash(live, room, clients=options.clients, others=people)
        problems += [f"the log has: {line[:300]}" for line in live.log().splitlines() if '"level": "error"' in line]
        live.stop(signal.SIGKILL)  # the last rush is still waiting for its pictures
        print(f"{time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    for problem in problems:
        print(problem)
    print("as many as there is room for, and nothing left over" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def decide(count: int) -> int:
    """First with the limits of a user alone, then with those of key and site as well."""
    is_exact = _decide("limits of the user", make_user(), None, count)
    user = make_user()
    limits = {"images_per_day": count, "images_per_month": count, "concurrent": 10}
    api_key = keys.create_key(user=user, limits=limits).api_key
    quotas.limit_site(images_per_day=2 * count, images_per_month=2 * count)
    return 0 if _decide("of the key and the site too", user, api_key, count) and is_exact else 1


def _decide(name: str, user: User, api_key: ApiKey | None, count: int) -> bool:
    """Each as submit takes it; prints the times, and is False when not exactly half were let in."""
    quotas.override_limits(user=user, images_per_day=count // 2, concurrent=10, requests_per_minute=10)
    wall, cpu, admitted = [], [], 0
    for _ in range(count):
        began, began_cpu = time.perf_counter(), time.thread_time()
        try:
            standing = quotas.standing_of(user, api_key=api_key)
            with transaction.atomic():
                quotas.take_images(standing=standing, count=1)
                quotas.check_concurrent(standing=standing, running=count_running(standing))
            admitted += 1
        except QuotaExceeded:
            pass
        wall.append((time.perf_counter() - began) * 1000)
        cpu.append((time.thread_time() - began_cpu) * 1000)
    print(f"{connection.vendor}, {name}: {count} decisions, {admitted} let in, load {os.getloadavg()[0]:.1f}")
    for clock, times in (("wall", wall), ("CPU", cpu)):
        figures = ", ".join(f"p{share * 100:g} {percentile(times, share):.2f} ms" for share in (0.5, 0.95, 0.99))
        print(f"{clock:5} {figures}, {1000 * count / sum(times):.0f} a second")
    return admitted == count // 2


def storm(live: Instance, wanted: list[Case], *, clients: int) -> tuple[list[Person], list[str]]:
    """One rush after the other, a line of the table each; returns whose jobs wait now, and what is wrong."""
    problems: list[str] = []
    crowds = rush.prepare(live, wanted)
    print(f"{'limit':32} {'room':>5} {'admitted':>9} {'refused':>8} {'over':>5} {'wrong':>6} {'s':>6}")
    for case, people in zip(wanted, crowds, strict=True):
        wait_for_window(case)
        if case.source == "site":
            rush.inside(live, f"limit_site({case.measure!r}, {case.room})")
        began = time.monotonic()
        result = rush.rush(live, case, people, clients=clients)
        tell(result, time.monotonic() - began)
        if case.source == "site":
            rush.inside(live, f"limit_site({case.measure!r}, None)")
        problems += [f"{case.name}: {problem}" for problem in result.problems]
    return [person for people in crowds for person in people], problems


def crash(live: Instance, room: int, *, clients: int, others: list[Person]) -> list[str]:
    """kill -9 in the middle of submits and uploads; what is wrong after the recovery."""
    worker = Case(name="jobs at once, before kill -9", measure="concurrent", room=room)
    sender = Case(name="uploads, before kill -9", measure="storage_bytes", source="", room=1_000_000)
    (workers, senders) = rush.prepare(live, [worker, sender])
    askers = [(workers[0], "concurrent")] * (clients // 2) + [(senders[0], "storage_bytes")] * (clients // 8)
    promised = rush.hammer(live, askers, answers=2 * clients)
    print(f"killed after {2 * clients} answers, with {len(promised)} of {room} jobs of one person promised")
    recovery.restart(live)
    began = time.monotonic()
    problems = recovery.wait_for_all(live, [*others, *workers])
    print(f"all jobs ended {time.monotonic() - began:.0f} s after the start")
    problems += recovery.broken_promises(live, workers[0], promised, room=room)
    rush.inside(live, "lapse()")  # bytes of dead uploads are given back after an hour
    live.manage("sweep")
    problems += recovery.leftovers(live)
    print(live.manage("verifyledger"))
    print(live.manage("verifyblobs"))
    print(f"{len(problems)} jobs, holds, budgets or counters left over or wrong")
    again = Case(name="jobs at once, after kill -9", measure="concurrent", room=room)
    began = time.monotonic()
    result = rush.rush(live, again, workers, clients=clients, words="[latency:600]")
    tell(result, time.monotonic() - began)
    return problems + [f"{again.name}: {problem}" for problem in result.problems]


def tell(result: Rush, seconds: float) -> None:
    case, over = result.case, max(0, result.admitted - result.case.room)
    figures = f"{case.room:5} {result.admitted:9} {result.refused:8} {over:5} {len(result.problems):6} {seconds:6.1f}"
    print(f"{case.name:32} {figures}", flush=True)


def wait_for_window(case: Case) -> None:
    """A rush must not fall on both sides of the end of its window."""
    now = datetime.now(UTC)
    if case.measure == "requests_per_minute":
        time.sleep(60 - now.second if now.second > 25 else 0)
    elif (now + timedelta(minutes=5)).date() != now.date():
        time.sleep(301)


if __name__ == "__main__":
    sys.exit(main())
