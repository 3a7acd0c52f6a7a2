"""The breaker: opens at five failures that are half of all within 30 s, one probe at a time, shared, healed."""

import time
from dataclasses import replace

import pytest
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from redis.exceptions import ConnectionError as RedisAway

from accounts.models import Transfer
from generations import services
from generations.audit import audit
from generations.errors import UpstreamUnavailable
from generations.models import Generation, Status
from generations.providers import breaker, shared_state
from generations.providers.base import ProviderError
from generations.providers.breaker import Permit, Refusal
from tests.generations.fakes import ScriptedProvider, error, picture, reply
from tests.people import client_with

CIRCUIT = ("wisgate", "gemini-3.1-flash-image-preview")


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def call(outcome, circuit=CIRCUIT):
    """One call from its permit to its end; the refusal if there is none."""
    permit = breaker.admit(*circuit)
    if isinstance(permit, Permit):
        breaker.record(permit, outcome)
    return permit


def open_it(circuit=CIRCUIT):
    for _ in range(settings.UPSTREAM_BREAKER_FAILURES):
        call("unavailable", circuit)
    assert breaker.state_of(*circuit) == "open"


# --- When it opens -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["unknown", "unavailable", "malformed"])
def test_five_failures_open_it_and_four_do_not(outcome, clock):
    for _ in range(4):
        call(outcome)
    assert breaker.state_of(*CIRCUIT) == "closed"
    call(outcome)
    assert breaker.state_of(*CIRCUIT) == "open"
    refusal = breaker.admit(*CIRCUIT)
    assert isinstance(refusal, Refusal)
    assert refusal.wait_s == pytest.approx(15)


@pytest.mark.parametrize("outcome", ["invalid", "auth", "rate_limited", "blocked", "refused", "redirected", "no_image"])
def test_refusals_rate_limits_and_blocked_prompts_do_not_open_it(outcome, clock):
    for _ in range(50):
        call(outcome)
    assert breaker.state_of(*CIRCUIT) == "closed"


def test_less_than_half_of_the_calls_is_not_enough(clock):
    for _ in range(10):
        call("ok")
    for _ in range(9):
        call("unknown")
    assert breaker.state_of(*CIRCUIT) == "closed"
    call("unknown")  # 10 of 20
    assert breaker.state_of(*CIRCUIT) == "open"


def test_failures_of_half_a_minute_ago_are_forgotten(clock):
    for _ in range(4):
        call("unknown")
    clock.pass_(34)
    for _ in range(4):
        call("unknown")
    assert breaker.state_of(*CIRCUIT) == "closed"


def test_each_upstream_and_model_has_its_own(clock):
    open_it()
    assert breaker.state_of("wisgate-chat", CIRCUIT[1]) == "closed"
    assert breaker.state_of("wisgate", "gemini-3-pro-image-preview") == "closed"


# --- How it heals --------------------------------------------------------------------------------


def test_after_its_time_one_probe_is_let_through_and_an_answer_closes_it(clock):
    open_it()
    clock.pass_(15.1)
    assert breaker.state_of(*CIRCUIT) == "half-open"
    probe = breaker.admit(*CIRCUIT)
    assert isinstance(probe, Permit)
    assert isinstance(breaker.admit(*CIRCUIT), Refusal)
    breaker.record(probe, "blocked")  # an answer is an answer
    assert breaker.state_of(*CIRCUIT) == "closed"
    assert isinstance(breaker.admit(*CIRCUIT), Permit)


def test_a_failed_probe_opens_it_again_and_keeps_the_beginning(clock):
    open_it()
    began = clock.now
    clock.pass_(15.1)
    call("unknown")
    assert breaker.state_of(*CIRCUIT) == "open"
    refusal = breaker.admit(*CIRCUIT)
    assert (refusal.wait_s, refusal.since) == (pytest.approx(15), began)


def test_a_probe_whose_worker_died_is_given_up(clock, settings):
    settings.REDIS_URL = ""  # its clock is its own
    open_it()
    clock.pass_(15.1)
    breaker.admit(*CIRCUIT)
    clock.pass_(breaker.PROBE_S + 1)
    assert isinstance(breaker.admit(*CIRCUIT), Permit)


def test_a_probe_that_was_never_made_frees_its_place(clock):
    open_it()
    clock.pass_(15.1)
    breaker.abandon(breaker.admit(*CIRCUIT))
    assert isinstance(breaker.admit(*CIRCUIT), Permit)


def test_failures_from_before_the_healing_do_not_count_after_it(clock):
    old = [breaker.admit(*CIRCUIT) for _ in range(20)]
    open_it()
    clock.pass_(15.1)
    call("ok")
    for permit in old:
        breaker.record(permit, "unknown")
    assert breaker.state_of(*CIRCUIT) == "closed"


def test_of_many_at_once_one_gets_the_probe(clock, race):
    open_it()
    clock.pass_(15.1)
    permits = race(24, lambda _: breaker.admit(*CIRCUIT))
    assert sum(isinstance(permit, Permit) for permit in permits) == 1


def test_of_many_failures_at_once_none_is_lost_and_one_opens_it(clock, race, monkeypatch):
    lines = []
    monkeypatch.setattr(breaker.log, "error", lambda event, **facts: lines.append(event), raising=False)
    permits = [breaker.admit(*CIRCUIT) for _ in range(24)]
    for _ in range(20):
        call("ok")
    race(24, lambda index: breaker.record(permits[index], "unknown"))  # 24 of 44
    assert breaker.state_of(*CIRCUIT) == "open"
    assert lines == ["breaker_opened"]


# --- Where it is kept ----------------------------------------------------------------------------


class Store(LocMemCache):
    """Stands for Redis, and can go away."""

    is_away = False
    calls = 0

    def _reached(self):
        type(self).calls += 1
        if self.is_away:
            raise RedisAway("connection refused")

    def get_many(self, *args, **options):
        self._reached()
        return super().get_many(*args, **options)

    def add(self, *args, **options):
        self._reached()
        return super().add(*args, **options)


@pytest.fixture
def store(settings, monkeypatch):
    class OneStore(Store):
        pass

    settings.REDIS_URL = "redis://stands.for.it:6379/0"
    store = OneStore("stands-for-redis", {})
    store.clear()
    monkeypatch.setattr(shared_state, "cache", store)
    monkeypatch.setattr(shared_state, "_away_until", 0.0)
    return store


def test_with_redis_the_state_is_in_the_shared_store(store):
    open_it()
    assert any(key.endswith("breaker:wisgate/gemini-3.1-flash-image-preview:open") for key in store._cache)


def test_without_the_store_each_process_keeps_its_own_and_leaves_the_store_alone(store):
    type(store).is_away = True
    open_it()
    assert type(store).calls == 1  # a store that hangs would cost a timeout at every call
    assert isinstance(breaker.admit(*CIRCUIT), Refusal)


# --- In the pipeline -----------------------------------------------------------------------------

PRICE = 58_000
AWAY = error(503, "UNAVAILABLE")

in_database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def routes(upstream, monkeypatch):
    """The upstream of the test is the only one for submit() too."""
    monkeypatch.setattr("generations.services.providers_for", lambda spec: (upstream,))
    return upstream


@pytest.fixture
def spare(upstream, monkeypatch):
    """A second upstream behind the first one."""
    other = ScriptedProvider(name="spare")
    monkeypatch.setattr("generations.pipeline.providers_for", lambda spec: (upstream, other))
    monkeypatch.setattr("generations.services.providers_for", lambda spec: (upstream, other))
    return other


@in_database
def test_an_open_breaker_sends_the_job_to_the_next_upstream(alice, upstream, spare, submit, work):
    open_it()
    generation = work(submit(alice))
    assert generation.status == Status.SUCCEEDED
    assert upstream.calls == []
    assert [attempt.upstream for attempt in generation.attempts.all()] == ["spare"]


@in_database
def test_with_no_other_upstream_the_job_waits_and_then_is_made(alice, upstream, submit, work):
    generation = submit(alice)
    open_it()
    work(generation, rounds=1)
    assert (generation.status, generation.lease_owner) == (Status.RUNNING, "")
    assert 0 < (generation.next_run_at - generation.queued_at).total_seconds() < 20
    assert upstream.calls == []
    circuit = breaker._opening(breaker._circuit(*CIRCUIT))
    shared_state.put(circuit, {"since": time.time() - 16, "until": time.time() - 1}, kept_s=60)
    assert work(generation).status == Status.SUCCEEDED
    assert breaker.state_of(*CIRCUIT) == "closed"


@in_database
def test_money_is_not_held_for_more_than_a_minute_for_an_upstream_that_is_away(alice, upstream, submit, work, money):
    before = money(alice)
    generation = submit(alice)
    Generation.objects.filter(pk=generation.pk).update(queued_at=generation.queued_at - services.timedelta(seconds=50))
    circuit = breaker._opening(breaker._circuit(*CIRCUIT))
    shared_state.put(circuit, {"since": time.time() - 50, "until": time.time() + 14}, kept_s=60)
    work(generation, rounds=1)
    assert (generation.status, generation.error_code) == (Status.FAILED, "unavailable")
    assert money(alice) == before
    assert upstream.calls == []
    assert audit() == []


@in_database
def test_a_paid_attempt_keeps_its_upstream_also_when_the_breaker_opens(alice, upstream, spare, submit, work):
    def fail_and_open():
        open_it()
        return ProviderError("unknown", "read timeout")

    upstream.says(fail_and_open)
    generation = submit(alice)
    work(generation, rounds=2)
    assert generation.status == Status.RUNNING
    assert spare.calls == []


@in_database
def test_a_wish_is_refused_with_503_while_every_upstream_is_away(alice, routes, submit):
    open_it()
    with pytest.raises(UpstreamUnavailable) as refusal:
        submit(alice)
    assert (refusal.value.status, refusal.value.code) == (503, "upstream_unavailable")
    assert 0 < refusal.value.retry_after <= 15
    assert not Generation.objects.exists()
    assert not Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()


@in_database
def test_a_wish_is_taken_while_one_upstream_is_there(alice, upstream, spare, submit):
    open_it()
    assert submit(alice).status == Status.QUEUED


@in_database
def test_a_retry_is_refused_too(alice, routes, submit, work):
    routes.says({"promptFeedback": {"blockReason": "SAFETY"}})
    generation = work(submit(alice))
    open_it()
    with pytest.raises(UpstreamUnavailable):
        services.retry(user=alice, public_id=generation.public_id)
    generation.refresh_from_db()
    assert generation.status == Status.FAILED


@in_database
def test_several_pictures_probe_with_one_call(alice, upstream, submit, work, spec, monkeypatch):
    generation = submit(alice, wish=replace(spec, count=3))
    open_it()
    circuit = breaker._opening(breaker._circuit(*CIRCUIT))
    shared_state.put(circuit, {"since": time.time() - 16, "until": time.time() - 1}, kept_s=60)
    concurrently = []

    def answer():
        concurrently.append(Generation.objects.get().attempts.filter(outcome="sent").count())
        return reply(picture())

    upstream.says(answer)
    assert work(generation).status == Status.SUCCEEDED
    assert concurrently[0] == 1
    assert generation.outputs.count() == 3


@in_database
def test_a_worker_that_loses_its_lease_frees_the_probe(alice, upstream, submit, work, monkeypatch):
    from generations.leases import LeaseLost

    generation = submit(alice)
    open_it()
    circuit = breaker._opening(breaker._circuit(*CIRCUIT))
    shared_state.put(circuit, {"since": time.time() - 16, "until": time.time() - 1}, kept_s=60)
    with monkeypatch.context() as patched:

        def lose(*_):
            raise LeaseLost

        patched.setattr("generations.pipeline._write_attempts", lose)
        work(generation, rounds=1)
    assert isinstance(breaker.admit(*CIRCUIT), Permit)


@in_database
def test_rest_says_when_to_come_back(alice, alice_key, routes):
    open_it()
    answer = client_with(alice_key).post(
        "/api/v1/generations", {"prompt": "a fox", "image_size": "1K"}, content_type="application/json"
    )
    assert answer.status_code == 503
    assert answer.json()["code"] == "upstream_unavailable"
    assert 1 <= int(answer["Retry-After"]) <= 15
