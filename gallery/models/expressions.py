"""How a condition must be written for an index to serve it."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Func, TextField
from django.db.models.expressions import RawSQL


class Pair(Func):
    """Two values that are compared as one: an index in the order of both finds such a place at once."""

    template = "(%(expressions)s)"
    output_field = TextField()  # for nobody: it is only compared


class InIdOrder(Func):
    """A column of a list that is read by id: SQLite thinks any index of a span of the column to be better."""

    arity = 1
    template = "%(expressions)s"

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s", **extra_context)


def literals(names: Iterable[str]) -> list[RawSQL]:
    """Words of ours that are no parameters: SQLite sees by the text of a condition which partial index it may use."""
    return [RawSQL(f"'{name}'", ()) for name in names]  # noqa: S611
