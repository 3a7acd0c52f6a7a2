"""A wish for pictures (Generation), the calls made for it (Attempt), what came of it (Output), and who asked twice.

The Generation row is the queue: a message is only a wake-up, and every write of a worker carries the row's fence.
"""

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)


class GenerationQuerySet(models.QuerySet["Generation"]):
    def unfinished(self) -> "GenerationQuerySet":
        return self.filter(status__in=(Status.QUEUED, Status.RUNNING))

    def claimable(self, at: datetime) -> "GenerationQuerySet":
        """Queued, or parked between two attempts, and due."""
        return self.unfinished().filter(lease_owner="", next_run_at__lte=at, reused_from__isnull=True)

    def with_place(self) -> "GenerationQuerySet":
        """Each queued one with `before`: how many others of its owner and its priority are to be taken before it."""
        line = Generation.objects.claimable(timezone.now()).filter(
            Q(queued_at__lt=models.OuterRef("queued_at"))
            | Q(queued_at=models.OuterRef("queued_at"), pk__lt=models.OuterRef("pk")),
            user=models.OuterRef("user"),
            priority=models.OuterRef("priority"),
        )
        before = line.order_by().values("user").annotate(many=models.Count("pk")).values("many")
        queued = models.When(status=Status.QUEUED, then=models.Subquery(before))
        return self.annotate(before=models.Case(queued, output_field=models.IntegerField()))

    def paid_for(self) -> "GenerationQuerySet":
        """Those with calls and money of their own: all but the reused ones."""
        return self.filter(reused_from__isnull=True)

    def abandoned(self, at: datetime) -> "GenerationQuerySet":
        """Leased by a worker that has not renewed its lease in time."""
        return self.filter(status=Status.RUNNING, lease_expires_at__lt=at).exclude(lease_owner="")

    def matching(
        self,
        *,
        status: str = "",
        model: str = "",
        kind: str = "",
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        q: str = "",
        family: uuid.UUID | None = None,
    ) -> "GenerationQuerySet":
        """Those that fit every filter that is given; a family is named by the generation that it began with."""
        wanted = {
            "status": status,
            "model": model,
            "kind": kind,
            "created_at__gt": created_after,
            "created_at__lt": created_before,
            "prompt__icontains": q,
        }
        fitting = self.filter(**{lookup: value for lookup, value in wanted.items() if value})
        return fitting.filter(Q(public_id=family) | Q(family__public_id=family)) if family else fitting

    def with_ancestry(self) -> "GenerationQuerySet":
        """Each with the public ids of what it was begun from, and of what its family began with; None for itself."""
        kept_parent = models.When(parent_image__purged_at=None, then=F("parent_image__public_id"))
        return self.annotate(
            parent_public_id=F("parent__public_id"),
            parent_image_public_id=models.Case(kept_parent, output_field=models.UUIDField()),
            family_public_id=F("family__public_id"),
        )

    def for_api(self) -> "GenerationQuerySet":
        """With all that an answer shows, in a constant number of queries."""
        evidence = models.Prefetch("attempts__evidence", Evidence.objects.defer("rendered_content"))
        outputs = (
            Output.objects.select_related("image__blob")
            .prefetch_related("image__collections")
            .defer("thought_signature")
        )
        reused = models.Prefetch("reused_from__outputs", outputs)
        previews = models.Prefetch("attempts__previews", DraftPreview.objects.defer("content"))
        rows = self.with_place().with_ancestry()
        return rows.prefetch_related("attempts", evidence, previews, models.Prefetch("outputs", outputs), reused)


class Generation(models.Model):
    """A job. `version` grows with every change that a client may see; `fence` with every claim."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # The list of all has an index that begins with this column.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="generations", db_index=False
    )
    api_key = models.ForeignKey(
        "accounts.ApiKey", null=True, blank=True, on_delete=models.SET_NULL, related_name="generations"
    )
    source = models.CharField(max_length=10)  # the door: web, rest, gemini, openai, cli
    kind = models.CharField(max_length=10, default="image")
    model = models.CharField(max_length=100)
    prompt = models.TextField()
    spec = models.JSONField()  # GenerationSpec.canonical()
    rule_hits = models.JSONField(default=list, blank=True)  # what the prompt filter marked, masked; it went on
    fingerprint = models.CharField(max_length=64)
    likeness = models.CharField(max_length=64, blank=True)  # as the fingerprint, for prompts in any case

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    stage = models.CharField(max_length=20, default="queued")
    version = models.PositiveIntegerField(default=1)
    run = models.PositiveSmallIntegerField(default=1)  # grows when its owner retries it
    text = models.TextField(blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)

    # The one that this one shows the pictures of, if it was asked for again with reuse; it moves no money of its own.
    reused_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="reused_by")
    # What it was begun from, and the generation that the whole family began with (parents.py); none is its own.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    parent_image = models.ForeignKey(
        "gallery.Image", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    family = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="descendants")
    hold = models.ForeignKey("accounts.Transfer", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey("accounts.Price", on_delete=models.PROTECT, related_name="+")
    quoted_micros = models.BigIntegerField()
    charged_micros = models.BigIntegerField(default=0)
    quota_window = models.DateTimeField()  # the day whose quota this run took from, to give it back

    priority = models.PositiveSmallIntegerField(default=0)  # the lowest is taken first, whoever else waits (turns.py)
    lease_owner = models.CharField(max_length=64, blank=True)  # empty: anybody may claim it
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    next_run_at = models.DateTimeField(default=timezone.now)
    woken_at = models.DateTimeField(default=timezone.now)  # when a message was last sent for it
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = GenerationQuerySet.as_manager()

    # There with `with_ancestry`.
    parent_public_id: uuid.UUID | None
    parent_image_public_id: uuid.UUID | None
    family_public_id: uuid.UUID | None

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user", "-id"], name="generation_of_user_newest"),
            *(
                models.Index(fields=["user", name, "-id"], name=f"generation_{name}_of_user")
                for name in ("status", "model", "kind")
            ),
            models.Index(
                fields=["status", "next_run_at"],
                condition=Q(status__in=["queued", "running"]),
                name="generation_open",
            ),
            models.Index(
                fields=["user", "status"], condition=Q(status__in=["queued", "running"]), name="generation_open_of_user"
            ),
            models.Index(fields=["user", "likeness"], name="generation_alike_of_user"),
            models.Index(
                fields=["user", "priority", "queued_at", "id"],
                condition=Q(lease_owner="", reused_from__isnull=True, status__in=["queued", "running"]),
                name="generation_line_of_user",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(hold__isnull=False, reused_from__isnull=True)
                | Q(hold__isnull=True, reused_from__isnull=False, quoted_micros=0, charged_micros=0),
                name="generation_paid_for_or_reused",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def shown_outputs(self) -> "models.QuerySet[Output]":
        """Its pictures, or those of the generation that it was answered with."""
        return (self.reused_from or self).outputs.all()


class Turn(models.Model):
    """When a worker last took a job of this person, as a count of everybody's turns (turns.py)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE)
    number = models.BigIntegerField(db_index=True)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.number}"


class AttemptManager(models.Manager["Attempt"]):
    """Leaves `raw_answer` in the database until it is asked for: only operators read it, and it is 20 KB a row."""

    def get_queryset(self) -> models.QuerySet["Attempt"]:
        return super().get_queryset().defer("raw_answer")


class Attempt(models.Model):
    """One upstream call. Committed as 'sent' before the socket opens; an open one of a dead worker is 'unknown'."""

    SENT = "sent"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="attempts")
    run = models.PositiveSmallIntegerField()
    number = models.PositiveSmallIntegerField()
    slot = models.PositiveSmallIntegerField(default=0)  # which picture of the wish, from 0; 0 too when it asked for all
    fence = models.PositiveIntegerField()
    upstream = models.CharField(max_length=20)
    upstream_model = models.CharField(max_length=100)
    key_index = models.PositiveSmallIntegerField(default=0)  # which of the configured keys; never the key
    outcome = models.CharField(max_length=20, default=SENT)
    is_paid = models.BooleanField(default=False)
    http_status = models.PositiveSmallIntegerField(null=True, blank=True)
    upstream_request_id = models.CharField(max_length=200, blank=True)
    detail = models.TextField(blank=True)  # redacted
    finish_reason = models.CharField(max_length=60, blank=True)
    block_reason = models.CharField(max_length=60, blank=True)
    usage = models.JSONField(default=dict, blank=True)
    raw_answer = models.TextField(blank=True, default="")  # bounded and redacted, raw_answers.py
    cost_micros = models.BigIntegerField(default=0)
    # open: nobody knows what it cost; billed and not_billed are what an operator found out (reconciliation.py).
    cost_verdict = models.CharField(max_length=10, blank=True)
    # Of the pictures that it brought: how many there are, and how many have the shape and the size that were asked for.
    picture_count = models.PositiveSmallIntegerField(default=0)
    shape_count = models.PositiveSmallIntegerField(default=0)
    size_count = models.PositiveSmallIntegerField(default=0)
    # Verified pictures that wait in the storage for the end of the job, as settlement.Picture writes them.
    pictures = models.JSONField(default=list, blank=True)
    text = models.TextField(blank=True)
    text_signature = models.BinaryField(
        default=b"", blank=True
    )  # belongs to the text, as thought_signature to a picture
    thoughts = models.TextField(blank=True)
    safety_ratings = models.JSONField(default=list, blank=True)
    elapsed_ms = models.PositiveIntegerField(null=True, blank=True)
    sent_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[AttemptManager] = AttemptManager()

    class Meta:
        ordering = ["number"]
        indexes = [
            # All that health.py reads, so that a window of time is one part of this index and nothing else.
            models.Index(
                fields=[
                    *("sent_at", "upstream", "upstream_model", "outcome", "elapsed_ms"),
                    *("picture_count", "shape_count", "size_count"),
                ],
                name="attempt_health",
            ),
            models.Index(fields=["upstream", "upstream_model"], condition=Q(outcome="sent"), name="attempt_in_flight"),
            models.Index(fields=["sent_at"], condition=Q(cost_verdict="open"), name="attempt_of_uncertain_cost"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["generation", "number"], name="attempt_numbered_once"),
            models.CheckConstraint(
                condition=Q(cost_verdict__in=["", "open", "billed", "not_billed"]), name="attempt_verdict_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.generation_id}#{self.number} {self.outcome}"


class DraftPreview(models.Model):
    """A small copy of a draft, while the call that brings it is in flight; it goes when the call is concluded.

    Not a picture of the gallery: of the drafts that were asked for, those of the call that succeeds become Outputs.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="previews")
    content = models.BinaryField()  # WebP of our own making, never the bytes that came
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    dominant_colour = models.CharField(max_length=7)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return str(self.public_id)


class Output(models.Model):
    """One picture of a generation, in the gallery."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="outputs")
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="outputs")
    image = models.OneToOneField("gallery.Image", on_delete=models.PROTECT, related_name="output")
    index = models.PositiveSmallIntegerField(default=0)
    is_draft = models.BooleanField(default=False)  # a picture of the model's thinking: shown on request, never charged
    # The base64 text as it came, to the byte: an edit of this picture needs it. Bytes, as it is not for reading.
    thought_signature = models.BinaryField(default=b"", blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "is_draft", "index"], name="output_numbered_once"),
        ]

    def __str__(self) -> str:
        return f"{self.generation_id}[{self.index}]"

    @property
    def is_kept(self) -> bool:
        """Whether there is a picture still; one that was purged has left its row, which was charged for."""
        return self.image.purged_at is None


class Evidence(models.Model):
    """What a search brought for one call. Third-party text: kept for GROUNDING_RETENTION_DAYS, never exported."""

    attempt = models.OneToOneField(Attempt, on_delete=models.CASCADE, related_name="evidence")
    queries = models.JSONField(default=list)
    sources = models.JSONField(default=list)  # uri, title, domain, image_uri
    rendered_content = models.TextField(blank=True)  # HTML as it came; shown in a sandbox of its own only
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    def __str__(self) -> str:
        return f"evidence of {self.attempt_id}"


class AccountExport(models.Model):
    """A copy of everything that somebody has here, as one ZIP: asked for, made by a task, kept for a week."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    byte_size = models.BigIntegerField(null=True, blank=True)
    woken_at = models.DateTimeField(default=timezone.now)  # when a message was last sent for it
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(state__in=["waiting", "running"]), name="account_export_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def storage_name(self) -> str:
        return f"exports/{self.public_id.hex}.zip"


class IdempotencyKey(models.Model):
    """A client's own name for a request: the same one again gets the first one's generation."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="idempotency_keys")
    endpoint = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of the canonical body
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="idempotency_keys")
    status_code = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "endpoint", "key"], name="idempotency_key_once_an_endpoint")
        ]

    def __str__(self) -> str:
        return self.key
