"""What may be done in a window of time: plans, exceptions for one user, the whole site's limits, and what was used."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class RateColumns(models.Model):
    """The limits that count work; null is unlimited."""

    images_per_day = models.PositiveIntegerField(null=True, blank=True)
    images_per_month = models.PositiveIntegerField(null=True, blank=True)
    concurrent = models.PositiveIntegerField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class LimitColumns(RateColumns):
    """Every limit; null is unlimited."""

    storage_bytes = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class Plan(LimitColumns):
    """Limits shared by many users, and a credit for each month in which a user holds it."""

    name = models.SlugField(max_length=40, unique=True)
    # Of a user's own plan and the groups' plans the one with the highest rank is in force.
    rank = models.PositiveSmallIntegerField(default=0)
    monthly_credit_micros = models.PositiveBigIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class GroupPlan(models.Model):
    """The plan that every member of a group has, unless the member's own is better."""

    group = models.OneToOneField("auth.Group", on_delete=models.CASCADE, related_name="group_plan")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="group_plans")

    def __str__(self) -> str:
        return f"plan of group {self.group_id}"


class Quota(LimitColumns):
    """One user's own limits, which replace the plan's; null leaves the plan's, limits.unlimited() lifts it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="quota")
    reason = models.CharField(max_length=200, blank=True)
    set_by = models.CharField(max_length=40, blank=True)  # the public id of who did it, or the name of a program
    expires_at = models.DateTimeField(null=True, blank=True)  # from then on the plan's limits are in force again
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"limits of {self.user_id}"


class SiteLimits(LimitColumns):
    """What everybody together may use: one row, which limits nothing as long as it is empty."""

    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "site limits"
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="site_limits_one_row")]

    def __str__(self) -> str:
        return "limits of the whole site"


class LimitChange(models.Model):
    """Who changed whose limits, why, and what they were before and after; append-only (accounts/triggers.py)."""

    subject = models.CharField(max_length=60, db_index=True)  # user:<public id>, key:<public id> or site
    actor = models.CharField(max_length=40)
    reason = models.CharField(max_length=200, blank=True)
    before = models.JSONField()
    after = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.subject} by {self.actor}"


class UsageColumns(models.Model):
    """How much of one limit was used in the window that began at `window_start`."""

    name = models.CharField(max_length=30)
    window_start = models.DateTimeField()
    used = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class Usage(UsageColumns):
    """What a user has used."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name", "window_start"], name="usage_one_row_a_window")]
        indexes = [models.Index(fields=["window_start"], name="usage_by_window")]  # for the sweeper

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}: {self.used}"


class KeyUsage(UsageColumns):
    """What an API key has used, whether or not it has limits of its own; requests only of one that has."""

    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.CASCADE, related_name="usage")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["api_key", "name", "window_start"], name="key_usage_one_row_a_window")
        ]
        indexes = [models.Index(fields=["window_start"], name="key_usage_by_window")]

    def __str__(self) -> str:
        return f"{self.name} of key {self.api_key_id}: {self.used}"


class SiteUsage(UsageColumns):
    """What everybody together has used of a limit that the site has."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "window_start"], name="site_usage_one_row_a_window")]

    def __str__(self) -> str:
        return f"{self.name} of the site: {self.used}"


class GuestUsage(UsageColumns):
    """How many guests and sign-up credits a network or provider has had; a keyed digest stands for it (networks.py)."""

    network = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["network", "name", "window_start"], name="guest_usage_one_row_a_window")
        ]
        indexes = [models.Index(fields=["window_start"], name="guest_usage_by_window")]

    def __str__(self) -> str:
        return f"{self.name} of {self.network}: {self.used}"


class StorageHold(models.Model):
    """Bytes that are counted for a file on its way to the disk; a dead upload's are given back by the sweeper."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="storage_holds")
    byte_size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    def __str__(self) -> str:
        return f"{self.byte_size} bytes of {self.user_id}"
