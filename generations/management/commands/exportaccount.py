import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.management.base import ServiceCommand
from accounts.models import User
from accounts.users import get_user
from generations.archives import write_archive


class Command(ServiceCommand):
    help = (
        "Write everything that an account has here into a ZIP: profile, keys, jobs with prompts, pictures byte for "
        "byte, statement, receipts, decisions about its pictures; prints the file's name."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--out", metavar="FILE", help="by default export-ID.zip here; - for stdout")

    def handle(self, *args: Any, **options: Any) -> str | None:
        user = get_user(email=options["email"])
        try:
            if options["out"] == "-":
                write_archive(user, sys.stdout.buffer)
                return None
            return str(_write(user, Path(options["out"] or f"export-{user.public_id}.zip")))
        except OSError as error:
            raise CommandError(f"The export cannot be written: {error}", returncode=1) from error


def _write(user: User, path: Path) -> Path:
    """The whole file under its name, readable by nobody else, or nothing."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            write_archive(user, file)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)
