from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts import ledger
from accounts.errors import InvalidInput
from accounts.management.base import ServiceCommand
from accounts.users import get_user
from generations.erasure import Erased, erase_account


class Command(ServiceCommand):
    help = (
        "Delete an account at once and for good: its jobs, prompts, pictures, keys and whose it was. Ledger, prices "
        "and decisions are kept under a pseudonym, which it prints with what was done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--purge",
            action="store_true",
            help="remove the pictures' files now instead of leaving them to collectgarbage, which takes a day; "
            "not those that came within the last minute, nor those that somebody else has as well",
        )

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        if not options["yes"]:
            _ask(user.email)
        try:
            erased = erase_account(user, removes_bytes=options["purge"])
        except OSError as error:
            raise CommandError(
                f"The storage does not answer: {error}. The account is closed; the sweeper goes on with it.",
                returncode=1,
            ) from error
        return "\n".join([user.email, *_lines(erased)])


def _ask(email: str) -> None:
    try:
        answer = input(f"This deletes {email} with every picture, for good. Type the address to go on: ")
    except EOFError:
        raise InvalidInput("Nobody answered. Nothing was deleted; --yes does not ask.") from None
    if answer.strip().lower() != email:
        raise InvalidInput("That is another address. Nothing was deleted.")


def _lines(erased: Erased) -> list[str]:
    left = erased.originals - erased.originals_removed
    return [
        f"{erased.jobs_ended} jobs cancelled, {erased.pictures} pictures erased, "
        f"{ledger.format_usd(erased.forfeited_micros)} USD forfeited.",
        f"{erased.originals_removed} files removed, {left} left to collectgarbage or to their other owners.",
    ]
