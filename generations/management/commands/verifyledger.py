import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from generations.audit import audit


class Command(BaseCommand):
    help = "Audit every invariant of the ledger and of the jobs that it paid for; exit 1 and each violation by name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        violations = audit()
        if options["json"]:
            found = [{"name": violation.name, "detail": violation.detail} for violation in violations]
            self.stdout.write(json.dumps({"ok": not found, "violations": found}))
        elif not violations:
            self.stdout.write("The ledger is sound.")
        else:
            for violation in violations:
                self.stdout.write(f"{violation.name}: {violation.detail}")
        if violations:
            raise SystemExit(1)
