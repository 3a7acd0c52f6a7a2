from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from typing import Any

from accounts import quotas
from accounts.management.base import ServiceCommand
from accounts.users import get_user

LIMITS = ("images_per_day", "concurrent", "requests_per_minute")


def limit(text: str) -> int | None:
    """A number; `none` for no limit; `plan` for the plan's limit."""
    if text in ("none", "plan"):
        return quotas.UNLIMITED if text == "none" else None
    if not text.isascii() or not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, 'none' (no limit) or 'plan' (the plan's limit)")
    return int(text)


class Command(ServiceCommand):
    help = (
        "Give an account limits of its own: a number, 'none' for no limit, 'plan' for its plan's. "
        "What is not named stays; prints the limits as they are then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        for name in LIMITS:
            parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=limit, default=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        given = {name: options[name] for name in LIMITS if name in options}
        limits = quotas.override_limits(user=user, **given) if given else quotas.limits_for(user)
        return "\n".join(f"{name}={'none' if value is None else value}" for name, value in asdict(limits).items())
