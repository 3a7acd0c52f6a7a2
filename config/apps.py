from django.apps import AppConfig


class PlantainConfig(AppConfig):
    """The roof: loads what belongs to no app of ours."""

    name = "config"
    label = "plantain"
    verbose_name = "Plantain"

    def ready(self) -> None:
        from config import celery  # noqa: F401 - shared tasks bind to the current application
        from config.checks import register_checks

        register_checks()
