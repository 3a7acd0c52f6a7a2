"""run.py: plain sentences when it cannot start, two instances that never meet, and no process left behind."""

import ast
import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 90
# The suite's own environment stands in for .venv: what is installed is not what these tests are about.
DRIVER = (
    "import sys, run; run.PYTHON = sys.executable; run.install = lambda children, kind: None; sys.exit(run.main([]))"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def environment(**extra):
    """Nothing but the defaults: the databases of the suite are not this instance's."""
    env = {name: value for name, value in os.environ.items() if name not in run.settings_names()}
    return env | {"ENV_FILE": os.devnull} | extra


def start_and_fail(*args, cwd=ROOT, **env):
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", *args], env=environment(**env), cwd=cwd, capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip()


@dataclass
class Instance:
    process: "subprocess.Popen[str]"
    port: int
    welcome: str

    @property
    def key(self):
        return re.search(r"Bearer (nbk_live_\w+)", self.welcome)[1]

    def descendants(self):
        """The processes below run.py, by their command lines."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(stat.parent.name))
        found, waiting = {}, [self.process.pid]
        while waiting:
            for pid in parents.get(waiting.pop(), []):
                waiting.append(pid)
                with contextlib.suppress(OSError):
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        return found

    def pid_of(self, module):
        (pid,) = (pid for pid, command in self.descendants().items() if module in command)
        return pid

    def api(self, path, *, key=None, body=None, **headers):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def end(self, number, pid=None):
        """Signal run.py, or one of its processes; its exit code, once none of them is left."""
        watches = [os.pidfd_open(pid) for pid in self.descendants()]
        os.kill(pid or self.process.pid, number)
        code = self.process.wait(LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while watches:
            ended, _, _ = select.select(watches, [], [], deadline - time.monotonic())
            assert ended, "a process was left behind"
            for watch in ended:
                os.close(watch)
                watches.remove(watch)
        return code


@pytest.fixture
def start(tmp_path):
    """A function that starts an instance on a directory of its own and waits for its welcome."""
    instances = []

    def start(name="data", **env):
        port = free_port()
        log = (tmp_path / f"{name}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER], env=environment(PORT=str(port), DATA_DIR=str(tmp_path / name), **env),
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        lines = []
        while not lines or not lines[-1].startswith("  -d "):
            line = process.stdout.readline()
            assert line, Path(log.name).read_text()
            lines.append(line)
        instances.append(Instance(process, port, "".join(lines)))
        return instances[-1]

    yield start
    for instance in instances:
        if instance.process.poll() is None:
            instance.end(signal.SIGKILL)


def test_it_imports_nothing_but_the_standard_library():
    tree = ast.parse((ROOT / "run.py").read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_an_old_python_can_read_it_as_far_as_the_sentence_that_refuses_it():
    source = (ROOT / "run.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    assert source.index("sys.version_info < (3, 11)") < source.index("\nclass ") < source.index("\ndef ")


def test_help_and_an_unknown_command():
    done = subprocess.run([sys.executable, ROOT / "run.py", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, run.HELP)
    code, message = start_and_fail("strat")
    assert (code, message.splitlines()[0]) == (2, "There is no command 'strat'.")


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "8000.5"])
def test_a_port_that_is_none_is_refused(port, tmp_path):
    refusal = (1, f"PORT must be a number from 1 to 65535, not {port!r}.")
    assert start_and_fail(PORT=port, DATA_DIR=str(tmp_path / "data")) == refusal


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = start_and_fail(PORT=str(port), DATA_DIR=str(tmp_path / "data"))
    assert code == 1
    assert message == f"Port {port} is already in use; choose another one, such as: PORT={port + 1} python3 run.py"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["run.lock"]


def test_a_directory_in_use_is_refused(tmp_path):
    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, message = start_and_fail(DATA_DIR=str(tmp_path))
    assert code == 1
    assert message == f"Plantain is already running on {tmp_path}; end it, or set DATA_DIR to another directory."


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    code, message = start_and_fail(DATA_DIR=str(tmp_path / "file"))
    assert (code, message) == (1, f"DATA_DIR {tmp_path / 'file'} cannot be used: File exists.")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """run.py as in a fresh clone: locks, but no virtual environment yet."""
    venv = tmp_path / ".venv"
    monkeypatch.setattr(run, "VENV", venv)
    monkeypatch.setattr(run, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(run, "find_uv", lambda: [])
    monkeypatch.setattr(run.Children, "__init__", lambda children: vars(children).update(running=[], signals=0))
    return venv


def test_a_python_without_venv_is_told_what_to_install(checkout, monkeypatch):
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(run.Problem, match=r"apt install python3-venv\) or uv, and start again\.$"):
        run.install(run.Children(), "runtime")
    assert not checkout.exists()


def test_a_first_start_without_a_network_is_told_so(checkout, monkeypatch, capsys):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(run.Problem, match="could not be installed: check that this machine reaches the Python package"):
        run.install(run.Children(), "runtime")
    assert not run.is_installed("runtime")
    assert "No matching distribution" in (checkout / "install.log").read_text()


def test_a_stamp_lets_the_next_start_skip_the_installation(checkout, monkeypatch):
    calls = []
    monkeypatch.setattr(run, "make_venv", lambda children, uv: (checkout / "bin").mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(run.Children, "call", lambda children, *args, **options: calls.append(args) or 0)
    children = run.Children()
    run.install(children, "dev")
    run.PYTHON.touch()
    run.install(children, "dev")
    run.install(children, "runtime")  # the development lock holds all of it
    assert [call[-1] for call in calls] == [run.LOCKS["dev"]]
    assert "--require-hashes" in calls[0]


def test_another_lock_or_another_python_is_installed_again(checkout, monkeypatch):
    checkout.joinpath("bin").mkdir(parents=True)
    run.PYTHON.touch()
    run.stamp_of("runtime").write_text(run.fingerprint_of("runtime"))
    assert run.is_installed("runtime")
    monkeypatch.setattr(run, "THIS_PYTHON", "3.99.0 /usr")
    assert not run.is_installed("runtime")


@pytest.mark.slow
def test_two_instances_do_not_meet_and_each_ends_when_asked(start):
    first, second = start("first"), start("second")
    assert first.key != second.key
    assert first.api("account")[0] == second.api("account")[0] == 200
    assert first.api("account", key=second.key)[0] == 401
    assert first.pid_of("generations.emulator") != second.pid_of("generations.emulator")
    assert first.end(signal.SIGTERM) == 0
    assert second.api("account")[0] == 200
    assert second.end(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_request_that_waits_is_answered_before_the_end_and_its_picture_is_finished(start):
    instance = start(EMULATOR_LATENCY_S="3")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(instance.api, "generations", body={"prompt": "a fox"}, prefer="wait=60")
        while not any(row["status"] == "running" for row in instance.api("generations")[1]["results"]):
            assert not waiting.done()
        assert instance.end(signal.SIGTERM) == 0
        status, generation = waiting.result()
    assert (status, generation["status"]) == (202, "running")
    again = start()
    assert again.api(f"generations/{generation['id']}")[1]["status"] == "succeeded"


@pytest.mark.slow
def test_a_second_start_finds_what_the_first_one_made(start, tmp_path):
    first = start()
    assert first.end(signal.SIGTERM) == 0
    second = start()
    assert second.welcome.replace(str(second.port), str(first.port)) == first.welcome
    assert second.api("account")[1]["email"] == "demo@plantain.local"
    secrets = sorted((tmp_path / "data" / "secrets").iterdir())
    assert [path.name for path in secrets] == [
        *("demo-api-key", "password-demo", "password-staff"),
        *("receipt-signing-keys", "secret-key", "url-signing-keys"),
    ]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


@pytest.mark.slow
def test_nothing_outlives_a_run_py_that_is_killed(start):
    assert start().end(signal.SIGKILL) == -signal.SIGKILL


@pytest.mark.slow
def test_a_web_process_that_dies_takes_everything_with_it(start):
    instance = start()
    assert instance.end(signal.SIGKILL, pid=instance.pid_of("manage.py serve")) == 128 + signal.SIGKILL


@pytest.mark.slow
def test_an_emulator_that_dies_takes_everything_with_it(start, tmp_path):
    instance = start()
    assert instance.end(signal.SIGKILL, pid=instance.pid_of("generations.emulator")) == 1
    assert "The emulator has ended, so everything else was ended with it." in (tmp_path / "data.log").read_text()


@pytest.mark.slow
def test_with_an_upstream_key_no_emulator_is_started(start):
    instance = start(WISDOM_GATE_KEY="canary-upstream-key")
    assert [command for command in instance.descendants().values() if "emulator " in command] == []
    assert "the upstream paints" in instance.welcome
    assert "canary" not in instance.welcome


def test_production_does_not_start_with_development_settings(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], capture_output=True, text=True, cwd=ROOT,
        env=environment(ENVIRONMENT="production", PORT=str(free_port()), DATA_DIR=str(tmp_path)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "plantain.E010" in done.stderr
    assert "plantain.E021" in done.stderr
    assert done.stderr.strip().endswith("Plantain was not started; the reason stands above.")
    assert not (tmp_path / "plantain.sqlite3").exists()


def test_the_suite_sees_nothing_of_this_machines_settings():
    assert {"WISDOM_GATE_KEY", "WISDOM_GATE_KEY_FILE", "DATABASE_URL", "EMULATOR"} <= run.settings_names()
