"""Fixtures shared by every test: people, money, races, and a database whose append-only tables can be emptied."""

import fcntl
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache, caches
from django.db import connection, connections, transaction
from django.test import Client, TransactionTestCase

from accounts import triggers
from accounts.models import Transfer
from generations import turns
from tests import people


@pytest.fixture(autouse=True)
def _data_dir(settings, tmp_path):
    """Each test keeps its files to itself."""
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture(scope="session", autouse=True)
def _own_keys():
    """Two workers that share a Redis do not clear each other's cache."""
    if django_settings.REDIS_URL:
        own = {"BACKEND": "tests.redis_cache.OwnKeys", "KEY_PREFIX": f"test-{uuid.uuid4().hex}"}
        django_settings.CACHES["default"].update(own)
        with suppress(AttributeError):  # this thread has asked for the cache already
            del caches["default"]
    yield
    if django_settings.REDIS_URL:
        cache.clear()


@pytest.fixture(autouse=True)
def _upstream_facts(monkeypatch, settings):
    """What one test's upstream did says nothing about the next one's, also on a shared Redis."""
    settings.UPSTREAM_BREAKER_FAILURES = 5
    monkeypatch.setattr("generations.providers.shared_state.PREFIX", f"test-{uuid.uuid4().hex}:")


@pytest.fixture(autouse=True)
def _empty_queue():
    """The queue as another test saw it is not this one's."""
    cache.delete(turns.CACHE_KEY)


# --- The database --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix, tmp_path_factory):
    """Two runs at once in one checkout must not share a test database file."""
    database = django_settings.DATABASES["default"]
    if database["ENGINE"] == "config.sqlite":
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """After a transactional test the database is as the migrations left it: seeded rows there, triggers in force."""
    with django_db_blocker.unblock():
        seeds = connection.creation.serialize_db_to_string()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: restore_database(seeds))
        yield


def restore_database(seeds: str) -> None:
    # Not the command flush: it truncates on PostgreSQL, which takes ten times as long as deleting a few rows.
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with transaction.atomic():
        with suspend_guards(), connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
        connection.creation.deserialize_db_from_string(seeds)


@contextmanager
def suspend_guards() -> Iterator[None]:
    """The triggers of the ledger are out of force, in the test database only."""
    connection.check_constraints()  # PostgreSQL alters no table while deferred constraints wait for a commit
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in {guard.table for guard in triggers.guards()}:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        else:
            for guard in triggers.guards():
                cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}")
    try:
        yield
    finally:
        connection.check_constraints()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                for table in {guard.table for guard in triggers.guards()}:
                    cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        triggers.install_triggers(connection)


@pytest.fixture
def guards_off():
    """`with guards_off():` history and balances can be changed, as by an operator who switched the triggers off."""
    return suspend_guards


@pytest.fixture
def database_url():
    """The DATABASE_URL with which a child process reaches this test's database (mark the test transaction=True)."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return (
        f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )


# --- S3 -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_server():
    """One server for a worker of the suite; imported late, because it takes a second and few tests need it."""
    from tests.s3 import S3Server

    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _bucket(s3_server):
    from tests.s3 import Bucket

    return Bucket(s3_server)


@pytest.fixture
def bucket(_bucket, settings):
    """An empty bucket in which this test's pictures are kept."""
    _bucket.use(settings, "s3")
    yield _bucket
    _bucket.server.start()  # a test may have stopped it
    _bucket.empty()


# --- Races ---------------------------------------------------------------------------------------


@contextmanager
def alone_on_the_server() -> Iterator[None]:
    """One race of many connections at a time on this machine: a PostgreSQL server allows 100 in all."""
    with (Path(tempfile.gettempdir()) / "plantain-race.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_race(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Call function(0) .. function(count - 1) at the same moment, each in a thread with its own connection.

    Returns what each returned or raised, in order.
    """
    start = threading.Barrier(count)

    def run(index: int) -> Any:
        try:
            connection.ensure_connection()
        except Exception:
            start.abort()  # the others would wait for ever
            raise
        start.wait()
        try:
            return function(index)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with (
        alone_on_the_server() if connection.vendor == "postgresql" else nullcontext(),
        ThreadPoolExecutor(count) as pool,
    ):
        return list(pool.map(run, range(count)))


@pytest.fixture
def race(transactional_db):
    return run_race


# --- People --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick_passwords(settings):
    """Argon2 is slow on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def at(monkeypatch):
    """Transfers are booked at this moment."""

    def set_clock(moment):
        monkeypatch.setattr(Transfer._meta.get_field("created_at"), "_get_default", lambda: moment)
        monkeypatch.setattr("accounts.ledger.writing._next_moment", lambda wallet: moment)

    return set_clock


@pytest.fixture
def alice(db):
    return people.make_person("alice", name="Alice")


@pytest.fixture
def bob(db):
    return people.make_person("bob")


@pytest.fixture
def staff(db):
    return people.make_person("staff", is_staff=True)


@pytest.fixture
def stranger(db):
    """Somebody who sends neither key nor cookie."""
    return Client()


@pytest.fixture
def alice_key(alice):
    return people.make_key(alice)


@pytest.fixture
def bob_key(bob):
    return people.make_key(bob)


@pytest.fixture
def staff_key(staff):
    return people.make_key(staff)
