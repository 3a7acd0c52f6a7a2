"""Under load, against a real server: the breaker opens, protects and heals; a key is revoked in the middle."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connection

from accounts import ledger
from accounts.models import Quota
from generations import services
from generations.audit import audit
from generations.models import Attempt, Generation, Status
from generations.providers import breaker, refused_keys, shared_state
from generations.spec import GenerationSpec
from generations.tasks import run_generation
from tests import people
from tests.upstream import chat, native
from tests.upstream.fixtures import KEYS
from tests.upstream.pictures import png

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PRICE = 58_000
MODEL = "gemini-3.1-flash-image-preview"
JOBS, WORKERS = 40, 8


@pytest.fixture
def owner(db):
    user = people.make_person("owner", credit_micros=JOBS * PRICE)
    Quota.objects.update_or_create(user=user, defaults={"images_per_day": 1000, "concurrent": 1000})
    return user


@pytest.fixture
def jobs(owner):
    spec = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
    return [services.submit(user=owner, spec=spec, source="rest").generation for _ in range(JOBS)]


def work_through(jobs, *, between=lambda: None):
    """Several workers at once until every job has ended; what waits is due again in the next round."""

    def work(generation):
        try:
            run_generation.run(generation.pk)
        finally:
            connection.close()

    for _ in range(30):
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, Generation.objects.unfinished().order_by("pk")))
        if not Generation.objects.unfinished().exists():
            return
        between()
        for generation in Generation.objects.unfinished():
            Generation.objects.filter(pk=generation.pk).update(next_run_at=generation.created_at)
    raise AssertionError("some jobs do not end")


def let_the_breaker_be_tried(upstream="wisgate"):
    """As if its time had passed."""
    name = breaker._opening(breaker._circuit(upstream, MODEL))
    opening = shared_state.get_many([name]).get(name)
    if opening:
        shared_state.put(name, opening | {"until": time.time() - 0.001}, kept_s=60)


def everything_was_made_and_paid_once(owner):
    assert set(Generation.objects.values_list("status", flat=True)) == {Status.SUCCEEDED}
    found = ledger.balance_of(owner)
    assert (found.available, found.held, found.spent) == (0, 0, JOBS * PRICE)
    assert audit() == []


def test_an_upstream_that_is_away_for_a_while_costs_no_job(owner, jobs, served_by):
    upstream = served_by("native")
    picture = native.answer(native.picture(png()))
    upstream.answers(native.error(503, "UNAVAILABLE"))
    rounds = []

    def heal():
        rounds.append(len(upstream.requests))
        if len(rounds) == 3:
            upstream.answers(picture)
        let_the_breaker_be_tried()

    work_through(jobs, between=heal)
    everything_was_made_and_paid_once(owner)
    assert breaker.state_of("wisgate", MODEL) == "closed"
    # While it was open, one probe a round went out and nothing else.
    assert rounds[0] <= settings.UPSTREAM_BREAKER_FAILURES + WORKERS
    assert rounds[2] - rounds[0] <= 2
    assert upstream.by_protocol("native")[rounds[2]].answered


def test_jobs_go_to_the_other_protocol_while_the_first_one_is_away(owner, jobs, served_by):
    upstream = served_by("native", "chat")
    upstream.answers_to("native", native.error(503, "UNAVAILABLE"))
    upstream.answers_to("chat", chat.by_json(chat.picture(png())))
    work_through(jobs)
    everything_was_made_and_paid_once(owner)
    assert breaker.state_of("wisgate", MODEL) == "open"
    assert len(upstream.by_protocol("native")) <= settings.UPSTREAM_BREAKER_FAILURES + WORKERS
    assert len(upstream.by_protocol("chat")) == JOBS


def test_a_key_that_is_revoked_under_load_costs_no_job_and_few_calls(owner, jobs, served_by, settings, monkeypatch):
    upstream = served_by("native")
    settings.WISDOM_GATE_KEYS = list(KEYS)
    picture, refusal = native.answer(native.picture(png())), native.unauthenticated()
    used = []
    lock = threading.Lock()

    def answer(request):
        with lock:
            used.append(request.headers["x-goog-api-key"])
            is_revoked = len(used) > JOBS // 2
        return refusal if is_revoked and request.headers["x-goog-api-key"] == KEYS[0] else picture

    lines = []
    monkeypatch.setattr(refused_keys.log, "error", lambda event, **facts: lines.append((event, facts)), raising=False)
    upstream.answers(answer)
    work_through(jobs)
    everything_was_made_and_paid_once(owner)
    refused = Attempt.objects.filter(outcome="auth")
    assert 1 <= refused.count() <= WORKERS
    assert set(refused.values_list("key_index", flat=True)) == {0}
    assert len(upstream.requests) == JOBS + refused.count()
    [(event, facts)] = lines
    assert event == "upstream_key_refused"
    assert (facts["upstream"], facts["key_index"]) == ("wisgate", 0)
    assert not any(key in str(facts) for key in KEYS)


def test_when_every_key_is_refused_each_job_fails_as_auth_and_nobody_pays(owner, served_by, settings, make, alice):
    upstream = served_by("native")
    settings.WISDOM_GATE_KEYS = list(KEYS)
    upstream.answers(native.unauthenticated())
    before = ledger.balance_of(alice)
    for _ in range(2):
        generation = make()
        assert (generation.status, generation.error_code) == (Status.FAILED, "auth")
    assert ledger.balance_of(alice) == before
    assert breaker.state_of("wisgate", MODEL) == "closed"


def test_a_refused_key_is_tried_again_when_it_was_forgotten(served_by, settings, make, monkeypatch, alice):
    upstream = served_by("native")
    settings.WISDOM_GATE_KEYS = list(KEYS)
    picture, refusal = native.answer(native.picture(png())), native.unauthenticated()
    upstream.answers(lambda request: refusal if request.headers["x-goog-api-key"] == KEYS[0] else picture)
    make()
    make()
    assert [request.headers["x-goog-api-key"] for request in upstream.requests] == [KEYS[0], KEYS[1], KEYS[1]]
    monkeypatch.setattr(shared_state, "PREFIX", f"{shared_state.PREFIX}later:")
    upstream.answers(picture)
    make()
    assert upstream.requests[-1].headers["x-goog-api-key"] == KEYS[0]
