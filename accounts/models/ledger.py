"""Money: accounts, transfers between two of them, their statement lines, and prices. Amounts are integer micro-USD.

One transfer has one debit account, one credit account and one amount, so an unbalanced one cannot be written.
Transfers, entries and prices are append-only: triggers on both engines refuse UPDATE and DELETE (accounts/triggers.py).
"""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

MAX_AMOUNT = 2**53 - 1  # JSON numbers stay exact up to here


class LedgerAccount(models.Model):
    """A wallet of a user, or one of the house's accounts. Only tracked accounts carry balances and entries."""

    class Kind(models.TextChoices):
        WALLET = "wallet"
        GRANT = "grant"  # what may be given away, such as the trial's budget of a day
        REVENUE = "revenue"
        EXPENSE = "expense"
        PROVIDER = "provider"
        EXTERNAL = "external"
        SUSPENSE = "suspense"

    code = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="wallet"
    )
    currency = models.CharField(max_length=3, default="USD")
    floor = models.BigIntegerField(null=True, blank=True)
    is_tracked = models.BooleanField(default=False)
    credits_posted = models.BigIntegerField(default=0)
    refunds_posted = models.BigIntegerField(default=0)  # the part of credits_posted that came back from captures
    debits_posted = models.BigIntegerField(default=0)
    debits_pending = models.BigIntegerField(default=0)
    version = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(credits_posted__gte=0, debits_posted__gte=0, debits_pending__gte=0, refunds_posted__gte=0),
                name="ledger_account_not_negative",
            ),
            # SQLite turns an integer that overflows into a float without a word.
            models.CheckConstraint(
                condition=Q(credits_posted__lte=MAX_AMOUNT, debits_posted__lte=MAX_AMOUNT),
                name="ledger_account_exact",
            ),
            # A backstop, not a lock: the conditional UPDATE in ledger/writing.py is what stops an overspend.
            models.CheckConstraint(
                condition=Q(floor__isnull=True)
                | Q(credits_posted__gte=F("floor") + F("debits_posted") + F("debits_pending")),
                name="ledger_account_above_floor",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class PriceQuerySet(models.QuerySet["Price"]):
    def in_force(self, at: datetime) -> "PriceQuerySet":
        """One row for each model, size and unit that is for sale at that time: the newest that has begun."""
        same = {name: OuterRef(name) for name in ("model", "size", "unit")}
        later = Price.objects.filter(**same, valid_from__gt=OuterRef("valid_from"), valid_from__lte=at)
        return self.filter(~Exists(later), valid_from__lte=at, is_offered=True)

    def current(self, *, model: str, size: str, unit: str, at: datetime) -> "Price | None":
        """The newest price that has begun at that time; None when there is none, or when it says "not for sale"."""
        newest = self.filter(model=model, size=size, unit=unit, valid_from__lte=at).order_by("-valid_from").first()
        return newest if newest and newest.is_offered else None


class Price(models.Model):
    """What one unit costs from `valid_from` on, or that it is not sold from then on; a change is a new row."""

    model = models.CharField(max_length=100)
    size = models.CharField(max_length=10)
    unit = models.CharField(max_length=10, default="image")
    amount_micros = models.BigIntegerField()  # what a user pays
    cost_micros = models.BigIntegerField()  # what the upstream charges us
    comparison_micros = models.BigIntegerField(null=True, blank=True)  # the vendor's own list price
    is_placeholder = models.BooleanField(default=False)  # the articles name none: the operator sets it
    is_offered = models.BooleanField(default=True)  # False: taken out of sale; the amounts are those of the row before
    currency = models.CharField(max_length=3, default="USD")
    valid_from = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["Price"]] = PriceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "size", "unit", "valid_from"], name="price_one_row_a_start"),
            models.CheckConstraint(
                condition=Q(amount_micros__gt=0, amount_micros__lte=MAX_AMOUNT, cost_micros__gte=0),
                name="price_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.size}: {self.amount_micros} micro-USD from {self.valid_from:%Y-%m-%d}"


class TransferQuerySet(models.QuerySet["Transfer"]):
    def holds(self) -> "TransferQuerySet":
        return self.filter(kind=Transfer.Kind.PENDING)

    def open_holds(self) -> "TransferQuerySet":
        """Holds that nothing has resolved yet."""
        return self.holds().filter(resolution__isnull=True)


class Transfer(models.Model):
    """Money moves, is held (pending), or a hold is resolved (post, void). The caller makes the id before sending."""

    class Kind(models.TextChoices):
        DIRECT = "direct"
        PENDING = "pending"
        POST = "post"
        VOID = "void"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=7, choices=Kind.choices)
    debit = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="debits")
    credit = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="credits", db_index=False)
    amount_micros = models.BigIntegerField()
    hold = models.OneToOneField("self", null=True, blank=True, on_delete=models.PROTECT, related_name="resolution")
    refunds = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="refunded_by")
    key = models.CharField(max_length=200, unique=True)  # the same key twice is one transfer
    # grant, trial, topup, hold, capture, release, refund, adjustment, expiry, forfeit, budget, cost, suspense and its
    # verdicts
    code = models.CharField(max_length=30)
    reference = models.CharField(max_length=100, blank=True)  # opaque here; callers put their job's public id
    price = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    # The budget of the API key that spends, named by the hold; what resolves or refunds the hold finds it there.
    budget = models.ForeignKey(
        "accounts.KeyBudget", null=True, blank=True, on_delete=models.PROTECT, related_name="holds", db_index=False
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    actor = models.CharField(max_length=40, blank=True)  # public id of who did it, or "system"
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["Transfer"]] = TransferQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["reference"], name="transfer_reference"),
            models.Index(fields=["created_at"], name="transfer_by_time"),
            # With every column that ledger/flows.py adds up, so that it reads the index alone.
            models.Index(
                fields=["debit", "price", "created_at", "amount_micros"],
                condition=Q(kind__in=["direct", "post"]),
                name="transfer_out",
            ),
            models.Index(
                fields=["credit", "price", "created_at", "amount_micros"],
                condition=Q(kind__in=["direct", "post"]),
                name="transfer_in",
            ),
            models.Index(fields=["expires_at"], condition=Q(kind="pending"), name="transfer_hold_expiry"),
            models.Index(fields=["budget"], condition=Q(budget__isnull=False), name="transfer_budget"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="transfer_between_two_accounts"),
            models.CheckConstraint(
                condition=Q(amount_micros__gt=0, amount_micros__lte=MAX_AMOUNT) | Q(kind="void", amount_micros=0),
                name="transfer_amount",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["post", "void"], hold__isnull=False)
                | Q(kind__in=["direct", "pending"], hold__isnull=True),
                name="transfer_resolves_a_hold",
            ),
            models.CheckConstraint(
                condition=Q(budget__isnull=True) | Q(kind="pending"), name="transfer_budget_of_a_hold"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.amount_micros}"


class Entry(models.Model):
    """One statement line of a tracked account; `version` counts the account's lines without gaps."""

    # The two unique constraints begin with these columns and are their indexes.
    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries", db_index=False)
    account = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="entries", db_index=False)
    version = models.BigIntegerField()
    posted_delta = models.BigIntegerField()
    pending_delta = models.BigIntegerField()
    posted_after = models.BigIntegerField()
    pending_after = models.BigIntegerField()
    # Public id of the key that asked for the job, which it outlives; what resolves or refunds a hold has the hold's.
    api_key = models.UUIDField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["account", "api_key", "version"], condition=Q(api_key__isnull=False), name="entry_by_key"
            ),
            # The kinds of lines that are rare in a long statement; those for each picture are found without.
            models.Index(fields=["account", "version"], condition=Q(posted_delta__gt=0), name="entry_money_in"),
            models.Index(
                fields=["account", "version"],
                condition=Q(posted_delta=0, pending_delta__lt=0),
                name="entry_released",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "version"], name="entry_one_line_a_version"),
            models.UniqueConstraint(fields=["transfer", "account"], name="entry_one_line_a_side"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.version}"


class ClosedDay(models.Model):
    """What the house's accounts moved on a day (UTC) that is over: derived from transfers (accounts/closed_days.py)."""

    day = models.DateField(primary_key=True)
    flows = models.JSONField()  # each one a ledger.Flow, as a list
    revenue_micros = models.BigIntegerField()  # what the revenue account received less what it gave back
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return str(self.day)
