"""Costs that nobody knows: listed, decided once, moved out of suspense by the ledger."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts import ledger
from accounts.errors import Conflict, InvalidInput, NotFound
from accounts.models import Transfer
from generations import reconciliation
from generations.audit import audit
from generations.models import Attempt
from generations.providers.base import ProviderError
from tests.generations.fakes import picture, reply

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000


@pytest.fixture
def uncertain(alice, upstream, submit, work):
    """A call that ended as unknown, followed by one that brought the picture."""
    upstream.says(ProviderError("unknown", "read timeout"), reply(picture()))
    return work(submit(alice)).attempts.get(outcome="unknown")


def balance(kind):
    """What is on an account of the house: credits less debits."""
    into = sum(Transfer.objects.filter(credit__kind=kind).values_list("amount_micros", flat=True))
    return into - sum(Transfer.objects.filter(debit__kind=kind).values_list("amount_micros", flat=True))


def resolve(attempt, was_billed, reason="bill of November"):
    return reconciliation.resolve_cost(attempt, was_billed=was_billed, actor="op", reason=reason)


def test_only_what_is_uncertain_is_listed(uncertain):
    assert list(reconciliation.uncertain_attempts()) == [uncertain]
    assert reconciliation.uncertain_total() == (1, PRICE)
    assert (balance("suspense"), balance("expense")) == (PRICE, PRICE)


def test_free_failures_are_not_uncertain(alice, upstream, submit, work):
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}})
    work(submit(alice))
    assert list(reconciliation.uncertain_attempts()) == []


@pytest.mark.parametrize(("was_billed", "expense"), [(True, 2 * PRICE), (False, PRICE)])
def test_a_verdict_empties_suspense(was_billed, expense, uncertain, alice, money):
    before = money(alice)
    transfer = resolve(uncertain, was_billed)
    assert (transfer.amount_micros, transfer.actor, transfer.reason) == (PRICE, "op", "bill of November")
    assert transfer.reference == str(uncertain.generation.public_id)
    assert (balance("suspense"), balance("expense"), balance("provider")) == (0, expense, -expense)
    assert list(reconciliation.uncertain_attempts()) == []
    assert reconciliation.uncertain_total() == (0, 0)
    assert money(alice) == before
    assert audit() == []


@pytest.mark.parametrize("was_billed", [True, False])
def test_the_same_verdict_again_changes_nothing(was_billed, uncertain):
    first = resolve(uncertain, was_billed)
    count = Transfer.objects.count()
    assert resolve(uncertain, was_billed, reason="once more") == first
    assert Transfer.objects.count() == count


def test_the_other_verdict_is_refused(uncertain):
    resolve(uncertain, True)
    count = Transfer.objects.count()
    with pytest.raises(Conflict, match="settled before as billed"):
        resolve(uncertain, False)
    assert Transfer.objects.count() == count
    assert audit() == []


def test_a_certain_cost_cannot_be_resolved(alice, upstream, submit, work):
    attempt = work(submit(alice)).attempts.get()
    with pytest.raises(Conflict, match="not uncertain"):
        resolve(attempt, True)
    cost = Transfer.objects.get(key=f"cost:{attempt.public_id}")
    with pytest.raises(Conflict, match="suspense"):
        ledger.settle_suspense(cost=cost, was_billed=True, actor="op", reason="no", key="k")


def test_without_a_reason_nothing_is_decided(uncertain):
    with pytest.raises(InvalidInput):
        resolve(uncertain, True, reason=" ")
    uncertain.refresh_from_db()
    assert uncertain.cost_verdict == "open"


def test_of_many_operators_at_once_one_decides(uncertain, race):
    results = race(8, lambda index: resolve(Attempt.objects.get(pk=uncertain.pk), index % 2 == 0))
    done = {each.pk for each in results if isinstance(each, Transfer)}
    assert len(done) == 1
    assert sum(isinstance(each, Conflict) for each in results) == 4
    assert balance("suspense") == 0
    assert audit() == []


def test_the_audit_finds_a_verdict_without_its_transfer(uncertain):
    Attempt.objects.filter(pk=uncertain.pk).update(cost_verdict="billed")
    assert [each.name for each in audit()] == ["verdict_without_transfer"]


def test_the_audit_finds_a_transfer_without_its_verdict(uncertain):
    resolve(uncertain, True)
    Attempt.objects.filter(pk=uncertain.pk).update(cost_verdict="not_billed")
    assert [each.name for each in audit()] == ["verdict_without_transfer"]


def test_the_database_knows_two_verdicts(uncertain):
    with pytest.raises(IntegrityError), transaction.atomic():
        Attempt.objects.filter(pk=uncertain.pk).update(cost_verdict="perhaps")


# --- The command ---------------------------------------------------------------------------------


def run(*args):
    out, err = io.StringIO(), io.StringIO()
    call_command("reconcile", *args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_lists_one_line_a_call(uncertain):
    out, err = run("--list")
    [line] = out.splitlines()
    assert line.split("  ")[0] == str(uncertain.public_id)
    assert "unknown" in line
    assert "0.058000" in line
    assert err == "1 calls, 0.058000 USD at most\n"


def test_the_command_decides_and_prints_the_amount(uncertain):
    assert run("--attempt", str(uncertain.public_id), "--not-billed") == ("0.058000\n", "")
    uncertain.refresh_from_db()
    assert uncertain.cost_verdict == "not_billed"
    with pytest.raises(CommandError, match="settled before"):
        run("--attempt", str(uncertain.public_id), "--billed")


@pytest.mark.parametrize("wrong", ["7", "00000000-0000-4000-8000-000000000000"])
def test_the_command_knows_no_other_ids(wrong, db):
    with pytest.raises(CommandError, match="no call"):
        run("--attempt", wrong, "--billed")
    with pytest.raises(NotFound):
        reconciliation.get_attempt(wrong)


def test_the_command_wants_a_verdict(uncertain):
    with pytest.raises(SystemExit) as ended:
        run("--attempt", str(uncertain.public_id))
    assert ended.value.code == 2
    assert list(reconciliation.uncertain_attempts()) == [uncertain]
