from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from datetime import datetime
from typing import Any

from accounts import quotas
from accounts.management.base import ServiceCommand, moment, whole_number
from accounts.users import get_user

LIFTED = -1  # stands for "none" until the option's name says which number lifts it


def limit(text: str) -> int | None:
    """A number; `none` for no limit; `plan` for the plan's limit."""
    if text in ("none", "plan"):
        return LIFTED if text == "none" else None
    try:
        return whole_number(text)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{error}, 'none' (no limit) or 'plan' (the plan's limit)") from None


def ending(text: str) -> datetime | None:
    """When the plan's limits are in force again; `never` for no end."""
    return None if text == "never" else moment(text)


class Command(ServiceCommand):
    help = (
        "Give an account limits of its own: a number, 'none' for no limit, 'plan' for its plan's. "
        "What is not named stays; prints the limits as they are then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        for name in quotas.MEASURES:
            parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=limit, default=SUPPRESS)
        parser.add_argument("--reason", default="", metavar="R", help="why; kept for good")
        parser.add_argument(
            "--expires",
            metavar="DATE",
            type=ending,
            default=SUPPRESS,
            help="such as 2027-01-31, the start of that day in UTC: from then on the plan's are in force; or 'never'",
        )

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        given: dict[str, Any] = {name: options[name] for name in quotas.MEASURES if name in options}
        given = {name: quotas.unlimited(name) if value == LIFTED else value for name, value in given.items()}
        if "expires" in options:
            given["expires_at"] = options["expires"]
        if given:
            limits = quotas.override_limits(user=user, actor="setquota", reason=options["reason"], **given)
        else:
            limits = quotas.limits_for(user)
        return "\n".join(f"{name}={'none' if value is None else value}" for name, value in asdict(limits).items())
