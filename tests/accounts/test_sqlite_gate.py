"""The gate before SQLite's write lock: who passes it, who waits, and that it is never left shut."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from subprocess import PIPE

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from django.db.utils import load_backend

from config.sqlite.base import WRITE, DatabaseWrapper
from config.sqlite.gate import FairLock, WriteGate, gate_of

AT_ONCE = 0.0  # seconds: refuse when the gate is not free now
PATIENTLY = 20.0


@pytest.fixture
def database(tmp_path, django_db_blocker):
    """Makes connections to one database file with a table `line(text)`; all are closed afterwards."""
    opened = []

    def connect(*, timeout: float = PATIENTLY, name: str = str(tmp_path / "gate.sqlite3")) -> DatabaseWrapper:
        options = {
            "timeout": timeout,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        }
        values = {
            **connection.settings_dict,
            "ENGINE": "config.sqlite",
            "NAME": name,
            "OPTIONS": options,
            "AUTOCOMMIT": True,
        }
        wrapper = load_backend("config.sqlite").DatabaseWrapper(values, alias=f"gate{len(opened)}")
        wrapper.inc_thread_sharing()
        connections[wrapper.alias] = wrapper
        opened.append(wrapper)
        return wrapper

    with django_db_blocker.unblock():
        run(connect(), "CREATE TABLE line (text)")
        yield connect
        for wrapper in opened:
            wrapper.close()
            del connections[wrapper.alias]


def atomic(wrapper):
    connections[wrapper.alias] = wrapper  # in this thread, too
    return transaction.atomic(using=wrapper.alias)


def run(wrapper, statement: str):
    with wrapper.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def write(wrapper) -> None:
    run(wrapper, "INSERT INTO line VALUES ('x')")


def lines(wrapper) -> int:
    return run(wrapper, "SELECT COUNT(*) FROM line")[0][0]


def is_free(database) -> bool:
    """Whether another writer would pass now."""
    other = database(timeout=AT_ONCE)
    try:
        with atomic(other):
            pass
    except OperationalError:
        return False
    return True


# --- Who passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "INSERT INTO line VALUES (1)",
            "update line set text = 1",
            "\n  DELETE FROM line",
            "REPLACE INTO line VALUES (1)",
        ),
        *("BEGIN", "BEGIN IMMEDIATE", "begin exclusive", "CREATE TABLE x (y)", "ALTER TABLE x ADD z", "DROP TABLE x"),
    ],
)
def test_statements_that_write_pass_the_gate(statement):
    assert WRITE.match(statement)


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1", "BEGIN DEFERRED", "PRAGMA foreign_keys", "EXPLAIN UPDATE x", "ROLLBACK", "SAVEPOINT s", "inserted"],
)
def test_other_statements_do_not(statement):
    assert not WRITE.match(statement)


def test_a_transaction_shuts_the_gate_until_it_is_over(database):
    first = database()
    with atomic(first):
        assert not is_free(database)
    assert is_free(database)


def test_a_write_outside_a_transaction_waits_for_the_gate(database):
    first, second = database(), database(timeout=AT_ONCE)
    with atomic(first):
        with pytest.raises(OperationalError, match="database is locked"):
            write(second)
        with pytest.raises(OperationalError, match="database is locked"), second.cursor() as cursor:
            cursor.executemany("INSERT INTO line VALUES (%s)", [("a",), ("b",)])
    write(second)
    assert lines(second) == 1
    assert is_free(database)


def test_reads_never_wait(database):
    first, second = database(), database(timeout=AT_ONCE)
    write(first)
    with atomic(first):
        write(first)
        assert lines(second) == 1
        run(second, "BEGIN DEFERRED")
        assert lines(second) == 1
        run(second, "COMMIT")
    assert lines(second) == 2


def test_a_transaction_within_a_transaction_does_not_wait_for_itself(database):
    first = database()
    with atomic(first), atomic(first):
        write(first)
    assert lines(first) == 1
    assert is_free(database)


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the suite's own database has no gate")
def test_the_transaction_around_a_test_does_not_wait_for_itself():
    from accounts.models import Plan

    with transaction.atomic():
        Plan.objects.create(name="gold")
    assert Plan.objects.filter(name="gold").exists()


# --- Never left shut -----------------------------------------------------------------------------


def fail_inside(wrapper):
    with atomic(wrapper):
        write(wrapper)
        raise LookupError


def fail_in_a_savepoint(wrapper):
    with atomic(wrapper):
        with suppress(LookupError):
            fail_inside(wrapper)
        write(wrapper)
    raise LookupError


def fail_in_sql(wrapper):
    with atomic(wrapper):
        run(wrapper, "INSERT INTO nowhere VALUES (1)")


def fail_in_sql_outside_a_transaction(wrapper):
    run(wrapper, "INSERT INTO nowhere VALUES (1)")


def close_inside(wrapper):
    with atomic(wrapper):
        write(wrapper)
        wrapper.close()
    raise LookupError


def lose_the_connection(wrapper):
    with atomic(wrapper):
        write(wrapper)
        wrapper.connection.close()
        write(wrapper)


def fail_at_commit(wrapper):
    run(wrapper, "CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    run(wrapper, "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with atomic(wrapper):
        run(wrapper, "INSERT INTO child VALUES (7)")


def roll_back_by_hand(wrapper):
    wrapper.set_autocommit(False)
    write(wrapper)
    wrapper.rollback()
    wrapper.set_autocommit(True)
    raise LookupError


def interrupt(wrapper):
    with atomic(wrapper):
        write(wrapper)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "accident",
    [
        *(fail_inside, fail_in_a_savepoint, fail_in_sql, fail_in_sql_outside_a_transaction, close_inside),
        *(lose_the_connection, fail_at_commit, roll_back_by_hand, interrupt),
    ],
)
def test_after_an_accident_the_gate_is_open(database, accident):
    first = database()
    with pytest.raises((Exception, KeyboardInterrupt)):
        accident(first)
    assert is_free(database)
    kept = 1 if accident is fail_in_a_savepoint else 0
    assert lines(database()) == kept


def test_a_connection_that_could_not_begin_does_not_keep_the_gate(database, tmp_path):
    first = database(timeout=AT_ONCE)
    outsider = sqlite3.connect(tmp_path / "gate.sqlite3", isolation_level=None)
    outsider.execute("BEGIN IMMEDIATE")  # a program that knows no gate
    with pytest.raises(OperationalError, match="locked"), atomic(first):
        pass
    outsider.execute("ROLLBACK")
    outsider.close()
    assert is_free(database)


def test_a_database_in_memory_has_a_gate_of_its_own(database):
    private, other = database(name=":memory:"), database(name=":memory:")
    with atomic(private), atomic(other):
        run(private, "CREATE TABLE line (text)")
    shared = database(name="file:shared?mode=memory&cache=shared", timeout=AT_ONCE)
    second = database(name="file:shared?mode=memory&cache=shared", timeout=AT_ONCE)
    with atomic(shared), pytest.raises(OperationalError, match="locked"):
        run(second, "CREATE TABLE line (text)")
    run(second, "CREATE TABLE line (text)")


# --- The queue -----------------------------------------------------------------------------------


def test_threads_pass_in_the_order_in_which_they_came():
    lock, passed, threads = FairLock(), [], []
    lock.acquire(AT_ONCE)

    def come(number):
        lock.acquire(PATIENTLY)
        passed.append(number)
        lock.release()

    for number in range(8):
        threads.append(threading.Thread(target=come, args=(number,)))
        threads[-1].start()
        while len(lock._waiting) <= number:
            time.sleep(0)
    lock.release()
    for thread in threads:
        thread.join()
    assert passed == list(range(8))


def test_who_gives_up_waiting_leaves_the_queue(tmp_path):
    gate = WriteGate(str(tmp_path / "db"))
    assert gate.enter("first", AT_ONCE)
    assert not gate.enter("second", 0.001)
    gate.leave("second")  # was never in
    assert gate.is_held_by("first")
    gate.leave("first")
    assert gate.enter("third", AT_ONCE)


def test_64_threads_write_without_an_error(database):
    wrappers = [database() for _ in range(64)]

    def work(wrapper):
        for _ in range(5):
            with atomic(wrapper):
                write(wrapper)
        return "done"

    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(work, wrappers)) == {"done"}
    assert lines(wrappers[0]) == 64 * 5


# --- Other processes -----------------------------------------------------------------------------

HOLD = """
import sys
from config.sqlite.gate import gate_of
gate = gate_of(sys.argv[1])
assert gate.enter("child", 20)
print("in", flush=True)
sys.stdin.readline()
gate.leave("child")
print("out", flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has passed the gate of tmp_path/db and stays there until it is told a line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "db")], cwd=settings.BASE_DIR, stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_another_process_keeps_us_out_until_it_leaves(holder, tmp_path):
    gate = gate_of(str(tmp_path / "db"))
    assert not gate.enter("parent", AT_ONCE)
    holder.stdin.write("leave\n")
    holder.stdin.flush()
    assert gate.enter("parent", PATIENTLY)
    gate.leave("parent")


def test_the_gate_of_a_process_that_was_killed_is_open(holder, tmp_path):
    gate = gate_of(str(tmp_path / "db"))
    assert not gate.enter("parent", AT_ONCE)
    holder.send_signal(signal.SIGKILL)
    assert gate.enter("parent", PATIENTLY)
    gate.leave("parent")


def test_a_waiting_process_that_was_killed_is_not_waited_for(holder, tmp_path):
    gate = gate_of(str(tmp_path / "db"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "db")], cwd=settings.BASE_DIR, stdout=PIPE
    ) as waiter:
        waiter.kill()
    holder.stdin.write("leave\n")
    holder.stdin.flush()
    assert gate.enter("parent", PATIENTLY)
    gate.leave("parent")


def in_a_fork(function) -> bool:
    """Whether function() was true in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_neither_holds_nor_opens_its_parents_gate(tmp_path):
    gate = gate_of(str(tmp_path / "db"))
    assert gate.enter("parent", AT_ONCE)

    def child():
        gate.leave("parent")  # as a connection does that is closed in the child
        return not gate.is_held_by("parent") and not gate.enter("child", AT_ONCE)

    assert in_a_fork(child)
    assert gate.is_held_by("parent")
    assert in_a_fork(lambda: not gate.enter("child", AT_ONCE))
    gate.leave("parent")
    assert in_a_fork(lambda: gate.enter("child", AT_ONCE))
    assert gate.enter("parent", PATIENTLY)
    gate.leave("parent")


def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_gate(tmp_path):
    script = """
import os, signal, sys
from config.sqlite.gate import gate_of
gate = gate_of(sys.argv[1])
assert gate.enter("parent", 20)
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
signal.pause()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "db")], cwd=settings.BASE_DIR, stdout=PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    try:
        gate = gate_of(str(tmp_path / "db"))
        assert gate.enter("us", PATIENTLY)
        gate.leave("us")
    finally:
        os.kill(child, signal.SIGKILL)
