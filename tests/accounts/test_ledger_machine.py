"""A short run of the machine; the long one is a benchmark."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.accounts.ledger_machine import LedgerMachine

# The same steps each time: what a longer run finds is added as a test of its own.
SHORT = settings(
    max_examples=5,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.django_db
def test_verbs_in_any_order_leave_what_a_simple_model_says():
    run_state_machine_as_test(LedgerMachine, settings=SHORT)
