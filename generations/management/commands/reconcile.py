from argparse import ArgumentParser
from typing import Any

from accounts.ledger import format_usd
from accounts.management.base import ServiceCommand
from generations import reconciliation


class Command(ServiceCommand):
    help = (
        "Calls whose cost nobody knows: --list shows them, oldest first; --attempt ID with --billed or --not-billed "
        "writes down what the upstream's bill says and prints the amount."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--list", action="store_true", help="one line a call: id, time, upstream, outcome, USD")
        what.add_argument("--attempt", metavar="ID")
        verdict = parser.add_mutually_exclusive_group()
        verdict.add_argument("--billed", action="store_true")
        verdict.add_argument("--not-billed", action="store_true")
        parser.add_argument("--reason", default="compared with the upstream's bill")
        parser.add_argument("--actor", default="cli", help="who says so")

    def handle(self, *args: Any, **options: Any) -> str | None:
        if options["list"]:
            self._list()
            return None
        if not (options["billed"] or options["not_billed"]):
            self.print_help("manage.py", "reconcile")
            raise SystemExit(2)
        attempt = reconciliation.get_attempt(options["attempt"])
        transfer = reconciliation.resolve_cost(
            attempt, was_billed=options["billed"], actor=options["actor"], reason=options["reason"]
        )
        return format_usd(transfer.amount_micros)

    def _list(self) -> None:
        for attempt in reconciliation.uncertain_attempts().iterator():
            facts = (
                str(attempt.public_id),
                f"{attempt.sent_at:%Y-%m-%dT%H:%M:%SZ}",
                f"{attempt.upstream}/{attempt.upstream_model}",
                attempt.outcome,
                format_usd(attempt.cost_micros),
                attempt.upstream_request_id or "-",
            )
            self.stdout.write("  ".join(facts))
        count, total = reconciliation.uncertain_total()
        self.stderr.write(f"{count} calls, {format_usd(total)} USD at most")
