"""What every page knows: the name of the site, the theme, and who paints."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from gallery.review.access import is_reviewer
from generations import catalog

# For pages of the floors below, which keep a model's id and know nothing of the catalogue.
MODEL_LABELS = {model.id: model.label for model in catalog.MODELS.values()}
CONSOLE_MAIL = "django.core.mail.backends.console.EmailBackend"
THEMES = ("system", "light", "dark")


def site(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    return {
        "site_name": settings.SITE_NAME,
        "theme": theme if theme in THEMES else "system",
        "is_emulated": settings.EMULATOR,
        "is_development": settings.ENVIRONMENT == "development",
        "mail_is_printed": settings.ENVIRONMENT == "development" and settings.EMAIL_BACKEND == CONSOLE_MAIL,
        "model_labels": MODEL_LABELS,
        "review_mode": settings.REVIEW_MODE,
        # Asked for the staff's pages alone, and only when the page does not know it already.
        "reviews": lambda: is_reviewer(request.user),
    }
