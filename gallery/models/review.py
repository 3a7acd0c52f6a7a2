"""The review: where a picture stands in it, every step that brought it there, and what its owner was told.

`Review.version` is the arbiter of every race: a step is taken by whoever raises it first (gallery/review/steps.py).
Reasons, steps, statements, appeals and reports are append-only by triggers (gallery/apps.py).
"""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from gallery.models.pictures import Image

MAX_NOTE_CHARS = 500
MAX_APPEAL_CHARS = 2000
HIGH_RISK = 70  # of 100


class ReasonQuerySet(models.QuerySet["Reason"]):
    def current(self) -> "ReasonQuerySet":
        """The latest version of each category that is still given, in the order of the desk."""
        later = Reason.objects.filter(code=models.OuterRef("code"), version__gt=models.OuterRef("version"))
        return self.filter(~models.Exists(later), is_retired=False).order_by("position")


class Reason(models.Model):
    """One category of the policy in one version; a change is a new row, so that old decisions keep their words."""

    class Ground(models.TextChoices):
        ILLEGAL = "illegal"
        TERMS = "terms"

    class RefundPolicy(models.TextChoices):
        NONE = "none"
        ON_OVERTURN = "on_overturn"  # an operator refunds the picture when an appeal is upheld

    code = models.CharField(max_length=30)
    version = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField()  # 1 to 8 have a key on the desk
    label = models.CharField(max_length=60)
    dsa_category = models.CharField(max_length=80)
    ground = models.CharField(max_length=10, choices=Ground.choices)
    reference = models.CharField(max_length=200)  # the law or the clause of the terms
    user_text = models.TextField()  # what the owner reads
    is_appealable = models.BooleanField(default=True)
    refund_policy = models.CharField(max_length=12, choices=RefundPolicy.choices)
    needs_two = models.BooleanField(default=False)  # two people must agree before it holds
    overturn_needs_two = models.BooleanField(default=True)
    is_retired = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[models.Manager["Reason"]] = ReasonQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["code", "version"], name="reason_one_row_a_version")]

    def __str__(self) -> str:
        return f"{self.code} v{self.version}"


class ReviewQuerySet(models.QuerySet["Review"]):
    def waiting(self) -> "ReviewQuerySet":
        """Those that need a decision, the riskiest first, then the oldest."""
        return self.filter(queued_at__isnull=False).order_by("-risk", "queued_at", "pk")

    def overdue(self, now: datetime) -> "ReviewQuerySet":
        return self.filter(queued_at__isnull=False, due_at__lt=now)

    def unclaimed(self, now: datetime) -> "ReviewQuerySet":
        """Those that nobody holds; a lease that has run out holds nothing."""
        return self.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))


class Review(models.Model):
    """Where one picture stands in the review; made when it first enters it."""

    image = models.OneToOneField(Image, on_delete=models.PROTECT, related_name="review")
    version = models.PositiveIntegerField(default=0)
    source = models.CharField(max_length=12, blank=True)  # request, rule, report, appeal, second_look, post, reword
    risk = models.PositiveSmallIntegerField(default=0)  # 0 to 100
    rule_hits = models.JSONField(default=list, blank=True)  # as screening found them, masked
    # Codes of the reasons that rules or viewers gave, each between bars: "|sexual|violence|".
    categories = models.CharField(max_length=500, blank=True)
    queued_at = models.DateTimeField(null=True, blank=True)  # waiting for a decision since
    due_at = models.DateTimeField(null=True, blank=True)
    # A claim is a lease: whoever looks at it. One that has run out is free again without anybody's doing.
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="claimed_reviews"
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    # Two people must agree: what each proposed is in the steps after `round_version`.
    needs_two = models.BooleanField(default=False)
    round_version = models.PositiveIntegerField(default=0)
    # The step by which it is what it is; None while nothing is decided.
    decision = models.ForeignKey("ReviewStep", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    objects: ClassVar[models.Manager["Review"]] = ReviewQuerySet.as_manager()

    class Meta:
        permissions = [("review_image", "Can review pictures")]
        indexes = [
            models.Index(
                fields=["-risk", "queued_at", "id"],
                condition=Q(queued_at__isnull=False),
                name="review_waiting_by_risk",
            ),
            models.Index(fields=["id"], condition=Q(queued_at__isnull=False), name="review_waiting_by_age"),
            models.Index(
                fields=["source", "id"], condition=Q(queued_at__isnull=False), name="review_waiting_of_source"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(queued_at__isnull=True, due_at__isnull=True)
                | Q(queued_at__isnull=False, due_at__isnull=False),
                name="review_waits_until_due",
            ),
            models.CheckConstraint(condition=Q(risk__lte=100), name="review_risk"),
        ]

    def __str__(self) -> str:
        return f"{self.image_id} v{self.version}"

    @property
    def is_high_risk(self) -> bool:
        return self.risk >= HIGH_RISK

    def holder_id(self, now: datetime) -> int | None:
        """Who holds it now."""
        return self.claimed_by_id if self.claimed_until and self.claimed_until > now else None


class ReviewStep(models.Model):
    """One line of the decision log. `actor` is None for a rule or a mode of the site."""

    # The unique constraint begins with this column and is its index.
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="steps", db_index=False)
    version = models.PositiveIntegerField()  # the review's, after it
    verb = models.CharField(max_length=20)
    from_status = models.CharField(max_length=12)
    to_status = models.CharField(max_length=12)
    # Where two people must agree, what this one is for; it holds only with a second.
    proposed = models.CharField(max_length=12, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="review_steps"
    )
    reason = models.ForeignKey(Reason, on_delete=models.PROTECT, null=True, blank=True, related_name="steps")
    note = models.CharField(max_length=MAX_NOTE_CHARS, blank=True)
    visibility = models.CharField(max_length=10)  # as the owner asked for it, after the step
    rule_hits = models.JSONField(default=list, blank=True)
    policy_version = models.PositiveIntegerField()
    is_automated = models.BooleanField(default=False)
    undoes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="undone_by")
    # How the review stood before it, so that it can be undone.
    queued_at_before = models.DateTimeField(null=True, blank=True)
    risk_before = models.PositiveSmallIntegerField(default=0)
    source_before = models.CharField(max_length=12, blank=True)
    needed_two_before = models.BooleanField(default=False)
    round_version_before = models.PositiveIntegerField(default=0)
    decision_before = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["review", "version"], name="review_step_one_a_version")]
        indexes = [models.Index(fields=["created_at"], name="review_step_by_time")]

    def __str__(self) -> str:
        return f"{self.verb}: {self.from_status} to {self.to_status}"


class Statement(models.Model):
    """What the owner was told about a restriction (statement of reasons): as it was then."""

    step = models.OneToOneField(ReviewStep, on_delete=models.PROTECT, related_name="statement")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="statements", db_index=False
    )
    facts = models.TextField()
    money = models.TextField()
    is_detected_automatically = models.BooleanField(default=False)
    source_type = models.CharField(max_length=40)  # as the DSA database names it
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["owner", "-id"], name="statement_of_owner_newest")]

    def __str__(self) -> str:
        return f"{self.step_id}"


class Appeal(models.Model):
    """The owner's answer to a decision: one for each, and what became of it is in the steps that follow."""

    decision = models.OneToOneField(ReviewStep, on_delete=models.PROTECT, related_name="appeal")
    text = models.CharField(max_length=MAX_APPEAL_CHARS)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.decision_id}"


class Report(models.Model):
    """What one viewer said against a public picture, once for each time that it was approved."""

    # The unique constraint begins with this column and is its index.
    approval = models.ForeignKey(ReviewStep, on_delete=models.PROTECT, related_name="reports", db_index=False)
    reporter = models.CharField(max_length=64)  # a keyed digest of the account or of the address; not who it is
    reason = models.ForeignKey(Reason, on_delete=models.PROTECT, related_name="reports")
    note = models.CharField(max_length=MAX_NOTE_CHARS, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "reporter"], name="report_once_a_viewer")]
        indexes = [models.Index(fields=["reporter", "created_at"], name="report_of_reporter")]

    def __str__(self) -> str:
        return f"{self.approval_id}: {self.reason_id}"


class ReviewerSettings(models.Model):
    """How one reviewer wants the desk; without a row as the defaults here say."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reviewer_settings")
    blurs = models.BooleanField(default=True)
    is_grey = models.BooleanField(default=True)
    has_single_keys = models.BooleanField(default=True)
    folds_flagged_prompts = models.BooleanField(default=False)
    avoided = models.JSONField(default=list, blank=True)  # codes of categories that are not to be shown

    def __str__(self) -> str:
        return str(self.user_id)


class Reveal(models.Model):
    """A high-risk picture was uncovered by a reviewer: counted to limit what one person has to see."""

    # The index below begins with this column.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reveals", db_index=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="reveals")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [models.Index(fields=["user", "created_at"], name="reveal_of_user")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.review_id}"
