import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from config.doctor import examine


class Command(BaseCommand):
    help = "The articles' production and integration checklists, line by line, with what to do; exit 1 if one fails."
    requires_system_checks = []  # what they find is a line of the list

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines = list(examine())
        except DatabaseError as error:
            raise CommandError(
                "The database does not answer, or lacks tables: run migrate, and see /readyz."
            ) from error
        failed = any(line.status == "fail" for line in lines)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not failed, "lines": [asdict(line) for line in lines]}))
        else:
            heading = ""
            for line in lines:
                if line.checklist != heading:
                    heading = line.checklist
                    self.stdout.write(f"{heading.capitalize()} checklist")
                self.stdout.write(f"  {line.status:<4}  {line.area}: {line.finding}")
                if line.remedy:
                    self.stdout.write(f"        -> {line.remedy}")
        if failed:
            raise SystemExit(1)
