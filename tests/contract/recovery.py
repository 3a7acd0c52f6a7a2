"""After kill -9: everything ends, what was promised is there, and no job, hold or counter is left over."""

import time
from collections.abc import Iterable

from tests.contract.live import Instance
from tests.contract.rush import PATIENCE_S, PRICE, Person, inside, micros


def restart(live: Instance) -> None:
    """Start what was killed; from now on pictures come at once."""
    live.env["EMULATOR_LATENCY_S"] = "0"
    live.start_emulator()
    live.start_web()


def wait_for_all(live: Instance, people: Iterable[Person]) -> list[str]:
    """Until these people have no unfinished job."""
    deadline = time.monotonic() + PATIENCE_S
    for person in people:
        while left := [
            job
            for status in ("queued", "running")
            for job in person.get(live, f"generations?limit=1&status={status}")["results"]
        ]:
            if time.monotonic() > deadline:
                return [f"job {left[0]['id']} did not end"]
            time.sleep(0.2)
    return []


def broken_promises(live: Instance, person: Person, promised: Iterable[str], *, room: int) -> list[str]:
    """Each job that somebody was told of has ended well; there were never more than there is room for."""
    jobs = {job["id"]: job for job in person.get(live, "generations?limit=100")["results"]}
    wrong = [f"job {missing} was promised and is not there" for missing in set(promised) - set(jobs)]
    if len(jobs) > room:
        wrong.append(f"{len(jobs)} jobs, and there is room for {room}")
    for job in jobs.values():
        if job["status"] != "succeeded" or micros(job["cost"]["charged"]) != PRICE * len(job["images"]):
            wrong.append(f"job {job['id']}: {job['status']}, charged {job['cost']['charged']}")
    return wrong


def leftovers(live: Instance) -> list[str]:
    """What is left over or does not add up: jobs, holds, budgets, counters, the ledger."""
    return [f"{name}: {left}" for name, left in inside(live, "leftovers()").items() if left]
