"""The ledger's own invariants (TRUST L12), each one query that the database answers without sending the history.

What jobs and pictures must agree with is in generations/audit.py; the command is `verifyledger`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection

from accounts.models import Entry, LedgerAccount, Transfer

MAX_REPORTED = 100


@dataclass(frozen=True)
class Violation:
    """One broken invariant by its name, and where."""

    name: str
    detail: str


ACCOUNT, TRANSFER, ENTRY = (model._meta.db_table for model in (LedgerAccount, Transfer, Entry))

# What each tracked side of a transfer adds to its account's posted and pending balance.
EXPECTED_ENTRIES = f"""
    SELECT t.id AS transfer_id, a.id AS account_id,
        CASE t.kind WHEN 'post' THEN -t.amount_micros WHEN 'direct' THEN -t.amount_micros ELSE 0 END AS posted_delta,
        CASE t.kind WHEN 'pending' THEN t.amount_micros WHEN 'direct' THEN 0 ELSE -h.amount_micros END AS pending_delta
    FROM {TRANSFER} t JOIN {ACCOUNT} a ON a.id = t.debit_id LEFT JOIN {TRANSFER} h ON h.id = t.hold_id
    WHERE a.is_tracked
    UNION ALL
    SELECT t.id, a.id, CASE t.kind WHEN 'pending' THEN 0 WHEN 'void' THEN 0 ELSE t.amount_micros END, 0
    FROM {TRANSFER} t JOIN {ACCOUNT} a ON a.id = t.credit_id WHERE a.is_tracked
"""  # noqa: S608 - the names are ours

# name -> a query whose every row is a violation, and whose first column says where.
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
    "pending_is_not_the_sum_of_open_holds": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT t.debit_id, SUM(t.amount_micros) AS held FROM {TRANSFER} t
                   LEFT JOIN {TRANSFER} r ON r.hold_id = t.id
                   WHERE t.kind = 'pending' AND r.id IS NULL GROUP BY t.debit_id) h ON h.debit_id = a.id
        WHERE a.is_tracked AND a.debits_pending <> COALESCE(h.held, 0)""",
    "balance_is_not_the_sum_of_transfers": f"""
        SELECT a.code FROM {ACCOUNT} a
        LEFT JOIN (SELECT credit_id AS id, SUM(amount_micros) AS credits,
                          SUM(CASE WHEN refunds_id IS NULL THEN 0 ELSE amount_micros END) AS refunds
                   FROM {TRANSFER} WHERE kind IN ('direct', 'post') GROUP BY credit_id) c ON c.id = a.id
        LEFT JOIN (SELECT debit_id AS id, SUM(amount_micros) AS debits
                   FROM {TRANSFER} WHERE kind IN ('direct', 'post') GROUP BY debit_id) d ON d.id = a.id
        WHERE a.is_tracked AND (a.credits_posted <> COALESCE(c.credits, 0)
            OR a.refunds_posted <> COALESCE(c.refunds, 0) OR a.debits_posted <> COALESCE(d.debits, 0))""",
    "transfer_without_its_entry": f"""
        SELECT x.transfer_id FROM ({EXPECTED_ENTRIES}) x
        LEFT JOIN {ENTRY} e ON e.transfer_id = x.transfer_id AND e.account_id = x.account_id
        WHERE e.id IS NULL OR e.posted_delta <> x.posted_delta OR e.pending_delta <> x.pending_delta""",
    "entry_without_its_transfer": f"""
        SELECT e.id FROM {ENTRY} e LEFT JOIN ({EXPECTED_ENTRIES}) x
            ON e.transfer_id = x.transfer_id AND e.account_id = x.account_id
        WHERE x.transfer_id IS NULL""",
    "resolution_does_not_match_its_hold": f"""
        SELECT r.id FROM {TRANSFER} r JOIN {TRANSFER} h ON h.id = r.hold_id
        WHERE h.kind <> 'pending' OR r.debit_id <> h.debit_id OR r.credit_id <> h.credit_id
            OR r.amount_micros > h.amount_micros""",
    "refunds_exceed_capture": f"""
        SELECT c.id FROM {TRANSFER} c JOIN {TRANSFER} r ON r.refunds_id = c.id
        GROUP BY c.id, c.amount_micros, c.kind HAVING SUM(r.amount_micros) > c.amount_micros OR c.kind <> 'post'""",
    "balance_below_floor": f"""
        SELECT code FROM {ACCOUNT}
        WHERE credits_posted - debits_posted - debits_pending < floor OR debits_pending < 0""",
}


def audit_ledger() -> Iterator[Violation]:
    """Every violation of the ledger's invariants, at most MAX_REPORTED of each name."""
    with connection.cursor() as cursor:
        for name, query in QUERIES.items():
            cursor.execute(query)
            for row in cursor.fetchmany(MAX_REPORTED):
                yield Violation(name, ", ".join(str(value) for value in row))
