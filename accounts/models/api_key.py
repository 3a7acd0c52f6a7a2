"""Keys with which programs act for a user; only a keyed hash of the secret is kept."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.quota import RateColumns


class ApiKey(RateColumns):
    """A key; its limits, null for none, are counted beside those of its user, and both apply."""

    class Period(models.TextChoices):
        """How long a budget lasts: for good, or for a calendar month in UTC."""

        TOTAL = "total"
        MONTH = "month"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, default="API key")
    lookup = models.CharField(max_length=8, unique=True)  # the public part of the key, by which it is found
    secret_hash = models.CharField(max_length=64)  # HMAC-SHA256(pepper, secret), hex
    pepper_id = models.CharField(max_length=8)  # which pepper made the hash, for rotation
    last_four = models.CharField(max_length=4)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # written at most once a minute
    budget_micros = models.BigIntegerField(null=True, blank=True)  # what it may spend in a period; null: no limit
    budget_period = models.CharField(max_length=5, blank=True, choices=Period.choices)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(budget_micros__isnull=True, budget_period="")
                | Q(budget_micros__gte=1, budget_micros__lte=2**53 - 1, budget_period__in=["total", "month"]),
                name="api_key_budget",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (…{self.last_four})"
