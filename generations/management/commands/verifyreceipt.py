import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations import receipts


class Command(BaseCommand):
    help = (
        "Check a receipt: exit 0 when it is signed by this instance and agrees with ledger and picture, 1 when the "
        "signature is wrong or cannot be checked, 2 when it is genuine but ledger or picture no longer agree."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the JSON of GET /api/v1/images/ID/receipt; - for stdin")

    def handle(self, *args: Any, **options: Any) -> str:
        try:
            document = sys.stdin.buffer.read() if options["file"] == "-" else Path(options["file"]).read_bytes()
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error.strerror}.", returncode=1) from None
        try:
            receipt, is_genuine = receipts.is_genuine(document)
        except receipts.NotAReceipt as error:
            raise CommandError(str(error), returncode=1) from None
        if not is_genuine:
            raise CommandError("The signature is wrong: this is not what was issued.", returncode=1)
        if found := receipts.disagreements(receipt):
            raise CommandError("\n".join(found), returncode=2)
        lines = [f"Genuine: {receipt['image']['id']} cost {receipt['cost']['net']} USD on {receipt['issued_at']}."]
        return "\n".join([*lines, *(f"Since then: {move}." for move in receipts.later_moves(receipt))])
