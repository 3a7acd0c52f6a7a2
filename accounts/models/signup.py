"""Mailboxes that have had the sign-up credit, and what is still to be done about it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class SignupCreditQuerySet(models.QuerySet["SignupCredit"]):
    def waiting(self) -> "SignupCreditQuerySet":
        """Those for which no day had room yet, first come first."""
        return self.filter(user__isnull=False, grant=None).order_by("pk")

    def expiring(self) -> "SignupCreditQuerySet":
        """Those of which what is left will be taken back, the next one first."""
        return self.filter(expires_at__isnull=False).order_by("expires_at")


class SignupCredit(models.Model):
    """One mailbox that has had the credit or waits for it; a keyed digest stands for the address.

    It names the account only as long as the credit has to come or may expire, so that what stays names nobody.
    """

    mailbox = models.CharField(max_length=64, unique=True, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="signup_credit"
    )
    grant = models.OneToOneField("accounts.Transfer", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["SignupCredit"]] = SignupCreditQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="signup_credit_expiry"),
            models.Index(
                fields=["id"], condition=Q(user__isnull=False, grant__isnull=True), name="signup_credit_waiting"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(grant__isnull=True, expires_at__isnull=True)
                | Q(user__isnull=False, grant__isnull=False, expires_at__isnull=False),
                name="signup_credit_waits_or_expires",
            )
        ]

    def __str__(self) -> str:
        return f"sign-up credit {self.pk}"
