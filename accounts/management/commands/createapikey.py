from argparse import ArgumentParser
from typing import Any

from accounts import keys
from accounts.limits import KEY_MEASURES
from accounts.management.base import ServiceCommand, moment, whole_number
from accounts.models import ApiKey
from accounts.money import parse_usd
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
        parser.add_argument("--budget-usd", metavar="USD", help="what it may spend, such as 5.00; none without it")
        parser.add_argument(
            "--budget-period", choices=ApiKey.Period.values, help="total (by default), or each calendar month in UTC"
        )
        for name in KEY_MEASURES:
            parser.add_argument(
                f"--{name.replace('_', '-')}", metavar="N", type=whole_number, help="a limit of its own, from 1"
            )

    def handle(self, *args: Any, **options: Any) -> str:
        user = get_user(email=options["email"])
        scopes = keys.scopes_of_role(user)
        if options["scopes"] is not None:
            scopes = tuple(scope.strip() for scope in options["scopes"].split(","))
        budget = options["budget_usd"]
        issued = keys.create_key(
            user=user,
            name=options["name"],
            scopes=scopes,
            expires_at=options["expires"],
            budget_micros=None if budget is None else parse_usd(budget, field="budget_usd"),
            budget_period=options["budget_period"],
            limits={name: options[name] for name in KEY_MEASURES},
        )
        return issued.secret
