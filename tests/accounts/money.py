"""Money for the tests of the ledger: prices, wallets, holds, and what must be true of them all."""

import uuid
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts import ledger
from accounts.models import LedgerAccount, Price, Transfer, User

IMAGE = 58_000  # micro-USD, the price of one picture in the articles


def make_price(amount_micros: int = IMAGE, **fields) -> Price:
    values = {"model": "m", "size": "1K", "cost_micros": 30_000, "valid_from": timezone.now(), **fields}
    return Price.objects.create(amount_micros=amount_micros, **values)


def grant(user: User, amount_micros: int, **fields) -> Transfer:
    values = {"reason": "gift", "key": str(uuid.uuid4()), **fields}
    return ledger.grant(user=user, amount_micros=amount_micros, **values)


def reserve(user: User, price: Price, amount_micros: int = IMAGE, **fields) -> Transfer:
    values = {
        "reference": "job",
        "key": str(uuid.uuid4()),
        "expires_at": timezone.now() + timedelta(minutes=15),
        **fields,
    }
    with transaction.atomic():
        return ledger.reserve(user=user, amount_micros=amount_micros, price=price, **values)


def refund(capture: Transfer, amount_micros: int, **fields) -> Transfer:
    values = {"actor": "staff", "reason": "sorry", "key": str(uuid.uuid4()), **fields}
    return ledger.refund(transfer=capture, amount_micros=amount_micros, **values)


def columns(user: User) -> dict[str, int]:
    """The wallet's row: everything that a refused verb must have left alone."""
    names = ("credits_posted", "refunds_posted", "debits_posted", "debits_pending", "version")
    return LedgerAccount.objects.filter(owner=user).values(*names).get()
