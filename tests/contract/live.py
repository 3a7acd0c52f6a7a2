"""A whole instance in processes of its own: emulator and web on free ports, with its own directory and database."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from django.conf import settings
from django.db import connection

START_S = 40
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def database_url(data_dir: Path) -> Iterator[str]:
    """A new, empty database on the engine that the suite runs on."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{data_dir}/live.sqlite3"
        return
    import psycopg

    server = connection.settings_dict
    name = f"plantain_live_{secrets.token_hex(4)}"
    where = f"{server['USER']}@{server['HOST'] or '127.0.0.1'}:{server['PORT'] or 5432}"
    with psycopg.connect(f"postgres://{where}/postgres", autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"postgres://{where}/{name}"
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def media() -> Iterator[dict[str, str]]:
    """Where its pictures are kept: files beside SQLite, and a bucket where the suite runs on the engines of scale."""
    if connection.vendor == "sqlite":
        yield {}
        return
    from tests.s3 import S3Server

    server = S3Server()
    try:
        yield server.environment(server.make_bucket(f"plantain-live-{secrets.token_hex(4)}"))
    finally:
        server.stop()


@dataclass
class Instance:
    """What a test needs to talk to a running instance; `stats()` are the emulator's own counts."""

    data_dir: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    web: "subprocess.Popen[bytes] | None" = None
    emulator: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"

    def start_emulator(self) -> None:
        port_file = self.data_dir / "emulator-port"
        port_file.unlink(missing_ok=True)
        self.emulator = self._spawn("-m", "generations.emulator", "--port", "0", "--port-file", str(port_file))
        deadline = time.monotonic() + START_S
        while not port_file.exists():
            assert self.emulator.poll() is None, "the emulator ended"
            assert time.monotonic() < deadline, "the emulator did not start"
            time.sleep(0.02)
        self.env["EMULATOR_URL"] = f"http://127.0.0.1:{port_file.read_text().strip()}/v1beta"

    def start_web(self) -> None:
        arguments = ("--host", "127.0.0.1", "--port", str(self.port), "--no-access-log")
        self.web = self._spawn(
            "-m", "uvicorn", "config.asgi:application", "--timeout-graceful-shutdown", "3", *arguments
        )
        deadline = time.monotonic() + START_S
        while True:
            assert self.web.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            try:
                if requests.get(f"{self.url}/healthz", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> None:
        for process in (self.web, self.emulator):
            if process is not None and process.poll() is None:
                process.send_signal(number)
        for process in (self.web, self.emulator):
            if process is not None:
                process.wait(timeout=90)

    def manage(self, *args: str, ok: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            env=self.env,
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout.strip()

    def account(self, email: str = "", credit: str = "10.00", **limits: int) -> requests.Session:
        """A new account with a key; the session sends it."""
        email = email or f"{secrets.token_hex(4)}@example.org"
        given = {"images_per_day": 100_000, "concurrent": 10_000, "requests_per_minute": 100_000, **limits}
        # One process for the three commands: each start of Django takes a second.
        printed = self.manage(
            "shell",
            "--no-imports",
            "-c",
            "from django.core.management import call_command as call\n"
            f"call('createaccount', email={email!r}, password={PASSWORD!r}, credit={credit!r})\n"
            f"call('setquota', email={email!r}, **{given!r})\n"
            f"call('createapikey', email={email!r})",
        )
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {printed.splitlines()[-1]}"
        session.email = email  # type: ignore[attr-defined]
        return session

    def stats(self) -> dict:
        base = self.env["EMULATOR_URL"].removesuffix("/v1beta")
        return requests.get(
            f"{base}/__emulator__/stats", headers={"x-goog-api-key": self.env["EMULATOR_KEY"]}, timeout=10
        ).json()

    def log(self) -> str:
        return (self.data_dir / "output.log").read_text(errors="replace")

    def _spawn(self, *args: str) -> "subprocess.Popen[bytes]":
        with (self.data_dir / "output.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *args], env=self.env, cwd=settings.BASE_DIR, stdout=output, stderr=output
            )


@contextmanager
def instance(data_dir: Path, **environment: str) -> Iterator[Instance]:
    """A migrated instance that is running; it ends with the block."""
    ours = re.compile(r"^(WISDOM_GATE|EMULATOR|UPSTREAM|DATABASE_URL|CELERY|DATA_DIR|S3_|AWS_|MEDIA_)")
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    with database_url(data_dir) as url, media() as where:
        env = {
            **inherited,
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": url,
            "EMULATOR": "1",
            "EMULATOR_KEY": secrets.token_hex(16),
            "EMULATOR_LATENCY_S": "0",
            "LOG_FORMAT": "json",
            **where,
            **environment,
        }
        live = Instance(data_dir, env)
        live.manage("migrate", "--verbosity", "0")
        try:
            live.start_emulator()
            live.start_web()
            yield live
        finally:
            live.stop()
