"""16 programs against one limit at once over HTTP, and kill -9 in between; the long form is `run.py bench limits`."""

import signal
from itertools import chain

import pytest

from tests.contract import live as living
from tests.contract import recovery, rush
from tests.contract.rush import Case

pytestmark = pytest.mark.slow

CLIENTS = 16
CASES = [
    Case(name="pictures a day", measure="images_per_day", room=3, keys=2),
    Case(name="balance", measure="balance", room=2, keys=2),
    Case(name="budget of a key", measure="budget", source="month", room=3),
]


@pytest.fixture
def own(tmp_path):
    with living.instance(tmp_path, **rush.STILL) as instance:
        yield instance
        instance.stop(signal.SIGKILL)  # what the last rush has asked for would be waited for


def test_as_many_are_let_in_as_there_is_room_for_and_kill_9_leaves_nothing_over(own):
    jobs = Case(name="jobs at once", measure="concurrent", room=4, keys=2)
    *crowds, workers = rush.prepare(own, [*CASES, jobs])
    for case, people in zip(CASES, crowds, strict=True):
        result = rush.rush(own, case, people, clients=CLIENTS)
        assert (result.admitted, result.refused) == (case.room, CLIENTS - case.room)
        assert result.problems == []

    promised = rush.hammer(own, [(workers[0], "concurrent")] * CLIENTS, answers=2 * CLIENTS)
    assert 0 < len(promised) <= jobs.room
    rush.inside(own, "lapse()")  # no worker comes back for its lease
    recovery.restart(own)
    assert recovery.wait_for_all(own, [*chain(*crowds), *workers]) == []
    assert recovery.broken_promises(own, workers[0], promised, room=jobs.room) == []
    assert recovery.leftovers(own) == []

    again = rush.rush(own, jobs, workers, clients=CLIENTS, words="[latency:600]")
    assert (again.admitted, again.problems) == (jobs.room, [])
