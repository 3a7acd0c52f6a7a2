from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class GalleryConfig(AppConfig):
    name = "gallery"

    def ready(self) -> None:
        from accounts.triggers import make_append_only

        make_append_only("gallery.Reason")
        make_append_only("gallery.ReviewStep", erasable={"note": "", "rule_hits": "[]"})
        make_append_only("gallery.Statement", erasable={"facts": ""})
        make_append_only("gallery.Appeal", erasable={"text": ""})
        make_append_only("gallery.Report", erasable={"note": ""})
        make_append_only("gallery.Rule")
        post_migrate.connect(keep_search_in_step, sender=self)


def keep_search_in_step(*, using: str, **kwargs: Any) -> None:
    """Put the trigger back that a migration may have dropped."""
    from gallery.search import install_triggers

    install_triggers(connections[using])
