"""The audit finds what somebody did who switched the triggers off, and nothing where nothing is wrong."""

import uuid

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F

from accounts import approvals, keys, ledger
from accounts.audit import MAX_REPORTED, QUERIES, audit_ledger, snapshot
from accounts.models import Entry, KeyBudget, LedgerAccount, MoneyDecision, MoneyRequest, Transfer
from tests import people
from tests.accounts.money import IMAGE, grant, make_price, refund, reserve

pytestmark = pytest.mark.django_db


class History:
    """Two users' holds, captures, releases, refunds, costs and budgets, and money that a second person approved."""

    def __init__(self, alice, bob):
        self.price, self.dearer = make_price(), make_price(2 * IMAGE)
        for user in (bob, alice):
            self.grant = grant(user, 5)
            self.hold = reserve(user, self.price)
            self.post = ledger.capture(hold=reserve(user, self.price, 3 * IMAGE), amount_micros=IMAGE)
            self.refund = refund(self.post, IMAGE // 2)
            self.void = ledger.release(hold=reserve(user, self.price), reason="failed")
            self.budgets_of(user)
        self.approvals_of(alice, bob)
        ledger.record_cost(amount_micros=1, reference="job", key="c1", price=self.price, is_certain=True)
        ledger.record_cost(amount_micros=1, reference="job", key="c2", price=self.price, is_certain=False)
        self.wallet = LedgerAccount.objects.get(owner=alice)
        self.revenue = LedgerAccount.objects.get(code="revenue")

    def budgets_of(self, user):
        key = keys.create_key(user=user, budget_micros=5 * IMAGE).api_key
        self.budgeted = reserve(user, self.price, api_key=key)
        spent = ledger.capture(hold=reserve(user, self.price, 2 * IMAGE, api_key=key), amount_micros=IMAGE)
        self.budget_refund = refund(spent, 5)

    def approvals_of(self, user, other):
        self.other, self.staff = other, people.make_person("staff-1", is_staff=True)
        self.approved, self.waiting = (
            approvals.adjust(user=user, amount_micros=amount, actor=self.staff, reason="x", token=uuid.uuid4())
            for amount in (60_000_000, 70_000_000)
        )
        colleague = people.make_person("staff-2", is_staff=True)
        approvals.decide(request=self.approved, actor=colleague, is_approved=True, reason="yes")
        self.taken = ledger.adjust(user=user, amount_micros=-7, actor="staff", reason="mistake", key="taken")

    def line_of(self, transfer):
        return Entry.objects.filter(transfer=transfer)

    def row_of(self, transfer):
        return Transfer.objects.filter(pk=transfer.pk)

    @property
    def budget(self):
        return KeyBudget.objects.filter(pk=self.budgeted.budget_id)

    @property
    def account(self):
        return LedgerAccount.objects.filter(pk=self.wallet.pk)


@pytest.fixture
def history(alice, bob):
    return History(alice, bob)


def add_transfer(history, **fields):
    values = {"debit": history.revenue, "credit": history.wallet, "amount_micros": 1, "code": "forged"}
    return Transfer.objects.create(**{"kind": "direct", "key": str(uuid.uuid4()), **values, **fields})


def delete(queryset) -> None:
    queryset._raw_delete("default")


CORRUPTIONS = {
    "a line of the statement is changed": (
        lambda h: h.line_of(h.grant).update(posted_delta=6),
        {"chain_is_broken", "balance_is_not_the_sum_of_entries", "entry_is_not_what_its_transfer_did"},
    ),
    "a running balance is changed": (lambda h: h.line_of(h.grant).update(posted_after=6), {"chain_is_broken"}),
    "what was held after a line is changed": (lambda h: h.line_of(h.void).update(pending_after=0), {"chain_is_broken"}),
    "the last line is deleted": (
        lambda h: delete(Entry.objects.filter(account=h.wallet, version=h.wallet.version)),
        {"chain_has_gap", "balance_is_not_the_sum_of_entries", "transfer_without_its_entry"},
    ),
    "a line between is deleted": (
        lambda h: delete(h.line_of(h.grant)),
        {"chain_has_gap", "chain_is_broken", "balance_is_not_the_sum_of_entries", "transfer_without_its_entry"},
    ),
    "the version of a line is changed": (
        lambda h: Entry.objects.filter(account=h.wallet, version=h.wallet.version).update(version=99),
        {"chain_has_gap"},
    ),
    "a balance is raised": (
        lambda h: h.account.update(credits_posted=F("credits_posted") + 1),
        {"balance_is_not_the_sum_of_entries", "balance_is_not_the_sum_of_transfers"},
    ),
    "a balance is raised on both sides": (
        lambda h: h.account.update(credits_posted=F("credits_posted") + 1, debits_posted=F("debits_posted") + 1),
        {"balance_is_not_the_sum_of_transfers"},
    ),
    "what was refunded is forgotten": (
        lambda h: h.account.update(refunds_posted=0),
        {"balance_is_not_the_sum_of_transfers"},
    ),
    "what is held is forgotten": (
        lambda h: h.account.update(debits_pending=0),
        {"balance_is_not_the_sum_of_entries", "pending_is_not_the_sum_of_open_holds"},
    ),
    "an account of the house gets a version": (
        lambda h: LedgerAccount.objects.filter(code="revenue").update(version=1),
        {"chain_has_gap", "balance_is_impossible"},
    ),
    "more is refunded than was spent": (
        lambda h: h.account.update(refunds_posted=10 * IMAGE),
        {"balance_is_impossible", "balance_is_not_the_sum_of_transfers"},
    ),
    "the amount of a grant is changed": (
        lambda h: h.row_of(h.grant).update(amount_micros=6),
        {"entry_is_not_what_its_transfer_did", "balance_is_not_the_sum_of_transfers"},
    ),
    "a resolution is deleted": (
        lambda h: delete(h.line_of(h.void)) or delete(h.row_of(h.void)),
        {
            *("chain_has_gap", "chain_is_broken", "balance_is_not_the_sum_of_entries"),
            "pending_is_not_the_sum_of_open_holds",
        },
    ),
    "a capture is made larger than its hold": (
        lambda h: h.row_of(h.post).update(amount_micros=4 * IMAGE),
        {
            *("resolution_does_not_match_its_hold", "entry_is_not_what_its_transfer_did"),
            "balance_is_not_the_sum_of_transfers",
        },
    ),
    "a capture is charged at another price": (
        lambda h: h.row_of(h.post).update(price=h.dearer),
        {"resolution_does_not_match_its_hold"},
    ),
    "a release is turned round": (
        lambda h: h.row_of(h.void).update(debit=h.revenue, credit=h.wallet),
        {"resolution_does_not_match_its_hold", "entry_is_not_what_its_transfer_did"},
    ),
    "a hold is made from a grant": (
        lambda h: h.row_of(h.void.hold).update(kind="direct"),
        {
            *("resolution_does_not_match_its_hold", "entry_is_not_what_its_transfer_did"),
            "balance_is_not_the_sum_of_transfers",
        },
    ),
    "a refund is made larger than its capture": (
        lambda h: h.row_of(h.refund).update(amount_micros=IMAGE + 1),
        {
            *("refunds_exceed_capture", "entry_is_not_what_its_transfer_did"),
            "balance_is_not_the_sum_of_transfers",
        },
    ),
    "a refund points at a grant": (
        lambda h: h.row_of(h.refund).update(refunds=h.grant),
        {"refunds_exceed_capture"},
    ),
    "a transfer is added without its line": (
        add_transfer,
        {"transfer_without_its_entry", "balance_is_not_the_sum_of_transfers"},
    ),
    "a hold is added that nothing pays for": (
        lambda h: add_transfer(h, kind="pending", debit=h.wallet, credit=h.revenue),
        {"transfer_without_its_entry", "pending_is_not_the_sum_of_open_holds"},
    ),
    "a correction is counted as spent": (
        lambda h: h.account.update(credits_posted=F("credits_posted") + 7, debits_posted=F("debits_posted") + 7),
        {"balance_is_not_the_sum_of_transfers"},
    ),
    "what a key holds is forgotten": (
        lambda h: h.budget.update(held_micros=0),
        {"budget_held_is_not_the_sum_of_open_holds"},
    ),
    "what a key has spent is forgotten": (
        lambda h: h.budget.update(spent_micros=0),
        {"budget_spent_is_not_captures_less_refunds"},
    ),
    "a hold is moved out of its budget": (
        lambda h: h.row_of(h.budgeted).update(budget=None),
        {"budget_held_is_not_the_sum_of_open_holds"},
    ),
    "a budget is given to another wallet": (
        lambda h: h.budget.update(wallet=LedgerAccount.objects.get(owner=h.other)),
        {"budget_of_another_wallet"},
    ),
    "a refund is moved out of its budget": (
        lambda h: h.row_of(h.budget_refund).update(refunds=h.post),
        {"budget_spent_is_not_captures_less_refunds"},
    ),
    "a budget appears with money in it": (
        lambda h: KeyBudget.objects.create(id="x", wallet=h.wallet, spent_micros=1, held_micros=1),
        {"budget_held_is_not_the_sum_of_open_holds", "budget_spent_is_not_captures_less_refunds"},
    ),
    "an approval is invented": (
        lambda h: MoneyDecision.objects.create(
            request=h.waiting, is_approved=True, asked_by=h.staff, decided_by=h.other, reason="x"
        ),
        {"approval_is_not_what_was_done"},
    ),
    "an approval is turned into a refusal": (
        lambda h: MoneyDecision.objects.update(is_approved=False),
        {"approval_is_not_what_was_done"},
    ),
    "more was asked for than was done": (
        lambda h: MoneyRequest.objects.filter(pk=h.approved.pk).update(amount_micros=60_000_001),
        {"approval_is_not_what_was_done"},
    ),
    "another is said to have asked": (
        lambda h: MoneyRequest.objects.filter(pk=h.approved.pk).update(asked_by=h.other),
        {"approved_by_who_asked"},
    ),
    "money moves as if it had been approved": (
        lambda h: h.row_of(h.budget_refund).update(key="request:0"),
        {"transfer_without_its_request"},
    ),
    "a line is given to an account of the house": (
        lambda h: h.line_of(h.grant).update(account=h.revenue),
        {
            *("chain_has_gap", "chain_is_broken", "balance_is_not_the_sum_of_entries"),
            "entry_is_not_what_its_transfer_did",
        },
    ),
}


def names() -> set[str]:
    return {violation.name for violation in audit_ledger()}


def test_a_sound_ledger_has_no_violation(history):
    assert audit_ledger() == []


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_planted_corruption_is_found(history, guards_off, corruption):
    plant, expected = CORRUPTIONS[corruption]
    with guards_off():
        plant(history)
    assert names() == expected


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's constraints cannot be switched off")
@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (lambda h: h.row_of(h.grant).update(amount_micros=-5), "transfer_is_impossible"),
        (lambda h: h.row_of(h.grant).update(debit=h.wallet), "transfer_is_impossible"),
        (lambda h: h.account.update(debits_posted=10**9), "balance_is_impossible"),
        (lambda h: h.account.update(credits_posted=-1), "balance_is_impossible"),
        (lambda h: h.row_of(h.post).update(hold=None), "resolution_does_not_match_its_hold"),
    ],
)
def test_a_corruption_past_the_constraints_is_found(history, guards_off, plant, expected):
    with connection.cursor() as cursor, guards_off():
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        plant(history)
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    assert expected in names()


def test_every_invariant_is_broken_by_some_test():
    tried = set().union(*(expected for _, expected in CORRUPTIONS.values())) | {"transfer_is_impossible"}
    assert tried == set(QUERIES)


def test_a_violation_tells_where(history, guards_off):
    with guards_off():
        history.account.update(refunds_posted=0)
    (violation,) = audit_ledger()
    assert (violation.name, violation.detail) == ("balance_is_not_the_sum_of_transfers", history.wallet.code)


def test_a_ruined_ledger_is_not_reported_line_by_line(alice, guards_off):
    transfers = [grant(alice, 5) for _ in range(MAX_REPORTED + 5)]
    with guards_off():
        Entry.objects.filter(transfer__in=transfers).update(posted_after=0)
    assert [violation.name for violation in audit_ledger()] == ["chain_is_broken"] * MAX_REPORTED


@pytest.mark.django_db(transaction=True)
def test_the_snapshot_does_not_move_and_keeps_no_writer_waiting(alice, race):
    with snapshot():
        before = ledger.balance_of(alice).available
        assert [type(result) for result in race(1, lambda index: grant(alice, 5))] == [Transfer]
        assert ledger.balance_of(alice).available == before
    assert ledger.balance_of(alice).available == before + 5


@pytest.mark.django_db(transaction=True)
def test_the_snapshot_ends_with_an_error_inside_it(alice):
    with pytest.raises(LookupError), snapshot():
        raise LookupError
    assert not connection.in_atomic_block
    with transaction.atomic():
        grant(alice, 5)
    assert ledger.balance_of(alice).available == 1_000_005


def test_the_snapshot_inside_a_transaction_sees_what_it_wrote(alice):
    grant(alice, 5)
    with snapshot():
        assert ledger.balance_of(alice).available == 1_000_005


def test_an_audit_that_cannot_be_made_is_an_error_and_not_a_clean_one(alice):
    def fail(execute, sql, params, many, context):
        raise OperationalError("gone")

    with connection.execute_wrapper(fail), pytest.raises(OperationalError):
        audit_ledger()
