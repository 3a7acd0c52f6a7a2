"""Generations in flight in one process: run.py bench flight [--count 200] [--latency 20]

Starts an instance of its own, submits all at once, and meanwhile reads one generation again and again. Prints how
many succeeded, the resident memory of all processes at its peak, and the latency of the reads.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from tests.contract.live import Instance, instance  # noqa: E402


def resident_mb(root: int) -> float:
    """Resident memory of a process and all its descendants, in MB (Linux)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    pending, total = [root], 0
    while pending:
        pid = pending.pop()
        pending += children.get(pid, [])
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total / 1e6


def watch(live: Instance, session: object, address: str, stopped: threading.Event) -> tuple[list[float], float]:
    """Read until stopped; returns the read times in ms and the peak of memory in MB."""
    times, peak = [], 0.0
    while not stopped.wait(0.2):
        started = time.perf_counter()
        answer = session.get(address, timeout=30)
        times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.status_code
        peak = max(peak, resident_mb(live.web.pid) + resident_mb(live.emulator.pid))
    return times, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--latency", default="20")
    options = parser.parse_args()
    environment = {
        "WORKER_CONCURRENCY": str(options.count),
        "EMULATOR_LATENCY_S": options.latency,
        "LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory), **environment) as live:
        session = live.account(credit="1000")
        idle = resident_mb(live.web.pid) + resident_mb(live.emulator.pid)
        started = time.monotonic()

        def submit(number: int) -> str:
            answer = session.post(f"{live.api}/generations", json={"prompt": f"picture number {number}"}, timeout=60)
            assert answer.status_code == 202, answer.text
            return answer.json()["links"]["self"]

        with ThreadPoolExecutor(16) as pool:
            addresses = list(pool.map(submit, range(options.count)))
        submitted_s = time.monotonic() - started
        stopped = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch, live, session, addresses[0], stopped)
            counts = {"succeeded": 0, "failed": 0}
            pending = set(addresses)
            while pending:
                time.sleep(1)
                page = session.get(f"{live.api}/generations?limit=100&status=running", timeout=30).json()
                queued = session.get(f"{live.api}/generations?limit=1&status=queued", timeout=30).json()
                if not page["results"] and not queued["results"]:
                    break
            stopped.set()
            times, peak = watching.result()
        for address in addresses:
            counts[session.get(address, timeout=30).json()["status"]] += 1
        times.sort()
        print(f"submitted {options.count} in {submitted_s:.1f} s; all ended after {time.monotonic() - started:.1f} s")
        print(f"{counts}; peak in flight at the upstream: {live.stats().get('peak_in_flight')}")
        print(f"resident memory of all processes: idle {idle:.0f} MB, peak {peak:.0f} MB")
        p95 = times[int(len(times) * 0.95)]
        p50 = statistics.median(times)
        print(f"GET meanwhile: {len(times)} reads, p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {times[-1]:.0f} ms")
        print(live.manage("verifyledger"))


if __name__ == "__main__":
    main()
