"""Open studio tabs with running jobs in one process: run.py bench tabs [--tabs 100] [--seconds 20]

Each tab belongs to somebody of its own, listens to its event stream, and has one job running. Prints how long after
the end of a job its event arrived, and how fast other pages answered meanwhile; exit 1 when that is more than 1 s,
or 200 ms at the 95th percentile.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import django
import orjson
import requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from tests.contract.live import PASSWORD, Instance, instance  # noqa: E402

LATE_S = 1.0
SLOW_MS = 200.0
PEOPLE = """
from accounts.keys import create_key
from accounts.users import create_account
from accounts.models import User
from django.test import Client
from accounts import quotas
for number in range({count}):
    user = create_account(email=f"tab{{number}}@example.org", password={password!r}, credit_micros=10_000_000)
    quotas.override_limits(user=user, requests_per_minute=100_000)
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    issued = create_key(user=user, name="bench", scopes=["read", "generate"])
    print(client.cookies["sessionid"].value, issued.secret)
"""


def listen(live: Instance, session_id: str, arrivals: dict[str, float], stopped: threading.Event) -> None:
    """Read one tab's stream; notes when the end of each generation was told."""
    cookies = {"sessionid": session_id}
    with requests.get(f"{live.url}/studio/events/", cookies=cookies, stream=True, timeout=120) as stream:
        assert stream.status_code == 200, stream.status_code
        for line in stream.iter_lines():
            if stopped.is_set():
                return
            if line.startswith(b"data:"):
                event = orjson.loads(line[5:])
                if event["status"] in ("succeeded", "failed", "canceled"):
                    arrivals.setdefault(event["id"], time.time())


def browse(live: Instance, session_id: str, stopped: threading.Event) -> list[float]:
    """Open pages until stopped; the times in ms."""
    times = []
    while not stopped.wait(0.1):
        for path in ("/studio/", "/library/", "/account/"):
            started = time.perf_counter()
            answer = requests.get(live.url + path, cookies={"sessionid": session_id}, timeout=30)
            times.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, answer.status_code
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tabs", type=int, default=100)
    parser.add_argument("--seconds", default="20", help="how long a picture takes, such as 20 or 15-25")
    options = parser.parse_args()
    environment = {
        "EMULATOR_LATENCY_S": options.seconds,
        "WORKER_CONCURRENCY": str(options.tabs),
        "LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **environment) as live:
        script = PEOPLE.format(count=options.tabs, password=PASSWORD)
        people = [line.split() for line in live.manage("shell", "--no-imports", "-c", script).splitlines()]
        arrivals: dict[str, float] = {}
        stopped = threading.Event()
        with ThreadPoolExecutor(options.tabs + 20) as pool:
            for session_id, _ in people:
                pool.submit(listen, live, session_id, arrivals, stopped)
            browsing = pool.submit(browse, live, people[0][0], stopped)

            def ask(key: str) -> str:
                answer = requests.post(
                    f"{live.api}/generations",
                    json={"prompt": "One of many"},
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=60,
                )
                assert answer.status_code == 202, answer.text
                return answer.json()["id"]

            wanted = list(pool.map(ask, [key for _, key in people]))
            deadline = time.monotonic() + float(re.findall(r"[\d.]+", options.seconds)[-1]) + 60
            while len(arrivals) < len(wanted) and time.monotonic() < deadline:
                time.sleep(0.2)
            stopped.set()
            times = sorted(browsing.result())
            late = lateness(live, people, wanted, arrivals)
            live.stop()
    p95 = times[int(len(times) * 0.95)]
    print(f"{options.tabs} tabs, {len(arrivals)} of {len(wanted)} ends arrived")
    print(f"event after the end: p50 {statistics.median(late):.2f} s, max {max(late):.2f} s")
    print(f"{len(times)} pages meanwhile: p50 {statistics.median(times):.0f} ms, p95 {p95:.0f} ms")
    return 0 if len(arrivals) == len(wanted) and max(late) <= LATE_S and p95 <= SLOW_MS else 1


def lateness(live: Instance, people: list[list[str]], wanted: list[str], arrivals: dict[str, float]) -> list[float]:
    """For each generation the seconds between its end and the event."""
    late = []
    for (_, key), public_id in zip(people, wanted, strict=True):
        address = f"{live.api}/generations/{public_id}"
        body = requests.get(address, headers={"Authorization": f"Bearer {key}"}, timeout=30).json()
        if public_id in arrivals:
            late.append(arrivals[public_id] - datetime.fromisoformat(body["finished_at"]).timestamp())
    return late


if __name__ == "__main__":
    sys.exit(main())
