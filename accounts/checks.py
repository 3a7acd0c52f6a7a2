"""System checks of this app; they read the database only when it is asked for (`check --database default`)."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connections

from accounts.triggers import missing_triggers


def check_ledger_triggers(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The guards of the ledger must all be in force."""
    return [
        Error(
            f"The ledger is not guarded: {', '.join(missing)} missing or altered in database '{alias}'.",
            hint="Run 'python3 run.py manage migrate --skip-checks': it puts the triggers back.",
            id="accounts.E001",
        )
        for alias in databases or ()
        if (missing := missing_triggers(connections[alias]))
    ]
