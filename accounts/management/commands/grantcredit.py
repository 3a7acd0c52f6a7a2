import uuid
from argparse import ArgumentParser
from typing import Any

from accounts import ledger
from accounts.management.base import ServiceCommand
from accounts.users import get_user


class Command(ServiceCommand):
    help = "Add credit to an account; prints the new available balance in USD."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--amount", required=True, metavar="USD", help="such as 5.00")
        parser.add_argument("--reason", required=True, help="stands on the statement")

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        ledger.grant(
            user=user,
            amount_micros=ledger.parse_usd(options["amount"]),
            reason=options["reason"],
            key=f"grant:{uuid.uuid4()}",  # each run of the command is a grant of its own
        )
        return ledger.format_usd(ledger.balance_of(user).available)
