"""SIGKILL at every step of the pipeline, then another worker: TRUST J1, J5."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import ledger
from generations import pipeline, sweeper
from generations.audit import audit
from generations.models import Generation, Status
from generations.spec import GenerationSpec
from tests.generations.doomed_worker import CountingProvider
from tests.processes import child_environment, run_module

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
# point: with two paid attempts (status, calls), with one
EXPECTED = {
    "after submit, before the message": (("succeeded", 1), ("succeeded", 1)),
    "after claim": (("succeeded", 1), ("succeeded", 1)),
    "after sent, before the call": (("succeeded", 1), ("failed", 0)),
    "during the call": (("succeeded", 2), ("failed", 1)),
    "mid-stream": (("succeeded", 2), ("failed", 1)),
    "before the spool file is renamed": (("succeeded", 2), ("failed", 1)),
    "after the spool file is renamed": (("succeeded", 1), ("succeeded", 1)),
    "before the picture is stored": (("succeeded", 1), ("succeeded", 1)),
    "after the picture is stored": (("succeeded", 1), ("succeeded", 1)),
    "after the call is concluded": (("succeeded", 1), ("succeeded", 1)),
    "inside the settling transaction": (("succeeded", 1), ("succeeded", 1)),
    "after the settling transaction": (("succeeded", 1), ("succeeded", 1)),
}


@pytest.mark.parametrize("max_paid", [2, 1])
@pytest.mark.parametrize("point", EXPECTED)
def test_a_killed_worker_loses_nothing_and_charges_for_nothing(
    point, max_paid, alice, submit, work, money, settings, tmp_path, monkeypatch
):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = max_paid
    settings.MEDIA_ROOT, settings.SPOOL_DIR = tmp_path / "media", tmp_path / "spool"
    available = money(alice)[0]
    calls = tmp_path / "calls"
    calls.touch()
    spec = GenerationSpec.parse({"prompt": "a fox", "include_thoughts": True}, default_image_size="1K")
    pk = 0 if point.startswith("after submit") else submit(alice, wish=spec).pk

    child = run_module("tests.generations.doomed_worker", point, str(pk), str(calls), env=child_environment(tmp_path))
    assert child.returncode == -9, child.stderr

    generation = Generation.objects.get()
    if point == "mid-stream":
        assert [attempt.thoughts for attempt in generation.attempts.all()] == ["First a fox. "]
    if generation.lease_owner:
        Generation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    provider = CountingProvider(calls)
    monkeypatch.setattr(pipeline, "providers_for", lambda spec: (provider,))
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)

    status, paid_calls = EXPECTED[point][0 if max_paid == 2 else 1]
    assert generation.status == status
    assert os.path.getsize(calls) == paid_calls
    assert generation.outputs.count() == (status == "succeeded")
    assert not any(attempt.thoughts for attempt in generation.attempts.all())
    charged = PRICE if status == Status.SUCCEEDED else 0
    assert money(alice) == (available - charged, 0, charged)
    assert not ledger.open_holds(alice).exists()
    assert audit() == []


@pytest.mark.parametrize("max_paid", [2, 1])
def test_a_worker_killed_between_the_pictures_of_one_wish_loses_none_that_came(
    max_paid, alice, submit, work, money, settings, tmp_path, monkeypatch
):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = max_paid
    settings.MEDIA_ROOT, settings.SPOOL_DIR = tmp_path / "media", tmp_path / "spool"
    available = money(alice)[0]
    calls = tmp_path / "calls"
    calls.touch()
    wish = GenerationSpec.parse({"prompt": "a fox", "count": 3}, default_image_size="1K")
    pk = submit(alice, wish=wish).pk

    point = "between the first and the second of three"
    child = run_module("tests.generations.doomed_worker", point, str(pk), str(calls), env=child_environment(tmp_path))
    assert child.returncode == -9, child.stderr

    generation = Generation.objects.get()
    assert list(generation.attempts.values_list("outcome", flat=True)).count("ok") == 1
    Generation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(pipeline, "providers_for", lambda spec: (CountingProvider(calls),))
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)

    # What had been spooled is adopted; what had not is asked for again while a paid attempt is left.
    assert generation.status == Status.SUCCEEDED
    delivered = generation.outputs.count()
    assert delivered == 3 if max_paid == 2 else 1 <= delivered <= 3
    assert 3 <= os.path.getsize(calls) <= 3 * max_paid
    assert generation.charged_micros == delivered * PRICE
    assert money(alice) == (available - delivered * PRICE, 0, delivered * PRICE)
    assert audit() == []
