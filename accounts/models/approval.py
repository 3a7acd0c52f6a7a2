"""Changes of money that need a second person: who asked for what, and who decided. Both tables are append-only."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models.ledger import MAX_AMOUNT, LedgerAccount, Transfer


class MoneyRequestQuerySet(models.QuerySet["MoneyRequest"]):
    def waiting(self) -> "MoneyRequestQuerySet":
        """Those that nobody has decided yet, oldest first."""
        return self.filter(decision__isnull=True).order_by("created_at")


class MoneyRequest(models.Model):
    """A grant, refund or adjustment that waits for somebody other than who asked for it."""

    class Verb(models.TextChoices):
        GRANT = "grant"
        REFUND = "refund"
        ADJUSTMENT = "adjustment"

    id = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )  # made with the form: sent twice, one row
    verb = models.CharField(max_length=10, choices=Verb.choices)
    wallet = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="money_requests")
    capture = models.ForeignKey(Transfer, null=True, on_delete=models.PROTECT, related_name="refund_requests")
    amount_micros = models.BigIntegerField()  # below zero: an adjustment that takes away
    reason = models.CharField(max_length=200)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["MoneyRequest"]] = MoneyRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(amount_micros__gte=1) | Q(verb="adjustment", amount_micros__lte=-1))
                & Q(amount_micros__gte=-MAX_AMOUNT, amount_micros__lte=MAX_AMOUNT),
                name="money_request_amount",
            ),
            models.CheckConstraint(
                condition=Q(verb="refund", capture__isnull=False) | (~Q(verb="refund") & Q(capture__isnull=True)),
                name="money_request_refunds_a_capture",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} of {self.amount_micros} micro-USD"


class MoneyDecision(models.Model):
    """How a request ended; at most one, and never by who asked."""

    request = models.OneToOneField(MoneyRequest, on_delete=models.PROTECT, related_name="decision")
    is_approved = models.BooleanField()
    # As in the request: a constraint sees its own table only.
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(decided_by=F("asked_by")), name="money_decision_by_a_second_person"),
        ]

    def __str__(self) -> str:
        return f"{'approved' if self.is_approved else 'declined'}: {self.request_id}"
