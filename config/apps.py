from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PlantainConfig(AppConfig):
    """The roof: loads what belongs to no app of ours."""

    name = "config"
    label = "plantain"
    verbose_name = "Plantain"

    def ready(self) -> None:
        from config import celery  # noqa: F401 - shared tasks bind to the current application
        from config.checks import register_checks

        register_checks()


class PlantainAdminConfig(AdminConfig):
    """django.contrib.admin with our site in place of its own."""

    default_site = "config.admin_site.PlantainAdmin"
