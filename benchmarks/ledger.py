"""The ledger under load: run.py bench ledger [race|history|machine] on the engine that DATABASE_URL names.

race     processes of threads reserve from one wallet that holds money for half of their calls; prints what was
         granted, the rate and the waiting times of each repeat. Anything but the half exactly ends with exit 1.
history  one wallet with a long statement: the time of a balance, of the open and expired holds, and of the audit.
machine  the verbs in random order beside a simple model (tests/accounts/ledger_machine.py); prints the steps that
         lead to a difference, if there are any.

Works in a test database of its own, which is removed afterwards.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402
from django.db.models import F  # noqa: E402
from django.utils import timezone  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402

from accounts import ledger, triggers  # noqa: E402
from accounts.audit import QUERIES, audit_ledger  # noqa: E402
from accounts.models import LedgerAccount, Plan, Price, User  # noqa: E402
from tests.accounts.ledger_machine import LedgerMachine  # noqa: E402
from tests.accounts.money import IMAGE, grant, make_price, reserve  # noqa: E402
from tests.accounts.spender import spend_together  # noqa: E402
from tests.processes import child_environment  # noqa: E402


@contextmanager
def scratch_database(directory: Path) -> Iterator[None]:
    database, name = connection.settings_dict, connection.settings_dict["NAME"]
    is_file = connection.vendor == "sqlite"
    database["TEST"]["NAME"] = str(directory / "bench.sqlite3") if is_file else f"bench_{uuid.uuid4().hex[:8]}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)


def make_user() -> User:
    user = User.objects.create_user(f"{uuid.uuid4().hex}@example.com", plan=Plan.objects.first())
    ledger.open_wallet(user)
    return user


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- Race ----------------------------------------------------------------------------------------


def race(options: argparse.Namespace, directory: Path) -> bool:
    """True when every repeat granted exactly the half, and the audit found nothing."""
    price, is_sound = make_price(), True
    calls = options.processes * options.threads * options.rounds
    rates = []
    for repeat in range(1, options.repeats + 1):
        user = make_user()
        grant(user, calls // 2 * IMAGE)
        spree = spend_together(
            user,
            price,
            processes=options.processes,
            threads=options.threads,
            rounds=options.rounds,
            env=child_environment(directory),
        )
        balance = ledger.balance_of(user)
        is_exact = spree.outcomes == {"Transfer": calls // 2, "InsufficientCredit": calls - calls // 2}
        is_sound &= is_exact and balance.available == 0 and balance.held == calls // 2 * IMAGE
        rates.append(calls / spree.elapsed_s)
        times = spree.milliseconds
        print(
            f"{repeat:3}  {dict(spree.outcomes)} available {balance.available}  {rates[-1]:6.0f} calls/s"
            f"  p50 {percentile(times, 0.5):6.0f}  p99 {percentile(times, 0.99):6.0f}  max {max(times):6.0f} ms"
        )
    violations = list(audit_ledger())
    print(f"median {statistics.median(rates):.0f} calls/s, {len(violations)} violations")
    return is_sound and not violations


# --- History -------------------------------------------------------------------------------------


def write_history(user: User, price: Price, entries: int, *, days: int = 1) -> None:
    """Pairs of hold and capture as the verbs would have written them, over the last `days`; the guards are off."""
    wallet, revenue = LedgerAccount.objects.get(owner=user), LedgerAccount.objects.get(code="revenue")
    values = {
        "pairs": entries // 2,
        "days": days,
        "price": price.pk,
        "image": IMAGE,
        "wallet": wallet.pk,
        "revenue": revenue.pk,
        "version": wallet.version,
        "posted": wallet.credits_posted - wallet.debits_posted,
        "pending": wallet.debits_pending,
        "now": connection.ops.adapt_datetimefield_value(timezone.now()),
    }
    is_postgres = connection.vendor == "postgresql"
    uuid_of = "lpad(to_hex({}), 32, '0')::uuid" if is_postgres else "printf('%%032x', {})"
    hold, post = uuid_of.format("2 * i"), uuid_of.format("2 * i + 1")
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %(pairs)s)"
    moment = (
        "CAST(%(now)s AS timestamptz) - (i %% %(days)s) * INTERVAL '1 day'"
        if is_postgres
        else "datetime(%(now)s, '-' || (i %% %(days)s) || ' days')"
    )
    transfer = (
        "INSERT INTO accounts_transfer (id, kind, hold_id, key, code, expires_at, debit_id, credit_id, amount_micros,"
        f" price_id, reference, actor, reason, created_at) {series} SELECT {{}}, %(wallet)s, %(revenue)s, %(image)s,"
        f" %(price)s, '', '', '', {moment} FROM n"
    )
    entry = (
        "INSERT INTO accounts_entry (transfer_id, version, posted_delta, pending_delta, posted_after, pending_after,"
        f" account_id, created_at) {series} SELECT {{}}, %(wallet)s, %(now)s FROM n"
    )
    no_hold = "CAST(NULL AS uuid)" if is_postgres else "NULL"
    no_time = "CAST(NULL AS timestamptz)" if is_postgres else "NULL"
    statements = (
        transfer.format(f"{hold}, 'pending', {no_hold}, 'hold:' || i, 'hold', %(now)s"),
        transfer.format(f"{post}, 'post', {hold}, 'capture:' || i, 'capture', {no_time}"),
        entry.format(
            f"{hold}, %(version)s + 2 * i - 1, 0, %(image)s,"
            " %(posted)s - CAST(i - 1 AS BIGINT) * %(image)s, %(pending)s + %(image)s"
        ),
        entry.format(
            f"{post}, %(version)s + 2 * i, -%(image)s, -%(image)s,"
            " %(posted)s - CAST(i AS BIGINT) * %(image)s, %(pending)s"
        ),
    )
    with connection.cursor() as cursor:
        for guard in triggers.guards():
            if guard.event != "TRUNCATE":
                on_table = f" ON {guard.table}" if is_postgres else ""
                cursor.execute(f"DROP TRIGGER {guard.name}{on_table}")
        for sql in statements:
            cursor.execute(sql.replace("2 * i", "2 * CAST(i AS BIGINT)"), values)
    LedgerAccount.objects.filter(pk=wallet.pk).update(
        version=F("version") + 2 * values["pairs"], debits_posted=F("debits_posted") + values["pairs"] * IMAGE
    )
    triggers.install_triggers(connection)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def timed(label: str, function: Callable[[], object], repeats: int = 1) -> object:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = function()
        times.append((time.perf_counter() - started) * 1000)
    print(f"{label:45} p50 {statistics.median(times):9.1f}  p99 {percentile(times, 0.99):9.1f} ms")
    return result


def history(options: argparse.Namespace, directory: Path) -> bool:
    """True when the audit found nothing."""
    user, price = make_user(), make_price()
    grant(user, (options.entries + 10) * IMAGE)
    for _ in range(3):
        reserve(user, price)
    started = time.perf_counter()
    write_history(user, price, options.entries)
    print(f"{options.entries} entries written in {time.perf_counter() - started:.0f} s")
    timed("balance_of", lambda: ledger.balance_of(user), repeats=200)
    timed("reserve", lambda: reserve(user, price), repeats=200)
    timed("open_holds", lambda: list(ledger.open_holds(user)), repeats=3)
    now = timezone.now()
    timed("expired_holds", lambda: list(ledger.expired_holds(now)), repeats=3)
    since = now - timedelta(hours=1)
    timed("expired_holds, since an hour", lambda: list(ledger.expired_holds(now, since=since)), repeats=3)
    with connection.cursor() as cursor:
        for name, query in QUERIES.items():
            timed(f"  {name}", lambda query=query: (cursor.execute(query), cursor.fetchall()))
    violations = timed("audit_ledger", lambda: list(audit_ledger()))
    print(f"{len(violations)} violations")
    return not violations


# --- Machine -------------------------------------------------------------------------------------


def machine(options: argparse.Namespace, directory: Path) -> bool:
    """True when no order of the verbs was found after which ledger and model differ."""
    rules = settings(
        max_examples=options.examples,
        stateful_step_count=options.steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    started = time.perf_counter()
    run_state_machine_as_test(LedgerMachine, settings=rules)
    print(f"{options.examples} runs of up to {options.steps} steps in {time.perf_counter() - started:.0f} s")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    racing = commands.add_parser("race")
    racing.add_argument("--processes", type=int, default=1)
    racing.add_argument("--threads", type=int, default=64)
    racing.add_argument("--rounds", type=int, default=20, help="calls of each thread")
    racing.add_argument("--repeats", type=int, default=20)
    telling = commands.add_parser("history")
    telling.add_argument("--entries", type=int, default=1_000_000)
    walking = commands.add_parser("machine")
    walking.add_argument("--examples", type=int, default=500)
    walking.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    print(f"{connection.vendor}: {options}")
    with tempfile.TemporaryDirectory() as name, scratch_database(Path(name)):
        is_sound = {"race": race, "history": history, "machine": machine}[options.command](options, Path(name))
    sys.exit(0 if is_sound else 1)


if __name__ == "__main__":
    main()
