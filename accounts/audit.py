"""The ledger's own invariants (TRUST L12), each one query that the database answers without sending the history.

What jobs and pictures must agree with is in generations/audit.py; the command is `verifyledger`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from accounts.models import MAX_AMOUNT, Entry, KeyBudget, LedgerAccount, MoneyDecision, MoneyRequest, Transfer

MAX_REPORTED = 100  # of each name


@dataclass(frozen=True)
class Violation:
    """One broken invariant by its name, and where."""

    name: str
    detail: str


ACCOUNT, TRANSFER, ENTRY, BUDGET, REQUEST, DECISION = (
    model._meta.db_table for model in (LedgerAccount, Transfer, Entry, KeyBudget, MoneyRequest, MoneyDecision)
)

# What transfer `t` adds to the posted and the pending balance of the account of entry `e`; `h` is the hold it resolves.
POSTED = """CASE WHEN t.kind IN ('pending', 'void') THEN 0
    WHEN e.account_id = t.debit_id THEN -t.amount_micros ELSE t.amount_micros END"""
PENDING = """CASE WHEN t.kind = 'direct' OR e.account_id = t.credit_id THEN 0
    WHEN t.kind = 'pending' THEN t.amount_micros ELSE -h.amount_micros END"""

# The key of the transfer that request `r` leads to; SQLite writes a UUID without its hyphens.
REQUEST_KEY = "'request:' || REPLACE(CAST(r.id AS TEXT), '-', '')"

# name -> a query whose every row is a violation; its columns say where.
QUERIES = {
    "chain_has_gap": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT account_id, COUNT(*) AS lines, MIN(version) AS first, MAX(version) AS last
                   FROM {ENTRY} GROUP BY account_id) e ON e.account_id = a.id
        WHERE COALESCE(e.lines, 0) <> a.version OR COALESCE(e.last, 0) <> a.version OR COALESCE(e.first, 1) <> 1""",
    "chain_is_broken": f"""
        SELECT account_id, version FROM (
            SELECT account_id, version, posted_after, pending_after,
                SUM(posted_delta) OVER w AS posted, SUM(pending_delta) OVER w AS pending
            FROM {ENTRY} WINDOW w AS (PARTITION BY account_id ORDER BY version)) line
        WHERE posted <> posted_after OR pending <> pending_after""",
    "balance_is_not_the_sum_of_entries": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT account_id, SUM(posted_delta) AS posted, SUM(pending_delta) AS pending
                   FROM {ENTRY} GROUP BY account_id) e ON e.account_id = a.id
        WHERE a.credits_posted - a.debits_posted <> COALESCE(e.posted, 0)
            OR a.debits_pending <> COALESCE(e.pending, 0)""",
    "balance_is_not_the_sum_of_transfers": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT credit_id AS id, SUM(amount_micros) AS credits,
                          SUM(CASE WHEN refunds_id IS NULL THEN 0 ELSE amount_micros END) AS refunds
                   FROM {TRANSFER} WHERE kind IN ('direct', 'post') GROUP BY credit_id) c ON c.id = a.id
        LEFT JOIN (SELECT debit_id AS id, SUM(CASE kind WHEN 'post' THEN amount_micros ELSE 0 END) AS debits,
                          SUM(CASE kind WHEN 'post' THEN 0 ELSE amount_micros END) AS corrections
                   FROM {TRANSFER} WHERE kind IN ('direct', 'post') GROUP BY debit_id) d ON d.id = a.id
        WHERE a.is_tracked AND (a.credits_posted <> COALESCE(c.credits, 0) - COALESCE(d.corrections, 0)
            OR a.refunds_posted <> COALESCE(c.refunds, 0) OR a.debits_posted <> COALESCE(d.debits, 0))""",
    "pending_is_not_the_sum_of_open_holds": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT t.debit_id, SUM(t.amount_micros) AS held FROM {TRANSFER} t
                   LEFT JOIN {TRANSFER} r ON r.hold_id = t.id
                   WHERE t.kind = 'pending' AND r.id IS NULL GROUP BY t.debit_id) h ON h.debit_id = a.id
        WHERE a.is_tracked AND a.debits_pending <> COALESCE(h.held, 0)""",
    "balance_is_impossible": f"""
        SELECT code FROM {ACCOUNT}
        WHERE credits_posted < 0 OR debits_posted < 0 OR debits_pending < 0 OR refunds_posted < 0
            OR credits_posted > {MAX_AMOUNT} OR refunds_posted > debits_posted
            OR credits_posted - debits_posted - debits_pending < floor
            OR NOT is_tracked AND version <> 0""",
    "entry_is_not_what_its_transfer_did": f"""
        SELECT e.id FROM {ENTRY} e JOIN {ACCOUNT} a ON a.id = e.account_id
        LEFT JOIN {TRANSFER} t ON t.id = e.transfer_id LEFT JOIN {TRANSFER} h ON h.id = t.hold_id
        WHERE t.id IS NULL OR NOT a.is_tracked OR e.account_id NOT IN (t.debit_id, t.credit_id)
            OR e.posted_delta <> {POSTED} OR e.pending_delta <> {PENDING}""",
    # The two counts are read first and spare the search when they agree: no account has two lines of one transfer.
    "transfer_without_its_entry": f"""
        SELECT t.id FROM {TRANSFER} t JOIN {ACCOUNT} a ON a.id IN (t.debit_id, t.credit_id)
        LEFT JOIN {ENTRY} e ON e.transfer_id = t.id AND e.account_id = a.id
        WHERE (SELECT COUNT(*) FROM {ENTRY}) <> (
            SELECT COUNT(*) FROM {TRANSFER} t JOIN {ACCOUNT} a ON a.id IN (t.debit_id, t.credit_id) WHERE a.is_tracked)
            AND a.is_tracked AND e.id IS NULL""",
    "transfer_is_impossible": f"""
        SELECT id FROM {TRANSFER}
        WHERE debit_id = credit_id OR amount_micros > {MAX_AMOUNT}
            OR (CASE kind WHEN 'void' THEN amount_micros <> 0 ELSE amount_micros <= 0 END)""",
    "resolution_does_not_match_its_hold": f"""
        SELECT r.id FROM {TRANSFER} r LEFT JOIN {TRANSFER} h ON h.id = r.hold_id
        WHERE (r.kind IN ('post', 'void') OR r.hold_id IS NOT NULL) AND (
            h.id IS NULL OR h.kind <> 'pending' OR r.kind NOT IN ('post', 'void')
            OR r.debit_id <> h.debit_id OR r.credit_id <> h.credit_id OR r.amount_micros > h.amount_micros
            OR COALESCE(r.price_id, 0) <> COALESCE(h.price_id, 0))""",
    "refunds_exceed_capture": f"""
        SELECT c.id FROM {TRANSFER} r JOIN {TRANSFER} c ON c.id = r.refunds_id WHERE r.refunds_id IS NOT NULL
        GROUP BY c.id, c.amount_micros, c.kind HAVING SUM(r.amount_micros) > c.amount_micros OR c.kind <> 'post'""",
    "budget_held_is_not_the_sum_of_open_holds": f"""
        SELECT b.id FROM {BUDGET} b
        LEFT JOIN (SELECT t.budget_id, SUM(t.amount_micros) AS held FROM {TRANSFER} t
                   LEFT JOIN {TRANSFER} r ON r.hold_id = t.id
                   WHERE t.budget_id IS NOT NULL AND r.id IS NULL GROUP BY t.budget_id) h ON h.budget_id = b.id
        WHERE b.held_micros <> COALESCE(h.held, 0)""",
    "budget_spent_is_not_captures_less_refunds": f"""
        SELECT b.id FROM {BUDGET} b
        LEFT JOIN (SELECT t.budget_id, SUM(p.amount_micros) - SUM(COALESCE(f.refunded, 0)) AS spent FROM {TRANSFER} t
                   JOIN {TRANSFER} p ON p.hold_id = t.id AND p.kind = 'post'
                   LEFT JOIN (SELECT refunds_id, SUM(amount_micros) AS refunded FROM {TRANSFER}
                              WHERE refunds_id IS NOT NULL GROUP BY refunds_id) f ON f.refunds_id = p.id
                   WHERE t.budget_id IS NOT NULL GROUP BY t.budget_id) s ON s.budget_id = b.id
        WHERE b.spent_micros <> COALESCE(s.spent, 0)""",
    "budget_of_another_wallet": f"""
        SELECT t.id FROM {TRANSFER} t LEFT JOIN {BUDGET} b ON b.id = t.budget_id
        WHERE t.budget_id IS NOT NULL AND (t.kind <> 'pending' OR b.id IS NULL OR b.wallet_id <> t.debit_id)""",
    "approval_is_not_what_was_done": f"""
        SELECT r.id FROM {REQUEST} r LEFT JOIN {DECISION} d ON d.request_id = r.id
        LEFT JOIN {TRANSFER} t ON t.key = {REQUEST_KEY}
        WHERE COALESCE(d.is_approved, FALSE) <> (t.id IS NOT NULL) OR (t.id IS NOT NULL AND (
            t.amount_micros <> ABS(r.amount_micros)
            OR r.wallet_id <> CASE WHEN r.amount_micros > 0 THEN t.credit_id ELSE t.debit_id END
            OR (r.capture_id IS NULL) <> (t.refunds_id IS NULL) OR r.capture_id <> t.refunds_id))""",
    "approved_by_who_asked": f"""
        SELECT d.id FROM {DECISION} d JOIN {REQUEST} r ON r.id = d.request_id
        WHERE d.decided_by_id = r.asked_by_id OR d.asked_by_id <> r.asked_by_id""",
    "transfer_without_its_request": f"""
        SELECT t.id FROM {TRANSFER} t WHERE SUBSTR(t.key, 1, 8) = 'request:'
            AND NOT EXISTS (SELECT 1 FROM {REQUEST} r WHERE t.key = {REQUEST_KEY})""",
}


@contextmanager
def snapshot() -> Iterator[None]:
    """All that is read inside is of one moment, and no writer waits for it; inside a transaction, that one's view."""
    if connection.in_atomic_block:
        yield
        return
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")  # atomic() would keep SQLite's one write lock for as long as the audit takes
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def audit_ledger() -> list[Violation]:
    """Every violation of the ledger's invariants, at most MAX_REPORTED of each name; call it inside `snapshot()`."""
    found = []
    with connection.cursor() as cursor:
        for name, query in QUERIES.items():
            cursor.execute(query)
            for row in cursor.fetchmany(MAX_REPORTED):
                found.append(Violation(name, ", ".join(str(value) for value in row)))
    return found
