from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class GalleryConfig(AppConfig):
    name = "gallery"

    def ready(self) -> None:
        from accounts.triggers import make_append_only

        for model in ("Reason", "ReviewStep", "Statement", "Appeal", "Report", "Rule"):
            make_append_only(f"gallery.{model}")
        post_migrate.connect(keep_search_in_step, sender=self)


def keep_search_in_step(*, using: str, **kwargs: Any) -> None:
    """Put the trigger back that a migration may have dropped."""
    from gallery.search import install_triggers

    install_triggers(connections[using])
