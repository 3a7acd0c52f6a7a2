from argparse import ArgumentParser
from typing import Any

from accounts.ledger import parse_usd
from accounts.management.base import ServiceCommand
from accounts.users import create_account


class Command(ServiceCommand):
    help = "Create an account with a verified email address and exactly the given credit; prints its id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", required=True)
        parser.add_argument("--staff", action="store_true", help="may review pictures and use the admin pages")
        parser.add_argument("--credit", metavar="USD", help="such as 5.00; by default SIGNUP_CREDIT_USD")

    def handle(self, *args: Any, **options: Any) -> str:
        user = create_account(
            email=options["email"],
            password=options["password"],
            is_staff=options["staff"],
            credit_micros=None if options["credit"] is None else parse_usd(options["credit"], field="credit"),
        )
        return str(user.public_id)
