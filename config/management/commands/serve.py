"""What run.py starts: everything between installing and serving that only Django knows, and then the web process.

One process for both, because starting Django twice would take half of the time that a start may take.
"""

import json
import os
import secrets
import socket
import sys
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import keys
from accounts.errors import NotAuthenticated
from accounts.models import User
from accounts.users import create_account
from config.checks import SETTINGS
from config.settings import keep_secret
from generations.events import hub

DEMO = "demo@plantain.local"
STAFF = "staff@plantain.local"
DEMO_CREDIT_MICROS = 25_000_000  # the sign-up credit would be spent within the first half hour
STARTUP_FAILURE = 3  # as uvicorn's own command line
PROMPT = "A fox reading a newspaper under a banana tree, watercolour"


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests that wait for a picture are answered with what there is, before open connections are cut off."""
        hub.close()
        await super().shutdown(sockets)


class Command(BaseCommand):
    help = (
        "Migrate, collect static files, make the demo accounts (in development), and serve until SIGTERM. Prints two "
        "lines of JSON: the "
        "environment of the emulator that is needed, if one is, and what to tell the person who started this."
    )
    requires_system_checks = (SETTINGS,)  # the others import every view, and the first request does that again

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--emulator-port", type=int, help="where an emulator will listen, should one be needed")
        parser.add_argument("--requests-end-s", type=int, default=5, help="how long open requests may go on at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        self._tell(use_emulator(options["emulator_port"]))
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:  # with it they are served from where they are written
            call_command("collectstatic", interactive=False, verbosity=0)
        self._tell("\n".join(welcome()))
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads our output any more
        config = uvicorn.Config(
            "config.asgi:application",
            host=settings.HOST,
            port=settings.PORT,
            workers=1,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.TRUSTED_PROXIES),
            forwarded_allow_ips=settings.TRUSTED_PROXIES,
            timeout_graceful_shutdown=options["requests_end_s"],
        )
        server = Server(config)
        server.run()
        if not server.started:
            raise CommandError("The web server could not start.", returncode=STARTUP_FAILURE)

    def _tell(self, fact: object) -> None:
        self.stdout.write(json.dumps(fact))
        self.stdout.flush()


def use_emulator(port: int | None) -> dict[str, str] | None:
    """Point the settings at an emulator on this port, unless there is an upstream or another emulator."""
    if not settings.EMULATOR or settings.EMULATOR_URL or not port:
        return None
    settings.EMULATOR_URL = f"http://127.0.0.1:{port}/v1beta"
    settings.EMULATOR_KEY = secrets.token_urlsafe(24)
    return {name: getattr(settings, name) for name in ("EMULATOR_KEY", "EMULATOR_LATENCY_S", "EMULATOR_FAULTS")}


def welcome() -> list[str]:
    source = "the emulator paints" if settings.EMULATOR else "the upstream paints"
    lines = ["", f"Plantain is ready at {settings.SITE_URL} ({settings.ENVIRONMENT}; {source}). Ctrl-C ends it."]
    if settings.ENVIRONMENT != "development":
        return lines
    lines += [f"  {email:22}  password {demo_password(email)}" for email in (DEMO, STAFF)]
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
    name = email.partition("@")[0]
    password = keep_secret(f"password-{name}", lambda: secrets.token_urlsafe(12))
    user = User.objects.filter(email=email).first()
    if user is None:
        credit_micros = DEMO_CREDIT_MICROS if email == DEMO else None
        create_account(email=email, password=password, is_staff=email == STAFF, credit_micros=credit_micros)
    elif not user.check_password(password):
        return "as you have set it"
    return password


def demo_key() -> str:
    """An API key of the demo account, kept for the next start as long as it is valid."""
    kept = settings.DATA_DIR / "secrets" / "demo-api-key"
    if kept.exists() and not _is_valid(kept.read_text()):
        kept.unlink()
    demo = User.objects.get(email=DEMO)
    scopes = keys.scopes_of_role(demo)
    return keep_secret(kept.name, lambda: keys.create_key(user=demo, name="first steps", scopes=scopes).secret)


def _is_valid(raw: str) -> bool:
    try:
        return keys.authenticate(raw).user.email == DEMO
    except NotAuthenticated:
        return False
