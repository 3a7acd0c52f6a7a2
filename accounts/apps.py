from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.checks import check_ledger_triggers
        from accounts.guest_sessions import on_login
        from accounts.triggers import make_append_only

        for model in ("Transfer", "Entry", "Price", "MoneyRequest", "MoneyDecision", "LimitChange"):
            make_append_only(f"accounts.{model}")
        post_migrate.connect(guard_ledger, sender=self)
        user_logged_in.connect(on_login, dispatch_uid="accounts.on_login")
        checks.register(check_ledger_triggers, checks.Tags.database)


def guard_ledger(*, using: str, **kwargs: Any) -> None:
    """Put the triggers back that the migrations may have dropped."""
    from accounts.triggers import install_triggers

    install_triggers(connections[using])
