"""Pictures as JSON, and the query parameters of their addresses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.request import Request

from accounts.errors import FieldError, InvalidInput
from gallery.imaging import MIME_TYPES
from gallery.models import MAX_ALT_TEXT_CHARS, MAX_TITLE_CHARS, Image
from gallery.renditions import LONG_SIDES, ORIGINAL, VARIANTS
from gallery.video import MIME_TYPES as CLIP_MIME_TYPES

THUMBHASH_HELP = (
    "A blur of the picture in at most 25 bytes (ThumbHash), as base64; null until it is made with the thumbnails."
)


def image_body(image: Image, request: HttpRequest | Request | None = None) -> dict[str, Any]:
    """The one JSON form of an image, as ImageSerializer describes it; reads `image.blob` and `image.collections`.

    Addresses are absolute: the request's host, or SITE_URL without a request.
    """
    blob, url = image.blob, file_url(image, request)
    return {
        "id": str(image.public_id),
        "generation": image.source_reference or None,
        "url": url,
        "thumbnails": {variant: f"{url}?variant={variant}" for variant in LONG_SIDES},
        "width": blob.width,
        "height": blob.height,
        "byte_size": blob.byte_size,
        "mime_type": blob.mime_type,
        "duration_ms": blob.duration_ms,
        "sha256": blob.sha256,
        "dominant_colour": blob.dominant_colour,
        "thumbhash": image.thumbhash or None,
        "kind": image.kind,
        "title": image.title,
        "alt_text": image.alt_text,
        "prompt": image.prompt,
        "model": image.model,
        "honoured": {"aspect_ratio": image.honours_aspect_ratio, "image_size": image.honours_image_size},
        "visibility": image.visibility,
        "review_status": image.review_status,
        "discloses_prompt": image.discloses_prompt,
        "favourite": image.is_favourite,
        "collections": [str(collection.public_id) for collection in image.collections.all()],
        "provenance": {"ai_generated": image.kind != "upload", "c2pa": blob.has_c2pa},
        "created_at": moment(image.created_at),
        "trashed_at": moment(image.trashed_at) if image.trashed_at else None,
        "version": image.version,
    }


def file_url(image: Image, request: HttpRequest | Request | None = None) -> str:
    """The address of the original's bytes."""
    return _absolute(reverse("image-file", args=[str(image.public_id)]), request)


def moment(when: datetime) -> str:
    """As JSON has it: ISO 8601 in UTC."""
    return when.isoformat().replace("+00:00", "Z")


def _absolute(path: str, request: HttpRequest | Request | None) -> str:
    return request.build_absolute_uri(path) if request else f"{settings.SITE_URL.rstrip('/')}{path}"


class ImageSerializer(serializers.Serializer[Image]):
    """A picture that somebody owns."""

    id = serializers.UUIDField()
    generation = serializers.CharField(allow_null=True, help_text="The id of the generation that made it.")
    url = serializers.URLField(help_text="The stable address of the original's bytes.")
    thumbnails = inline_serializer(
        "Thumbnails",
        {variant: serializers.URLField() for variant in LONG_SIDES},
        help_text="WebP by the longer side; of a clip its poster.",
    )
    width = serializers.IntegerField(help_text="Pixels of the original.")
    height = serializers.IntegerField(help_text="Pixels of the original.")
    byte_size = serializers.IntegerField()
    mime_type = serializers.ChoiceField([*MIME_TYPES.values(), *CLIP_MIME_TYPES.values()])
    duration_ms = serializers.IntegerField(allow_null=True, help_text="Of a clip; null for a picture.")
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$", help_text="Of the original's bytes.")
    dominant_colour = serializers.RegexField(r"^#[0-9a-f]{6}$", help_text="Stands in while the picture loads.")
    thumbhash = serializers.CharField(allow_null=True, help_text=THUMBHASH_HELP)
    kind = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    alt_text = serializers.CharField(allow_blank=True)
    prompt = serializers.CharField(allow_blank=True)
    model = serializers.CharField(allow_blank=True)
    honoured = inline_serializer(
        "Honoured",
        {"aspect_ratio": serializers.BooleanField(), "image_size": serializers.BooleanField()},
        help_text="Whether the picture has the ratio and the size that were asked for.",
    )
    visibility = serializers.ChoiceField(Image.Visibility.values)
    review_status = serializers.ChoiceField(Image.ReviewStatus.values)
    discloses_prompt = serializers.BooleanField(help_text="Whether those who see it may read its prompt.")
    favourite = serializers.BooleanField()
    collections = serializers.ListField(child=serializers.UUIDField(), help_text="Ids of those that it is in.")
    provenance = inline_serializer(
        "Provenance",
        {"ai_generated": serializers.BooleanField(), "c2pa": serializers.BooleanField()},
        help_text="c2pa: the original carries a C2PA manifest.",
    )
    created_at = serializers.DateTimeField()
    trashed_at = serializers.DateTimeField(allow_null=True, help_text="In the trash since; null for one that is kept.")
    version = serializers.IntegerField()


def choice(allowed: Sequence[str], **options: Any) -> serializers.ChoiceField:
    """An optional parameter that is one of these, and says so."""
    names = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    messages: dict[str, Any] = {"invalid_choice": f'"{{input}}" is not possible here: it may be {names}.'}
    return serializers.ChoiceField(list(allowed), error_messages=messages, required=False, **options)


class QueryParameters(serializers.Serializer[dict[str, Any]]):
    """The query parameters of one address. What it does not know is refused by name, never dropped."""

    @classmethod
    def read(cls, request: Request, *, also: Sequence[str] = ()) -> dict[str, Any]:
        """The parameters as Python values; those in `also` are somebody else's. Raises InvalidInput."""
        sent = request.query_params
        query = cls(data=sent.dict())
        allowed = (*query.fields, *also)
        errors = [
            FieldError(name, f"There is no such parameter here; there are {', '.join(allowed)}.")
            for name in sent
            if name not in allowed
        ]
        errors += [FieldError(name, "This was sent more than once.") for name in sent if len(sent.getlist(name)) > 1]
        if not query.is_valid():
            errors += [FieldError(name, " ".join(messages)) for name, messages in query.errors.items()]
        if errors:
            raise InvalidInput(f"{errors[0].field}: {errors[0].message}", errors=tuple(errors))
        return query.validated_data


class MomentField(serializers.DateTimeField):
    """A time with its zone, in an address, where a + that nobody encoded arrives as a space."""

    def to_internal_value(self, value: Any) -> datetime:
        return super().to_internal_value(str(value).replace(" ", "+"))

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise serializers.ValidationError("This needs a zone, such as Z or +01:00.")
        return value


class ImageListQuery(QueryParameters):
    """Which of my images."""

    model = serializers.CharField(max_length=100, required=False, help_text="The model's id.")
    kind = choice(["image", "video", "upload"])
    aspect_ratio = serializers.CharField(max_length=10, required=False, help_text="As asked, such as 16:9.")
    visibility = choice(Image.Visibility.values)
    review_status = choice(Image.ReviewStatus.values)
    favourite = choice(["true", "false"])
    collection = serializers.UUIDField(required=False, help_text="The id of one of my collections.")
    created_after = MomentField(required=False, help_text="ISO 8601 with a zone; exclusive.")
    created_before = MomentField(required=False, help_text="ISO 8601 with a zone; exclusive.")
    q = serializers.CharField(
        max_length=200,
        required=False,
        help_text="Words of titles, prompts, captions and alternative texts.",
    )


class ImageChanges(serializers.Serializer[dict[str, Any]]):
    """What can be changed of an image. A field that is left out stays; one that it does not know is refused by name."""

    title = serializers.CharField(max_length=MAX_TITLE_CHARS, required=False, allow_blank=True)
    alt_text = serializers.CharField(max_length=MAX_ALT_TEXT_CHARS, required=False, allow_blank=True)

    favourite = serializers.BooleanField(required=False)
    collections = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=500, help_text="All that it is to be in."
    )

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        allowed = ", ".join(self.fields)
        unknown = [FieldError(name, f"Unknown field; there are {allowed}.") for name in data if name not in self.fields]
        if unknown:
            raise InvalidInput(f"There is no field {unknown[0].field!r}; there are {allowed}.", errors=tuple(unknown))
        return super().to_internal_value(data)


class ImageUpload(serializers.Serializer[dict[str, Any]]):
    """A picture as a form sends it."""

    file = serializers.FileField(help_text="One still PNG, JPEG or WebP picture.")


class ImageFileQuery(QueryParameters):
    """Which bytes of an image."""

    variant = choice(VARIANTS, default=ORIGINAL, help_text="The longer side in pixels; never larger than the original.")
    format = choice(
        list(MIME_TYPES),
        help_text="Converts, a clip to its poster; without it the original as it came, and sizes as WebP.",
    )
    download = choice(["0", "1"], default="0", help_text="1: saved as a file instead of shown.")
