"""Whose turn it is: people take turns, many workers at once, and what is said about the place in the queue is true."""

import random
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import quotas
from config import lanes
from generations import leases, turns
from generations.estimates import estimate_all
from generations.events import Watch
from generations.models import Attempt, Generation, Status
from generations.tasks import run_generation
from tests import people
from tests.conftest import run_race

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def carol(db):
    return people.make_person("carol")


@pytest.fixture
def line_up(submit):
    """So many jobs of a person that wait, in the order in which they were asked for."""

    def make(user, count, **fields):
        quotas.override_limits(user=user, concurrent=300)
        first = submit(user)
        copies = [Generation.objects.get(pk=first.pk) for _ in range(count - 1)]
        for copy in copies:
            copy.pk, copy.public_id, copy.queued_at = None, None, timezone.now()
            copy.public_id = Generation._meta.get_field("public_id").get_default()
        made = [first, *Generation.objects.bulk_create(copies)]
        if fields:
            Generation.objects.filter(pk__in=[each.pk for each in made]).update(**fields)
        return made

    return make


def start():
    """Whose job the next free worker takes, and which."""
    lease = leases.claim_next()
    return Generation.objects.get(pk=lease.generation_id) if lease else None


def end(generation):
    Generation.objects.filter(pk=generation.pk).update(
        status=Status.SUCCEEDED, lease_owner="", lease_expires_at=None, finished_at=timezone.now()
    )


def test_one_job_beside_two_hundred_is_started_after_one_other(alice, bob, line_up):
    line_up(alice, 200)
    [only] = line_up(bob, 1)
    assert only.pk in {start().pk, start().pk}


@pytest.mark.parametrize("ends", [True, False])
def test_three_people_take_turns_and_each_line_keeps_its_order(alice, bob, carol, line_up, ends):
    lines = {person.pk: line_up(person, count) for person, count in ((alice, 4), (bob, 2), (carol, 3))}
    started = []
    while job := start():
        started.append(job)
        if ends:
            end(job)
    names = {alice.pk: "a", bob.pk: "b", carol.pk: "c"}
    assert "".join(names[job.user_id] for job in started) == "abcabcaca"
    for pk, line in lines.items():
        assert [job.pk for job in started if job.user_id == pk] == [job.pk for job in line]


def test_who_has_less_under_way_is_served_first(alice, bob, line_up):
    line_up(alice, 9)
    for _ in range(3):
        start()
    line_up(bob, 5)
    assert [start().user_id for _ in range(5)] == [bob.pk] * 3 + [alice.pk, bob.pk]


def test_a_retry_stands_where_its_job_stood_and_is_its_owners_turn(alice, bob, line_up):
    retried, second = line_up(alice, 2)
    line_up(bob, 1)
    lease = leases.claim_next()
    assert lease.generation_id == retried.pk
    leases.park(lease, delay_s=60, stage="waiting_to_retry")
    assert start().user_id == bob.pk  # whose turn is longest ago
    assert start().pk == second.pk  # what is not due holds nobody up
    assert leases.claim_next() is None
    Generation.objects.filter(pk=retried.pk).update(next_run_at=timezone.now())
    assert start().pk == retried.pk


def test_a_lower_class_is_served_when_nobody_else_waits(alice, bob, line_up):
    line_up(alice, 1, priority=1)
    line_up(bob, 2)
    assert [start().user_id for _ in range(3)] == [bob.pk, bob.pk, alice.pk]


def test_what_shows_another_ones_pictures_is_never_taken(alice, submit, spec):
    from generations import services

    first = submit(alice)
    services.submit(user=alice, spec=spec, source="rest", reuse=True)
    assert start().pk == first.pk
    assert leases.claim_next() is None


def test_sixteen_workers_take_each_job_once_and_as_many_of_each_person(alice, bob, carol, line_up):
    people_there = [alice, bob, carol, people.make_person("dave")]
    for person in people_there:
        line_up(person, 30 if person == alice else 5)
    taken = run_race(16, lambda _: leases.claim_next())
    ids = [lease.generation_id for lease in taken]
    assert len(set(ids)) == 16
    owners = list(Generation.objects.filter(pk__in=ids).values_list("user_id", flat=True))
    assert {person.pk: owners.count(person.pk) for person in people_there} == dict.fromkeys(owners, 4)


def test_a_worker_that_comes_second_takes_the_next_one(alice, line_up, monkeypatch):
    first, second = line_up(alice, 2)
    leases.claim(first.pk)
    looked = iter([first.pk])  # as another process saw it a moment ago
    real = turns.next_due
    monkeypatch.setattr(turns, "next_due", lambda at: next(looked, None) or real(at))
    assert leases.claim_next().generation_id == second.pk


def test_a_message_takes_whose_turn_it_is_whichever_job_it_names(alice, bob, upstream, line_up):
    first, named = line_up(alice, 2)
    run_generation.run(named.pk)
    run_generation.run(0)
    assert set(Generation.objects.filter(status=Status.SUCCEEDED).values_list("pk", flat=True)) == {first.pk, named.pk}


def test_one_message_is_enough_for_everything_that_waits_in_the_lanes(alice, bob, upstream, submit, monkeypatch):
    jobs = [submit(person) for person in (alice, bob, alice)]  # the lanes do not run yet: their messages are dropped
    here = lanes.Lanes()
    monkeypatch.setattr(lanes, "lanes", here)
    here.start({"generations": 2, "renditions": 1})
    try:
        run_generation.delay(0)
        for job in jobs:
            with Watch(job.pk) as watch:
                while not Generation.objects.get(pk=job.pk).is_terminal:
                    assert watch.wait(30), "nothing happened"
    finally:
        assert here.drain(30)
    assert len(upstream.calls) == 3


def test_no_more_wake_ups_wait_than_a_lane_has_threads():
    lane = lanes.Lane("generations", 2)
    busy, gate, done = threading.Semaphore(0), threading.Event(), []
    for _ in range(2):
        lane.submit(lambda: (busy.release(), gate.wait(30)), ())
    for _ in range(2):
        assert busy.acquire(timeout=30)
    for number in range(5):
        lane.submit(done.append, (number,), is_wake_up=True)
    lane.submit(done.append, ("a picture to be scaled",))
    ended = threading.Event()
    lane.submit(ended.set, ())
    gate.set()
    assert ended.wait(30)
    assert lane.drain(30)
    assert set(done) == {0, 1, "a picture to be scaled"}


@pytest.mark.parametrize("seed", range(6))
def test_the_place_that_is_told_is_the_order_of_the_starts(seed, alice, bob, carol, line_up):
    chance = random.Random(seed)
    for person in chance.sample([alice, bob, carol], 3):
        line_up(person, chance.randint(1, 5))
    for _ in range(chance.randint(0, 4)):
        start()
    line_up(chance.choice([alice, bob, carol]), 1, priority=chance.randint(0, 1))
    turns.cache.delete(turns.CACHE_KEY)
    waiting = Generation.objects.with_place().filter(status=Status.QUEUED)
    told = {standing.ahead: pk for pk, standing in turns.standings(waiting).items()}
    assert [told.get(ahead) for ahead in range(len(waiting))] == [start().pk for _ in range(len(waiting))]


# --- In words -------------------------------------------------------------------------------------


def told_of(generation):
    turns.cache.delete(turns.CACHE_KEY)
    [row] = Generation.objects.for_api().filter(pk=generation.pk)
    estimate = estimate_all([row])[row.pk]
    return estimate.queue_position, estimate.reason, estimate.eta_s


def test_a_waiting_job_says_who_is_ahead_and_how_long_it_takes(alice, bob, line_up, settings):
    settings.WORKER_CONCURRENCY = 2
    mine = line_up(alice, 6)
    assert told_of(mine[0]) == (1, "A worker is about to take it.", 20.0)
    start(), start()
    assert told_of(mine[2]) == (1, "Next; waiting for a free worker.", 30.0)
    assert told_of(mine[3]) == (2, "1 of your own is ahead.", 40.0)
    line_up(bob, 2)
    assert told_of(mine[2]) == (3, "2 ahead of you; each person's pictures take turns.", 50.0)
    assert told_of(mine[4]) == (5, "4 ahead of you, 2 of them your own; each person's pictures take turns.", 70.0)


@pytest.mark.parametrize(
    ("stage", "outcome", "said"),
    [
        ("waiting_to_retry", "rate_limited", "The provider asked us to wait; trying again in 12 s."),
        ("waiting_to_retry", "unavailable", "Trying again in 12 s."),
        ("upstream_resting", "unavailable", "The provider failed again and again and is left alone for another 12 s."),
    ],
)
def test_a_parked_job_says_what_it_waits_for(alice, submit, stage, outcome, said):
    lease = leases.claim(submit(alice).pk)
    Attempt.objects.create(
        generation_id=lease.generation_id, run=1, number=1, fence=1, upstream="wisgate", outcome=outcome
    )
    leases.park(lease, delay_s=12, stage=stage)
    generation = Generation.objects.get(pk=lease.generation_id)
    position, reason, eta_s = told_of(generation)
    assert (position, reason) == (None, said)
    assert 31.0 <= eta_s <= 32.0
    Generation.objects.update(next_run_at=timezone.now() - timedelta(seconds=1))
    assert told_of(generation)[1] == "Waiting for a free worker to go on."


def test_a_job_in_work_waits_for_nothing(alice, submit):
    lease = leases.claim(submit(alice).pk)
    assert told_of(Generation.objects.get(pk=lease.generation_id))[:2] == (None, "")
