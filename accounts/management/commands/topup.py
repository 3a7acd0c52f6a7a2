from argparse import ArgumentParser
from typing import Any

from accounts import ledger
from accounts.management.base import ServiceCommand
from accounts.users import get_user


class Command(ServiceCommand):
    help = (
        "Book a payment that a provider has received, once for each of the provider's event ids; prints the new "
        "available balance in USD. A webhook calls accounts.ledger.top_up instead."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--amount", required=True, metavar="USD", help="such as 5.00")
        parser.add_argument("--provider", required=True, metavar="NAME", help="lower-case, such as stripe")
        parser.add_argument("--event-id", required=True, metavar="ID", help="as the provider names the event")

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        ledger.top_up(
            user=user,
            amount_micros=ledger.parse_usd(options["amount"]),
            provider=options["provider"],
            event_id=options["event_id"],
        )
        return ledger.format_usd(ledger.balance_of(user).available)
