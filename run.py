#!/usr/bin/env python3
"""Starts, tests and checks Plantain. Needs nothing but Python: `python3 run.py --help`.

Imports nothing of the project and no library: this is what runs before they are installed.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

if sys.version_info < (3, 11):  # noqa: UP036 - the syntax of this file lets an old Python come this far
    sys.exit("Plantain needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info[:2]))

HELP = """\
python3 run.py                       start Plantain in the foreground; Ctrl-C ends it
python3 run.py test [ARGS...]        the test suite on the embedded defaults; ARGS go to pytest
python3 run.py test --services       the same suite on PostgreSQL, Redis (DATABASE_URL, REDIS_URL) and S3
python3 run.py manage ARGS...        manage.py inside the virtual environment
python3 run.py check                 lint, format, types, floors, migrations, settings, OpenAPI
python3 run.py bench [NAME ARGS...]  one of the benchmarks; without a name, their names
python3 run.py --help                this text

From the environment: PORT (8000), HOST (127.0.0.1), DATA_DIR (var/). docs/settings.md lists the rest."""

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
THIS_PYTHON = f"{sys.version.split()[0]} {sys.base_prefix}"
LOCKS = {"runtime": ROOT / "requirements" / "runtime.txt", "dev": ROOT / "requirements" / "dev.txt"}

REQUESTS_END_S = 5  # how long the web process lets open requests end before it drains its lanes
DRAIN_S = REQUESTS_END_S + 60 + 5  # DRAIN_S of config/settings.py in between, and a little for the rest
PATIENCE_S = 5
POLL_S = 0.1

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Problem(Exception):
    """Ends the run with one plain sentence and exit code 1."""


class Stopped(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class Child(NamedTuple):
    """A process that was started, how it is asked to end and for how many seconds it may take its time."""

    process: "subprocess.Popen[bytes]"
    farewell: int
    patience_s: float


class Children:
    """Every process that this one starts: each in a session of its own, and none outlives it."""

    def __init__(self) -> None:
        self.running: list[Child] = []
        self.signals = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, number: int, frame: Any) -> None:
        self.signals += 1

    def start(
        self, *args: object, farewell: int = signal.SIGTERM, patience_s: float = PATIENCE_S, **options: Any
    ) -> "subprocess.Popen[bytes]":
        parent = os.getpid()

        def end_with_parent() -> None:  # runs in the child: the kernel kills it when this process is killed
            if LIBC is not None:
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        process = subprocess.Popen(
            [str(arg) for arg in args], cwd=ROOT, start_new_session=True, preexec_fn=end_with_parent, **options
        )
        self.running.append(Child(process, farewell, patience_s))
        return process

    def call(self, *args: object, **options: Any) -> int:
        """Run a command to its end; its exit code."""
        process = self.start(*args, **options)
        self.wait_until(lambda: process.poll() is not None)
        self.end_last()
        return process.returncode

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`; raises Stopped at the first signal."""
        while not condition():
            if self.signals:
                raise Stopped
            time.sleep(POLL_S)

    def end_last(self) -> None:
        """Ask it to end, wait, then kill what is left of its session; a second signal means at once."""
        child = self.running.pop()
        deadline = time.monotonic() + child.patience_s
        if child.process.poll() is None:
            child.process.send_signal(child.farewell)
        while child.process.poll() is None and self.signals < 2 and time.monotonic() < deadline:
            time.sleep(POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def end_all(self) -> None:
        """The last one first: the web process finishes its pictures while the emulator is still there."""
        while self.running:
            self.end_last()


# --- What has to be there ------------------------------------------------------------------------


def option(name: str, default: str) -> str:
    """An option of this file: from the environment, else from `.env`, else its default."""
    value = os.environ.get(name, "")
    env_file = ROOT / ".env"
    if not value and env_file.is_file():
        for line in env_file.read_text().splitlines():
            key, _, text = line.partition("=")
            value = text.strip().strip("'\"") if key.strip() == name else value
    return value or default


def port_option() -> int:
    text = option("PORT", "8000")
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise Problem(f"PORT must be a number from 1 to 65535, not {text!r}.")
    return int(text)


def require_free_port(host: str, port: int) -> None:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Problem(
                f"Port {port} is already in use; choose another one, such as: PORT={port + 1} python3 run.py"
            ) from None
        raise Problem(f"Nothing can listen on {host} port {port}: {error.strerror}.") from None


@contextlib.contextmanager
def sole_user_of(data_dir: Path) -> Iterator[None]:
    """Nobody else may run on this directory; the kernel frees the lock however this process ends."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = open(data_dir / "run.lock", "w")  # noqa: SIM115 - closed by the with below
    except OSError as error:
        raise Problem(f"DATA_DIR {data_dir} cannot be used: {error.strerror}.") from None
    with lock:
        if not try_lock(lock):
            raise Problem(f"Plantain is already running on {data_dir}; end it, or set DATA_DIR to another directory.")
        yield


def try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def install(children: Children, kind: str) -> None:
    """Bring .venv up to the lock; a stamp of what was installed lets the next start skip this."""
    if is_installed(kind):
        return
    with open(LOCKS["runtime"]) as lock:  # two instances of one checkout must not install at the same time
        children.wait_until(lambda: try_lock(lock))
        if is_installed(kind):
            return
        print("Installing the dependencies into .venv; this happens once and takes up to a minute.", file=sys.stderr)
        uv = find_uv()
        make_venv(children, uv)
        for name in LOCKS:  # from here on it is neither what it was nor what it will be
            stamp_of(name).unlink(missing_ok=True)
        # Python compiles what it imports on the way, unless it is told to leave no bytecode behind: then each process
        # would compile everything again, which takes longer than what it does.
        compiles = sys.dont_write_bytecode
        pip = [PYTHON, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        pip += [] if compiles else ["--no-compile"]
        installer = (
            [*uv, "pip", "install", "--python", PYTHON, *(["--compile-bytecode"] if compiles else [])] if uv else pip
        )
        with open(VENV / "install.log", "w") as log:
            if children.call(*installer, "--require-hashes", "-r", LOCKS[kind], stdout=log, stderr=log):
                raise Problem(
                    "The dependencies could not be installed: check that this machine reaches the Python package index"
                    f" and start again; the installer's own words are in {log.name}."
                )
        for installed in LOCKS if kind == "dev" else [kind]:  # the development lock holds all of the other
            stamp_of(installed).write_text(fingerprint_of(installed))


def is_installed(kind: str) -> bool:
    return PYTHON.exists() and stamp_of(kind).is_file() and stamp_of(kind).read_text() == fingerprint_of(kind)


def stamp_of(kind: str) -> Path:
    return VENV / ("stamp-" + kind)


def fingerprint_of(kind: str) -> str:
    """What a stamp holds: the lock and the Python that .venv was made for."""
    return f"{hashlib.sha256(LOCKS[kind].read_bytes()).hexdigest()} {THIS_PYTHON}"


def find_uv() -> list[str]:
    """How to call uv, if it is here."""
    if shutil.which("uv"):
        return ["uv"]
    spec = importlib.util.find_spec("uv")
    return [sys.executable, "-m", "uv"] if spec is not None and spec.origin else []


def make_venv(children: Children, uv: list[str]) -> None:
    """Make .venv, unless there is one of this Python that the installer can use."""
    fits = f"import sys; sys.exit(f'{{sys.version.split()[0]}} {{sys.base_prefix}}' != {THIS_PYTHON!r})"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    has_fitting = PYTHON.exists() and children.call(PYTHON, "-c", fits, **quiet) == 0
    if has_fitting and (uv or children.call(PYTHON, "-m", "ensurepip", **quiet) == 0):  # uv makes them without pip
        return
    if not uv and importlib.util.find_spec("ensurepip") is None:
        raise Problem(
            "This Python cannot make virtual environments: install its venv module"
            " (on Debian and Ubuntu: apt install python3-venv) or uv, and start again."
        )
    maker = [*uv, "venv", "--clear", "--python", sys.executable] if uv else [sys.executable, "-m", "venv", "--clear"]
    with tempfile.TemporaryFile("w+") as output:
        if children.call(*maker, VENV, stdout=output, stderr=output):
            output.seek(0)
            raise Problem(f"The virtual environment .venv could not be made: {output.read().strip()}")


# --- Starting ------------------------------------------------------------------------------------


def start(children: Children) -> int:
    """All that one machine needs, in the foreground; the exit code."""
    host, port = option("HOST", "127.0.0.1"), port_option()
    data_dir = Path(option("DATA_DIR", str(ROOT / "var"))).resolve()
    os.environ.update(HOST=host, PORT=str(port), DATA_DIR=str(data_dir))
    with sole_user_of(data_dir):
        require_free_port(host, port)
        install(children, "runtime")
        try:
            return serve(children, host, port)
        finally:
            children.end_all()  # while the lock is still held


def serve(children: Children, host: str, port: int) -> int:
    emulator_port = free_port()
    options = ["--emulator-port", emulator_port, "--requests-end-s", REQUESTS_END_S]
    # An unbuffered pipe: a buffer could hold a line that select() does not know of.
    pipe = {"stdout": subprocess.PIPE, "bufsize": 0}
    web = children.start(PYTHON, "manage.py", "serve", *options, patience_s=DRAIN_S, **pipe)
    emulator_environment = read_fact(children, web)
    if emulator_environment is not None:
        command = [PYTHON, "-m", "generations.emulator", "--port", emulator_port]
        children.start(*command, env={**os.environ, **emulator_environment})
        children.running.reverse()  # the web process ends first, while there is still somebody to paint
    welcome = read_fact(children, web)
    children.wait_until(lambda: web.poll() is not None or is_alive(host, port))
    if web.poll() is None:
        print(welcome, flush=True)
    children.wait_until(lambda: any(child.process.poll() is not None for child in children.running))
    if web.poll() is None:
        raise Problem("The emulator has ended, so everything else was ended with it.")
    code = web.returncode if web.returncode >= 0 else 128 - web.returncode  # as shells report a signal
    print(f"The web process has ended by itself, with exit code {code}.", file=sys.stderr)
    return code


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def read_fact(children: Children, web: "subprocess.Popen[bytes]") -> Any:
    """The next line that the web process tells, which alone knows what the settings mean."""
    assert web.stdout is not None
    pipe = web.stdout
    children.wait_until(lambda: bool(select.select([pipe], [], [], 0)[0]))
    line = pipe.readline()
    if not line:
        raise Problem("Plantain was not started; the reason stands above.")
    return json.loads(line)


def is_alive(host: str, port: int) -> bool:
    """Whether /healthz answers; an address that means every interface is asked on this machine's own."""
    connection = http.client.HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


# --- Developing ----------------------------------------------------------------------------------


def test(children: Children, args: list[str]) -> int:
    """The suite; `--services` names the engines, everything else is pytest's."""
    services = {}
    if "--services" in args:
        args = [arg for arg in args if arg != "--services"]
        services["DATABASE_URL"] = os.environ.get("DATABASE_URL") or "postgres://postgres@127.0.0.1:5432/plantain"
        services["REDIS_URL"] = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/15"
    install(children, "dev")
    with clean_environment(**services) as env:
        if services and children.call(PYTHON, "-m", "tests.services", env=env):
            return 1
        pytest = [PYTHON, "-m", "pytest", "-n", min(4, os.cpu_count() or 1), "--dist", "worksteal"]
        return children.call(*pytest, *args, env=env, farewell=signal.SIGINT)


@contextlib.contextmanager
def clean_environment(**settings: str) -> Iterator[dict[str, str]]:
    """A directory of its own, and no setting of this machine's: neither its environment nor its `.env`."""
    with tempfile.TemporaryDirectory(prefix="plantain-test-") as data_dir:
        own = {"DATA_DIR": data_dir, "ENV_FILE": os.devnull, **settings}
        yield {name: value for name, value in os.environ.items() if name not in settings_names()} | own


def settings_names() -> set[str]:
    """Every variable that .env.example lists, and the NAME_FILE of each."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = {line.lstrip("# ").partition("=")[0] for line in lines if "=" in line}
    return names | {name + "_FILE" for name in names}


CHECKS: dict[str, list[object]] = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "mypy", "."],
    "floors": [VENV / "bin" / "lint-imports", "--no-logo"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
    "settings": ["manage.py", "check"],
    "openapi": ["-m", "pytest", "-q", "tests/contract/test_openapi.py"],
}


def check(children: Children) -> int:
    """Every check, also when an earlier one has failed."""
    install(children, "dev")
    failed = []
    with clean_environment() as env:
        for name, command in CHECKS.items():
            print("== " + name, flush=True)
            if children.call(PYTHON, *command, env=env):
                failed.append(name)
    print(f"Failed: {', '.join(failed)}." if failed else "Every check passed.")
    return 1 if failed else 0


def bench(children: Children, args: list[str]) -> int:
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))
    if not args or args[0] not in names:
        raise Problem(f"Name a benchmark: {', '.join(names)}.")
    install(children, "dev")
    return children.call(PYTHON, "-m", "benchmarks." + args[0], *args[1:], farewell=signal.SIGINT)


def manage(children: Children, args: list[str]) -> int:
    install(children, "runtime")
    os.chdir(ROOT)
    os.execv(PYTHON, [str(PYTHON), "manage.py", *args])


def main(args: list[str]) -> int:
    command, rest = (args[0], args[1:]) if args else ("start", [])
    children = Children()
    commands: dict[str, Callable[[], int]] = {
        "start": lambda: start(children),
        "test": lambda: test(children, rest),
        "manage": lambda: manage(children, rest),
        "check": lambda: check(children),
        "bench": lambda: bench(children, rest),
    }
    if command in ("--help", "-h", "help"):
        print(HELP)
        return 0
    if command not in commands:
        print(f"There is no command {command!r}.\n\n{HELP}", file=sys.stderr)
        return 2
    try:
        return commands[command]()
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    except Stopped:
        return 0 if command == "start" else 130
    finally:
        children.end_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
