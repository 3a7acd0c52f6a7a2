from argparse import ArgumentParser
from typing import Any

from accounts import keys
from accounts.management.base import ServiceCommand, moment
from accounts.users import get_user


class Command(ServiceCommand):
    help = (
        "Create an API key; prints it, once. Without --scopes it may do everything that its owner may: "
        "generate, read, publish, account, and for staff review."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", default="API key")
        parser.add_argument("--scopes", metavar="a,b", help=f"of {', '.join(keys.SCOPES)}")
        parser.add_argument(
            "--expires", metavar="DATE", type=moment, help="such as 2027-01-31, the start of that day in UTC"
        )

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        scopes = keys.scopes_of_role(user)
        if options["scopes"] is not None:
            scopes = tuple(scope.strip() for scope in options["scopes"].split(","))
        issued = keys.create_key(user=user, name=options["name"], scopes=scopes, expires_at=options["expires"])
        return issued.secret
