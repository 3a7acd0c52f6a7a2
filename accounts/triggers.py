"""What the database itself refuses: changed history, edited balances, false resolutions, excessive refunds.

A guard is a trigger on one table for one event. Its condition is one SQL expression that both engines understand, and
reads no table but its own: SQLite could not remake a table that another table's trigger names. Django drops SQLite's
triggers whenever it remakes a table, so they are put back after each migrate and watched by a check (checks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db import NotSupportedError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts.models import KeyBudget, LedgerAccount, Transfer


@dataclass(frozen=True)
class Guard:
    """Refuses `event` on `table` when `condition` holds (empty: always)."""

    table: str
    event: str  # INSERT, UPDATE, DELETE, TRUNCATE (PostgreSQL only)
    subject: str
    message: str
    condition: str = ""
    lock: str = ""  # PostgreSQL only: what to lock before the condition is read

    @property
    def name(self) -> str:
        return f"{self.table}_{self.subject}_{self.event.lower()}"


_append_only: dict[str, dict[str, str]] = {}


def make_append_only(label: str, *, erasable: Mapping[str, str] | None = None) -> None:
    """Guard the model `app.Model` against every change but INSERT; called in ready() of the app that owns it.

    `erasable` are columns with somebody's own words and what they may be replaced by, as text, when an account is
    deleted; a row of which nothing else changes may be updated.
    """
    _append_only[label] = dict(erasable or {})


def _append_only_guards(model: type[models.Model], erasable: Mapping[str, str]) -> list[Guard]:
    table = model._meta.db_table
    message = f"{table} is append-only"
    others = [field.column for field in model._meta.concrete_fields if field.column not in erasable]
    kept = [f"(NEW.{column} = OLD.{column} OR NEW.{column} IS NULL AND OLD.{column} IS NULL)" for column in others]
    erased = [f"CAST(NEW.{column} AS TEXT) = '{text}'" for column, text in erasable.items()]
    condition = f"NOT ({' AND '.join([*erased, *kept])})" if erasable else ""
    return [
        Guard(table, "UPDATE", "append_only", message, condition),
        *(Guard(table, event, "append_only", message) for event in ("DELETE", "TRUNCATE")),
    ]


def _balance_guards(
    model: type[models.Model],
    noun: str,
    *,
    balances: tuple[str, ...],
    fixed: tuple[str, ...],
    nullable: tuple[str, ...],
) -> list[Guard]:
    """A row that carries a balance: it starts empty, stays, keeps `fixed`, and changes only with the next version."""
    table = model._meta.db_table
    changed_identity = [f"NEW.{column} <> OLD.{column}" for column in fixed]
    for column in nullable:  # null <> null is not true
        changed_identity += [f"NEW.{column} <> OLD.{column}", f"(NEW.{column} IS NULL) <> (OLD.{column} IS NULL)"]
    changed_balance = " OR ".join(f"NEW.{column} <> OLD.{column}" for column in balances)
    return [
        Guard(
            table,
            "INSERT",
            "empty",
            f"{noun} begins with nothing",
            " OR ".join(f"NEW.{column} <> 0" for column in (*balances, "version")),
        ),
        Guard(table, "UPDATE", "identity", f"{noun} keeps its identity", " OR ".join(changed_identity)),
        Guard(
            table,
            "UPDATE",
            "balance",
            "a balance changes only with the next version",
            f"NEW.version <> OLD.version + 1 AND (NEW.version <> OLD.version OR {changed_balance})",
        ),
        Guard(table, "DELETE", "permanent", f"{noun} is permanent"),
        Guard(table, "TRUNCATE", "permanent", f"{noun} is permanent"),
    ]


def _account_guards() -> list[Guard]:
    return _balance_guards(
        LedgerAccount,
        "an account",
        balances=("credits_posted", "refunds_posted", "debits_posted", "debits_pending"),
        fixed=("id", "code", "kind", "currency", "is_tracked", "created_at"),
        nullable=("owner_id", "floor"),
    )


def _budget_guards() -> list[Guard]:
    return _balance_guards(
        KeyBudget,
        "a budget",
        balances=("held_micros", "spent_micros"),
        fixed=("id", "wallet_id", "created_at"),
        nullable=(),
    )


def _transfer_guards() -> list[Guard]:
    table = Transfer._meta.db_table
    return [
        Guard(
            table,
            "INSERT",
            "resolution",
            "a resolution must match its open hold",
            f"""NEW.kind IN ('post', 'void') AND NOT EXISTS (
                SELECT 1 FROM {table} hold WHERE hold.id = NEW.hold_id AND hold.kind = 'pending'
                AND hold.debit_id = NEW.debit_id AND hold.credit_id = NEW.credit_id
                AND NEW.amount_micros <= hold.amount_micros)""",
        ),
        Guard(
            table,
            "INSERT",
            "refund",
            "refunds may not exceed what was captured",
            f"""NEW.refunds_id IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM {table} captured WHERE captured.id = NEW.refunds_id AND captured.kind = 'post'
                AND NEW.kind = 'direct' AND captured.debit_id = NEW.credit_id AND captured.credit_id = NEW.debit_id
                AND NEW.amount_micros <= captured.amount_micros - COALESCE((
                    SELECT SUM(earlier.amount_micros) FROM {table} earlier
                    WHERE earlier.refunds_id = NEW.refunds_id), 0))""",
            # Two refunds of one capture would not see each other; both credit the same wallet.
            lock=f"PERFORM 1 FROM {LedgerAccount._meta.db_table}"
            " WHERE id = NEW.credit_id AND NEW.refunds_id IS NOT NULL FOR NO KEY UPDATE;",
        ),
    ]


def guards() -> list[Guard]:
    """Every guard that the database must have, of all apps."""
    append_only = [
        guard
        for label, erasable in _append_only.items()
        for guard in _append_only_guards(apps.get_model(label), erasable)
    ]
    return [*append_only, *_account_guards(), *_budget_guards(), *_transfer_guards()]


class SQLiteGuards:
    """The guards as SQLite's triggers; the engine keeps the text of each as it was written."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def expected(self) -> dict[str, Guard]:
        return {guard.name: guard for guard in guards() if guard.event != "TRUNCATE"}  # which SQLite does not have

    def definition(self, guard: Guard) -> str:
        when = f"WHEN {guard.condition} " if guard.condition else ""
        return (
            f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table} {when}"
            f"BEGIN SELECT RAISE(ABORT, '{guard.message}'); END"
        )

    def installed(self) -> dict[str, str]:
        """Name and definition of the triggers that are in force."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return dict(cursor.fetchall())

    def statements(self, guard: Guard) -> list[str]:
        return [f"DROP TRIGGER IF EXISTS {guard.name}", self.definition(guard)]


class PostgreSQLGuards(SQLiteGuards):
    """The guards as PostgreSQL's triggers, each with a function of the same name; its body is the definition."""

    def expected(self) -> dict[str, Guard]:
        return {guard.name: guard for guard in guards()}

    def definition(self, guard: Guard) -> str:
        row = {"DELETE": "OLD", "TRUNCATE": "NULL"}.get(guard.event, "NEW")
        return (
            f"BEGIN {guard.lock} IF {guard.condition or 'TRUE'} THEN "
            f"RAISE EXCEPTION '{guard.message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN {row}; END"
        )

    def installed(self) -> dict[str, str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT tgname, prosrc FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
                " JOIN pg_proc ON pg_proc.oid = tgfoid"
                " WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND pg_table_is_visible(tgrelid)"
            )
            return dict(cursor.fetchall())

    def statements(self, guard: Guard) -> list[str]:
        each = "STATEMENT" if guard.event == "TRUNCATE" else "ROW"
        return [
            f"CREATE OR REPLACE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $guard${self.definition(guard)}$guard$",
            f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}",
            f"CREATE TRIGGER {guard.name} BEFORE {guard.event} ON {guard.table}"
            f" FOR EACH {each} EXECUTE FUNCTION {guard.name}()",
        ]


def _engine(connection: BaseDatabaseWrapper) -> SQLiteGuards:
    engines = {"sqlite": SQLiteGuards, "postgresql": PostgreSQLGuards}
    if connection.vendor not in engines:
        raise NotSupportedError(f"The ledger has no guards for {connection.vendor}; use SQLite or PostgreSQL.")
    return engines[connection.vendor](connection)


def missing_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the guards that are absent, switched off or altered; a table that does not exist yet needs none."""
    engine = _engine(connection)
    installed = engine.installed()
    missing = [guard for name, guard in engine.expected().items() if installed.get(name) != engine.definition(guard)]
    if not missing:
        return []
    tables = connection.introspection.table_names()
    return [guard.name for guard in missing if guard.table in tables]


def install_triggers(connection: BaseDatabaseWrapper) -> None:
    """Put back the guards that are missing, and only those; needs the right to alter the tables."""
    engine = _engine(connection)
    missing = missing_triggers(connection)
    if not missing:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for name in missing:
            for statement in engine.statements(engine.expected()[name]):
                cursor.execute(statement)


def revoke_sql(role: str) -> str:
    """PostgreSQL: takes from the application's role what no verb needs; run as the owner, who is another role."""
    append_only = ", ".join(apps.get_model(label)._meta.db_table for label in _append_only)
    balances = ", ".join(model._meta.db_table for model in (LedgerAccount, KeyBudget))
    erasable = "".join(
        f"GRANT UPDATE ({', '.join(columns)}) ON {apps.get_model(label)._meta.db_table} TO {role};\n"
        for label, columns in _append_only.items()
        if columns
    )
    return (
        f"REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON {append_only} FROM {role};\n{erasable}"
        f"REVOKE DELETE, TRUNCATE, TRIGGER ON {balances} FROM {role};\n"
    )
