"""What owners are to be told by mail about decisions: a row with the decision, and a mark when the mail is gone."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from gallery.models.review import ReviewStep


class Notice(models.Model):
    """One decision that one owner is told; unique for each, so that nothing is told twice."""

    class Kind(models.TextChoices):
        REFUSED = "refused"
        QUARANTINED = "quarantined"
        UPHELD = "upheld"  # an appeal that was refused
        OVERTURNED = "overturned"  # one that succeeded
        APPROVED = "approved"

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        DROPPED = "dropped"  # `dropped_because` says why nobody was told by mail

    step = models.OneToOneField(ReviewStep, on_delete=models.PROTECT, related_name="notice")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="review_notices")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    dropped_because = models.CharField(max_length=20, blank=True)
    due_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    # Whoever sends it now, and until when nobody else does; the mail of several has one batch.
    batch = models.UUIDField(null=True, blank=True, db_index=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["owner", "due_at"], condition=Q(state="waiting"), name="notice_waiting_of_owner")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="notice_sent_at_its_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.state}"
