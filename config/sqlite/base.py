"""Django's SQLite backend with a gate before every write, so that writers queue instead of colliding (gate.py).

Each transaction passes it at BEGIN and each write outside a transaction for its one statement. Reads never do, nor
does `BEGIN DEFERRED`, which only reads until its first write.
"""

import re
import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db.backends.sqlite3 import base

from config.sqlite.gate import WriteGate, gate_of, gate_of_memory

WRITE = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|BEGIN(?!\s+DEFERRED)|CREATE|ALTER|DROP)\b", re.IGNORECASE)


class DatabaseWrapper(base.DatabaseWrapper):
    _gate: WriteGate | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        path = connection.execute("PRAGMA database_list").fetchone()[2]  # absolute; empty for a database in memory
        name = str(self.settings_dict["NAME"])
        if path:
            self._gate = gate_of(path)
        else:
            # A plain ":memory:" belongs to one connection, which needs no queue with others.
            self._gate = WriteGate(None) if name == ":memory:" else gate_of_memory(name)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=partial(GatedCursor, self))

    def enter_gate(self, query: str) -> None:
        """Wait in the queue when `query` writes and this connection is not through yet."""
        if self._gate is None or not WRITE.match(query) or self._gate.is_held_by(self):
            return
        if not self._gate.enter(self, self.settings_dict["OPTIONS"].get("timeout", 5.0)):
            raise sqlite3.OperationalError("database is locked")

    def leave_gate_when_done(self) -> None:
        """Let the next writer in unless a transaction is still open."""
        if self._gate is not None and self._gate.is_held_by(self) and not self._is_in_transaction():
            self._gate.leave(self)

    def _is_in_transaction(self) -> bool:
        try:
            return self.connection is not None and self.connection.in_transaction
        except sqlite3.ProgrammingError:  # somebody closed the raw connection
            return False

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]  # not in the stubs
        self.leave_gate_when_done()

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]  # not in the stubs
        self.leave_gate_when_done()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # not in the stubs
        finally:
            if self._gate is not None:
                self._gate.leave(self)


class GatedCursor(base.SQLiteCursorWrapper):
    def __init__(self, wrapper: DatabaseWrapper, connection: Any) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        self._wrapper.enter_gate(query)
        try:
            return super().execute(query, params)
        finally:
            self._wrapper.leave_gate_when_done()

    def executemany(self, query: str, param_list: Iterable[Any]) -> Any:
        self._wrapper.enter_gate(query)
        try:
            return super().executemany(query, param_list)
        finally:
            self._wrapper.leave_gate_when_done()
