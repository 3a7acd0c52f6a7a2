"""The rules of the prompt filter. A change is a new version in a row of its own, so that a hit names what was read.

Append-only by triggers (gallery/apps.py).
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class RuleQuerySet(models.QuerySet["Rule"]):
    def current(self) -> "RuleQuerySet":
        """The latest version of each rule, also of those that are switched off."""
        later = Rule.objects.filter(code=models.OuterRef("code"), version__gt=models.OuterRef("version"))
        return self.filter(~models.Exists(later)).order_by("code")

    def in_force(self) -> "RuleQuerySet":
        return self.current().filter(is_enabled=True)


class Rule(models.Model):
    """One version of one rule: what it looks for, and what becomes of a text in which it finds it."""

    class Kind(models.TextChoices):
        WORDS = "words", "words"
        NEAR = "near", "close words"
        PATTERN = "pattern", "pattern"
        DETECTOR = "detector", "personal data"
        PICTURE = "picture", "pictures that were refused"

    class Action(models.TextChoices):
        ALLOW = "allow", "allow"
        FLAG = "flag", "flag"
        BLOCK = "block", "block"

    code = models.CharField(max_length=40)
    version = models.PositiveIntegerField(default=1)
    label = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    body = models.TextField()
    action = models.CharField(max_length=10, choices=Action.choices)
    category = models.CharField(max_length=30)  # the code of a Reason
    risk = models.PositiveSmallIntegerField(default=50)  # 0 to 100: where it puts a picture in the queue
    is_enabled = models.BooleanField(default=False)
    # Who wrote this version and why; nobody for those that came with the software.
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["Rule"]] = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["code", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="rule_one_row_a_version"),
            models.CheckConstraint(condition=Q(risk__lte=100), name="rule_risk"),
        ]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"


class PictureHit(models.Model):
    """A picture rule refused what somebody brought along. Nothing of the picture is kept, only like which decision."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="picture_hits")
    door = models.CharField(max_length=10)  # upload, reference
    rule = models.CharField(max_length=40)
    rule_version = models.PositiveIntegerField()
    category = models.CharField(max_length=30)  # the code of a Reason
    decision = models.ForeignKey("gallery.ReviewStep", on_delete=models.PROTECT, related_name="picture_hits")
    distance = models.PositiveSmallIntegerField()  # in bits of the perceptual hash; 0 for the same bytes too
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.rule} v{self.rule_version}, {self.door}"
