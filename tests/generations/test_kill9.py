"""SIGKILL at every step of the pipeline, then another worker: TRUST J1, J5."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import ledger
from generations import pipeline, sweeper
from generations.audit import audit
from generations.models import Generation, Status
from tests.generations.doomed_worker import POINTS, CountingProvider
from tests.processes import child_environment, run_module

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
# point: with two paid attempts (status, calls), with one
EXPECTED = {
    "after submit, before the message": (("succeeded", 1), ("succeeded", 1)),
    "after claim": (("succeeded", 1), ("succeeded", 1)),
    "after sent, before the call": (("succeeded", 1), ("failed", 0)),
    "during the call": (("succeeded", 2), ("failed", 1)),
    "before the spool file is renamed": (("succeeded", 2), ("failed", 1)),
    "after the spool file is renamed": (("succeeded", 1), ("succeeded", 1)),
    "before the picture is stored": (("succeeded", 1), ("succeeded", 1)),
    "after the picture is stored": (("succeeded", 1), ("succeeded", 1)),
    "inside the settling transaction": (("succeeded", 1), ("succeeded", 1)),
    "after the settling transaction": (("succeeded", 1), ("succeeded", 1)),
}


@pytest.mark.parametrize("max_paid", [2, 1])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_loses_nothing_and_charges_for_nothing(
    point, max_paid, alice, submit, work, money, settings, tmp_path, monkeypatch
):
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = max_paid
    settings.MEDIA_ROOT, settings.SPOOL_DIR = tmp_path / "media", tmp_path / "spool"
    available = money(alice)[0]
    calls = tmp_path / "calls"
    calls.touch()
    pk = 0 if point.startswith("after submit") else submit(alice).pk

    child = run_module("tests.generations.doomed_worker", point, str(pk), str(calls), env=child_environment(tmp_path))
    assert child.returncode == -9, child.stderr

    generation = Generation.objects.get()
    if generation.lease_owner:
        Generation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    provider = CountingProvider(calls)
    monkeypatch.setattr(pipeline, "current_provider", lambda: provider)
    sweeper.sweep_jobs(resend_after_s=0)
    work(generation)

    status, paid_calls = EXPECTED[point][0 if max_paid == 2 else 1]
    assert generation.status == status
    assert os.path.getsize(calls) == paid_calls
    assert generation.outputs.count() == (status == "succeeded")
    charged = PRICE if status == Status.SUCCEEDED else 0
    assert money(alice) == (available - charged, 0, charged)
    assert not ledger.open_holds(alice).exists()
    assert audit() == []
