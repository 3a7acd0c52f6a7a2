from django.apps import AppConfig


class GalleryConfig(AppConfig):
    name = "gallery"

    def ready(self) -> None:
        from accounts.triggers import make_append_only

        for model in ("Reason", "ReviewStep", "Statement", "Appeal", "Report", "Rule"):
            make_append_only(f"gallery.{model}")
