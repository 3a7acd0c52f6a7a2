"""The step between installing and serving; run.py calls it, because only Django knows these things."""

import json
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from accounts import keys
from accounts.errors import NotAuthenticated
from accounts.models import User
from accounts.users import create_account
from config.checks import SETTINGS
from config.settings import keep_secret

DEMO = "demo@plantain.local"
STAFF = "staff@plantain.local"
PROMPT = "A fox reading a newspaper under a banana tree, watercolour"


class Command(BaseCommand):
    help = "Migrate, make the demo accounts (in development), and print as JSON what is needed to serve."
    requires_system_checks = (SETTINGS,)  # the others import every view, which takes as long as all the rest

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        facts = {
            "emulator": emulator_environment() if settings.EMULATOR and not settings.EMULATOR_URL else None,
            "trusted_proxies": settings.TRUSTED_PROXIES,
            "welcome": "\n".join(welcome()),
        }
        self.stdout.write(json.dumps(facts))


def emulator_environment() -> dict[str, str]:
    """The emulator reads no `.env` itself: it knows nothing of this project."""
    return {"EMULATOR_LATENCY_S": settings.EMULATOR_LATENCY_S, "EMULATOR_FAULTS": settings.EMULATOR_FAULTS}


def welcome() -> list[str]:
    """What is printed when the server answers."""
    source = "the emulator paints the pictures" if settings.EMULATOR else "the upstream key is set"
    lines = ["", f"Plantain is ready at {settings.SITE_URL} ({settings.ENVIRONMENT}; {source}). Ctrl-C ends it."]
    if settings.ENVIRONMENT != "development":
        return lines
    lines += [f"  {email}   password {demo_password(email)}" for email in (DEMO, STAFF)]
    return [
        *lines,
        "",
        "A first picture:",
        "",
        f"curl -s {settings.SITE_URL}/api/v1/generations \\",
        f"  -H 'Authorization: Bearer {demo_key()}' \\",
        "  -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\",
        f"  -d '{json.dumps({'prompt': PROMPT})}'",
    ]


def demo_password(email: str) -> str:
    """The password of a demo account, which is made if it is not there; a changed one is its owner's business."""
    password = keep_secret(f"password-{email.partition('@')[0]}", lambda: secrets.token_urlsafe(12))
    user = User.objects.filter(email=email).first()
    if user is None:
        create_account(email=email, password=password, is_staff=email == STAFF, name=email.partition("@")[0].title())
    elif not user.check_password(password):
        return "as you have set it"
    return password


def demo_key() -> str:
    """An API key of the demo account, kept for the next start as long as it is valid."""
    kept = Path(settings.DATA_DIR / "secrets" / "demo-api-key")
    if kept.exists() and _is_valid(kept.read_text()):
        return kept.read_text()
    kept.unlink(missing_ok=True)
    user = User.objects.get(email=DEMO)
    return keep_secret(kept.name, lambda: keys.create_key(user=user, name="first steps").secret)


def _is_valid(raw: str) -> bool:
    try:
        return keys.authenticate(raw).user.email == DEMO
    except NotAuthenticated:
        return False
