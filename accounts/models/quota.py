"""What a user may do in a window of time: plans, exceptions for one user, and what was used."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class Plan(models.Model):
    """Limits shared by many users; null is unlimited."""

    name = models.SlugField(max_length=40, unique=True)
    images_per_day = models.PositiveIntegerField(null=True, blank=True)
    concurrent = models.PositiveIntegerField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Quota(models.Model):
    """One user's own limits, which replace the plan's; null leaves the plan's, quotas.UNLIMITED lifts it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="quota")
    images_per_day = models.PositiveIntegerField(null=True, blank=True)
    concurrent = models.PositiveIntegerField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"limits of {self.user_id}"


class Usage(models.Model):
    """How much of one limit a user has used in the window that began at `window_start`."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage")
    name = models.CharField(max_length=30)
    window_start = models.DateTimeField()
    used = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name", "window_start"], name="usage_one_row_a_window")]
        indexes = [models.Index(fields=["window_start"], name="usage_by_window")]  # for the sweeper

    def __str__(self) -> str:
        return f"{self.name} of {self.user_id}: {self.used}"
