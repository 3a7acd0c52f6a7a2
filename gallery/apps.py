from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"

    def ready(self) -> None:
        from accounts.triggers import make_append_only

        make_append_only("gallery.Reason")
        make_append_only("gallery.ReviewStep", erasable={"note": "", "rule_hits": "[]"})
        make_append_only("gallery.Statement", erasable={"facts": ""})
        make_append_only("gallery.Appeal", erasable={"text": ""})
        make_append_only("gallery.Report", erasable={"note": ""})
