"""What API keys have spent of their own limits. Amounts are integer micro-USD."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.ledger import LedgerAccount


class KeyBudget(models.Model):
    """What one API key holds and has spent in one period; its limit stands on the key and may change meanwhile.

    The id names key and period (`key:<id>:2026-11`, `key:<id>:total`), so that a hold can name its budget without a
    query, and so that the row outlives its key as the transfers do.
    """

    id = models.CharField(primary_key=True, max_length=60, editable=False)
    wallet = models.ForeignKey(LedgerAccount, on_delete=models.PROTECT, related_name="key_budgets")
    held_micros = models.BigIntegerField(default=0)
    spent_micros = models.BigIntegerField(default=0)  # what was captured less what was refunded
    version = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(held_micros__gte=0, spent_micros__gte=0), name="key_budget_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.id
