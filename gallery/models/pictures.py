"""What is kept: bytes addressed by their digest, the pictures that people own, and smaller copies of them.

An Image copies prompt, model and size when it is stored: provenance does not change later, and the gallery
knows nothing of jobs or models (`source_reference` is opaque here).
"""

import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.utils import timezone

from accounts.errors import NotFound
from gallery import storage
from gallery.clip_containers import ClipFormat
from gallery.imaging import Format
from gallery.models.expressions import InIdOrder, Pair, literals
from gallery.names import mime_type_of_copy

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User
    from gallery.models.collections import Collection


SHAPES = ("square", "wide", "tall")
RATIOS = ("1:1", "16:9", "9:16", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "21:9", "4:1", "1:4", "8:1", "1:8")
STATES = ("private", "review", "public", "refused")
SQUARE = 1.02  # a side that is longer than the other by this factor at most still looks square
# Of the review: conditions of lists, and of the indexes that serve them.
WAITING = ("pending", "escalated", "reported", "appealed")
REFUSED = ("rejected", "quarantined")
MAX_TITLE_CHARS = 200
MAX_ALT_TEXT_CHARS = 2000
# Pictures that are no work of their own: of a model's thinking, and brought along as a reference. Known by id only.
HIDDEN_KINDS = ("draft", "upload")
ORDER_BITS = 12


def new_publication_key() -> str:
    """A part of a public address that nobody can guess: 22 characters, 128 random bits."""
    return secrets.token_urlsafe(16)


def new_published_order() -> int:
    """A number that is larger the later it is made, in microseconds of Unix time, and unique by 12 random bits."""
    return time.time_ns() // 1000 << ORDER_BITS | secrets.randbits(ORDER_BITS)


def shape_name(width: int, height: int) -> str:
    """The one of SHAPES that a picture of so many pixels has."""
    if width > height * SQUARE:
        return "wide"
    return "tall" if height > width * SQUARE else "square"


class Blob(models.Model):
    """Bytes as they came, stored once; the SHA-256 is the address. Several images may share one."""

    sha256 = models.CharField(max_length=64, unique=True)
    byte_size = models.BigIntegerField()
    mime_type = models.CharField(max_length=40)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    has_c2pa = models.BooleanField(default=False)
    dominant_colour = models.CharField(max_length=7)
    # The placeholder in base64 (thumbhash.py), made with the small copies; of a clip that of its poster.
    thumbhash = models.CharField(max_length=36, blank=True)
    # What a picture looks like (perceptual.py); empty for one tone, null for a clip and until rebuildrenditions came.
    perceptual_hash = models.CharField(max_length=16, null=True, blank=True)
    # Of a clip only: its length, and the still picture of it, from which all its copies are made.
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    poster = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="clips")
    unrenderable_until = models.DateTimeField(null=True, blank=True)  # a failed rendering is not repeated before
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.sha256

    @property
    def storage_name(self) -> str:
        return storage.original_name(self.sha256, mime_type=self.mime_type)

    @property
    def still(self) -> "Blob":
        """What can be shown as a picture: a clip's poster, else the bytes themselves."""
        return self.poster or self


class ImageQuerySet(models.QuerySet["Image"]):
    def owned_by(self, user: "User | AnonymousUser") -> "ImageQuerySet":
        return self.filter(owner=user, purged_at=None)

    def kept(self) -> "ImageQuerySet":
        """Those that are not in the trash, served by an index of their own for each owner."""
        return self.filter(trashed_at=None)

    def listed(self) -> "ImageQuerySet":
        """Those that a list shows: kept, and neither drafts nor uploads."""
        return self.kept().exclude(kind__in=HIDDEN_KINDS)

    def uploads(self) -> "ImageQuerySet":
        """The pictures that were brought along as references and are kept; a list of their own."""
        return self.kept().filter(kind="upload")

    def trashed(self) -> "ImageQuerySet":
        """Those in the trash, the latest moved there first."""
        return self.filter(trashed_at__isnull=False, purged_at=None).order_by("-trashed_at", "-pk")

    def purgeable(self) -> "ImageQuerySet":
        """Those of the trash that may be deleted for good: what is quarantined is kept for those who may ask for it."""
        return self.trashed().exclude(review_status=Image.ReviewStatus.QUARANTINED)

    def public(self) -> "ImageQuerySet":
        """Those that anybody with their address may see, unlisted ones too (`Image.is_public`)."""
        return self.filter(_is_public())

    def listed_publicly(self) -> "ImageQuerySet":
        """Those of `public` that the public gallery lists; its order is an index that knows nearly them alone."""
        return self.public().filter(visibility=Image.Visibility.PUBLIC, published_order__isnull=False)

    def visible_to(self, user: "User | AnonymousUser", *, reviews: bool = False) -> "ImageQuerySet":
        """Those whose bytes `user` may see: public ones, and one's own unless it is quarantined.

        A person who `reviews` sees what is in the review or has been decided in it as well, and nothing else of others.
        """
        status = Image.ReviewStatus
        seen = _is_public()
        if user.is_authenticated:
            seen |= Q(owner=user) & ~Q(review_status=status.QUARANTINED)
        if reviews:
            seen |= ~Q(review_status=status.NONE)
        return self.filter(seen, purged_at=None)

    def with_blob(self) -> "ImageQuerySet":
        return self.select_related("blob")

    def get_public(self, public_id: uuid.UUID | str) -> "Image":
        """The image with this public id. Raises NotFound."""
        try:
            return self.get(public_id=public_id)
        except self.model.DoesNotExist:
            raise NotFound from None

    def matching(
        self,
        *,
        model: str = "",
        kind: str = "",
        aspect_ratio: str = "",
        visibility: str = "",
        review_status: str = "",
        favourite: bool | None = None,
        collection: "Collection | None" = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> "ImageQuerySet":
        """Those that fit every filter that is given; times are exclusive, the ratio is the one that was asked for."""
        lookups = {
            "model": model,
            "kind": kind,
            "aspect_ratio": aspect_ratio,
            "visibility": visibility,
            "review_status": review_status,
            "collection_items__collection": collection,
        }
        fitting = self.filter(**{name: value for name, value in lookups.items() if value})
        if created_after:
            fitting = fitting.filter(GreaterThan(InIdOrder("created_at"), created_after))
        if created_before:
            fitting = fitting.filter(LessThan(InIdOrder("created_at"), created_before))
        return fitting if favourite is None else fitting.filter(is_favourite=favourite)

    def in_state(self, state: str) -> "ImageQuerySet":
        """Those that are in a state of STATES, in the words of their owner; any for an empty name."""
        match state:
            case "private":
                return self.filter(visibility=Image.Visibility.PRIVATE)
            case "review":
                return self.filter(review_status__in=literals(WAITING))
            case "public":
                return self.public()
            case "refused":
                return self.filter(review_status__in=literals(REFUSED))
        return self

    def of_shape(self, shape: str) -> "ImageQuerySet":
        """Those whose pixels have a shape of SHAPES; any for an empty name."""
        return self.filter(shape=shape) if shape else self

    def trashed_before(self, image: "Image") -> "ImageQuerySet":
        """Those that come after one of the trash in its order."""
        return self.filter(LessThan(Pair("trashed_at", "pk"), Pair(Value(image.trashed_at), Value(image.pk))))


def _is_public() -> Q:
    """The condition of Image.is_public."""
    asked = (Image.Visibility.UNLISTED, Image.Visibility.PUBLIC)
    return Q(review_status=Image.ReviewStatus.APPROVED, visibility__in=asked, trashed_at=None)


class Image(models.Model):
    """A picture somebody owns."""

    class Visibility(models.TextChoices):
        PRIVATE = "private"
        UNLISTED = "unlisted"
        PUBLIC = "public"

    class ReviewStatus(models.TextChoices):
        NONE = "none"
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        ESCALATED = "escalated"
        REPORTED = "reported"
        APPEALED = "appealed"
        QUARANTINED = "quarantined"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="images")
    # None once it is purged. The type is that of all the others: no query that shows pictures finds a purged one.
    blob: "models.ForeignKey[Blob | None, Blob]" = models.ForeignKey(  # type: ignore[misc]
        Blob, null=True, on_delete=models.PROTECT, related_name="images"
    )
    kind = models.CharField(max_length=10, default="image")
    title = models.CharField(max_length=MAX_TITLE_CHARS, blank=True)
    alt_text = models.TextField(blank=True)
    prompt = models.TextField(blank=True)
    caption = models.TextField(blank=True)
    model = models.CharField(max_length=100, blank=True)
    aspect_ratio = models.CharField(max_length=10, blank=True)  # as asked
    shape = models.CharField(max_length=6, blank=True, editable=False)  # of SHAPES, by the pixels of the blob
    image_size = models.CharField(max_length=10, blank=True)  # as asked
    honours_aspect_ratio = models.BooleanField(default=True)
    honours_image_size = models.BooleanField(default=True)
    source_reference = models.CharField(max_length=100, blank=True, db_index=True)
    rule_hits = models.JSONField(default=list, blank=True)  # of the prompt filter when it was asked for, masked
    sources = models.JSONField(default=list, blank=True)  # pages that a search found for it (sources.py), for a while
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PRIVATE)
    review_status = models.CharField(max_length=12, choices=ReviewStatus.choices, default=ReviewStatus.NONE)
    # Part of the public address while `is_public` without regard to the trash; the next time there is another one.
    publication_key = models.CharField(max_length=22, unique=True, null=True, blank=True, editable=False)
    # There as long as the key is; the order of the public gallery, and when the picture became public.
    published_order = models.BigIntegerField(unique=True, null=True, blank=True, editable=False)
    discloses_prompt = models.BooleanField(default=False)  # the owner lets those who see it read its prompt
    is_favourite = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    trashed_at = models.DateTimeField(null=True, blank=True)  # in the trash since, for TRASH_DAYS
    # What is left is its id and what was decided about it, for the ledger and the log of the review (erasure.py).
    purged_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ImageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        # Each list has an index in its own order, so that its last page costs what the first one costs.
        indexes = [
            models.Index(fields=["owner", "-id"], condition=Q(trashed_at__isnull=True), name="image_kept_of_owner"),
            models.Index(
                fields=["owner", "-trashed_at", "-id"],
                condition=Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="image_trashed_of_owner",
            ),
            # Asked every few seconds for those that have been there too long.
            models.Index(
                fields=["trashed_at", "id"],
                condition=Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="image_in_trash",
            ),
            *(
                models.Index(
                    fields=["owner", *fields], condition=Q(trashed_at__isnull=True), name=f"image_{name}_of_owner"
                )
                for name, fields in {
                    "kind": ["kind", "-id"],
                    "model": ["model", "-id"],
                    "ratio": ["aspect_ratio", "-id"],
                    "seen": ["visibility", "-id"],
                    "review": ["review_status", "-id"],
                    "shape": ["shape", "-id"],
                    "day": ["-created_at", "-id"],
                }.items()
            ),
            # Those of which there are few are alone in theirs, so that a picture of none of them costs nothing.
            *(
                models.Index(
                    fields=["owner", "-id"],
                    condition=condition & Q(trashed_at__isnull=True),
                    name=f"image_{name}_of_owner",
                )
                for name, condition in {
                    "favourite": Q(is_favourite=True),
                    "waiting": Q(review_status__in=WAITING),
                    "refused": Q(review_status__in=REFUSED),
                }.items()
            ),
            # The lists of the public gallery.
            *(
                models.Index(
                    fields=[name, "-published_order"],
                    condition=Q(published_order__isnull=False),
                    name=f"image_published_{name}",
                )
                for name in ("model", "kind", "shape")
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and self.blob_id and not self.shape:
            self.shape = shape_name(self.blob.width, self.blob.height)
        super().save(*args, **kwargs)

    @property
    def is_upload(self) -> bool:
        return self.kind == "upload"

    @property
    def is_purgeable(self) -> bool:
        """The condition of ImageQuerySet.purgeable."""
        is_in_trash = self.trashed_at is not None and self.purged_at is None
        return is_in_trash and self.review_status != self.ReviewStatus.QUARANTINED

    @property
    def is_public(self) -> bool:
        """Whether anybody with its address may see it; the visibility alone is only what the owner asks for."""
        return (
            self.review_status == self.ReviewStatus.APPROVED
            and self.visibility != self.Visibility.PRIVATE
            and self.trashed_at is None
        )

    @property
    def thumbhash(self) -> str:
        """The placeholder of its blob, empty until there is one, and where the picture itself is shut away."""
        return "" if self.review_status == self.ReviewStatus.QUARANTINED else self.blob.thumbhash

    @property
    def published_at(self) -> datetime | None:
        """Since when others may see it."""
        if self.published_order is None:
            return None
        return datetime.fromtimestamp((self.published_order >> ORDER_BITS) / 1_000_000, UTC)


class Garbage(models.Model):
    """The name of a file that nobody refers to, and since when that is known (garbage.py)."""

    name = models.CharField(max_length=200, unique=True)
    marked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "garbage"

    def __str__(self) -> str:
        return self.name


class Rendition(models.Model):
    """A copy of a blob: smaller, in another format, or a clip in a plain container. It can be remade from the blob."""

    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="renditions")
    # "320", "640", "1280" (long side) or "original" (another format, or a clip of the same)
    variant = models.CharField(max_length=10)
    format = models.CharField(max_length=5)
    recipe = models.PositiveSmallIntegerField()
    sha256 = models.CharField(max_length=64)
    byte_size = models.BigIntegerField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["blob", "variant", "format"], name="rendition_once_a_variant")]

    def __str__(self) -> str:
        return f"{self.blob_id} {self.variant}.{self.format}"

    @property
    def storage_name(self) -> str:
        return storage.rendition_name(
            self.blob.sha256, variant=self.variant, recipe=self.recipe, format=cast("Format | ClipFormat", self.format)
        )

    @property
    def mime_type(self) -> str:
        return mime_type_of_copy(cast("Format | ClipFormat", self.format))
