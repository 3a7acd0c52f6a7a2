"""The operators' page of kept pictures: to look at only. What others may see is decided in the review."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.errors import NotFound
from accounts.readonly_admin import ReadOnlyAdmin
from gallery import delivery
from gallery.models import Image, PictureHit
from gallery.review.access import is_reviewer

THUMBNAIL_PX = 72


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    list_display = ("thumbnail", "public_id", "owner", "model", "asked", "received", "visibility", "created_at")
    list_display_links = ("public_id",)
    list_filter = ("visibility", "review_status", "model")
    list_select_related = ("owner", "blob")
    list_per_page = 30
    search_fields = ("public_id__exact", "owner__email", "source_reference__exact")
    fields = (
        "thumbnail",
        "public_id",
        "owner",
        "title",
        "prompt",
        "caption",
        "model",
        "asked",
        "received",
        "digest",
        "source_reference",
        "visibility",
        "review_status",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Image]:
        """All but those that are purged: there is nothing to look at."""
        return super().get_queryset(request).filter(purged_at=None)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.thumbnail_view)
        return [path("<int:pk>/thumbnail/", view, name="gallery_image_thumbnail"), *super().get_urls()]

    def thumbnail_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """The picture's smallest copy, for operators who review. Raises NotFound, RenditionUnavailable."""
        if not self.has_view_permission(request) or not is_reviewer(request.user):
            raise PermissionDenied
        image = Image.objects.with_blob().filter(pk=pk, purged_at=None).first()
        if image is None:
            raise NotFound
        return delivery.serve_file(request, delivery.find_file(image, variant="320"))

    @admin.display(description="picture")
    def thumbnail(self, image: Image) -> SafeString:
        blob = image.blob
        scale = THUMBNAIL_PX / max(blob.width, blob.height)
        return format_html(
            '<img class="thumbnail" src="{}" width="{}" height="{}" alt="" loading="lazy">',
            reverse("admin:gallery_image_thumbnail", args=[image.pk]),
            max(1, round(blob.width * scale)),
            max(1, round(blob.height * scale)),
        )

    @admin.display(description="asked")
    def asked(self, image: Image) -> str:
        return f"{image.aspect_ratio}, {image.image_size}"

    @admin.display(description="received")
    def received(self, image: Image) -> str:
        return f"{image.blob.width} x {image.blob.height}"

    @admin.display(description="SHA-256")
    def digest(self, image: Image) -> str:
        return image.blob.sha256


@admin.register(PictureHit)
class PictureHitAdmin(ReadOnlyAdmin):
    """What the picture rules refused: whom they met and like which decision, never the picture that was brought."""

    list_display = ("created_at", "user", "door", "rule", "rule_version", "category", "distance", "known")
    list_filter = ("category", "door", "rule")
    list_select_related = ("user", "decision__review__image")
    search_fields = ("user__email",)
    fields = list_display

    @admin.display(description="like the picture")
    def known(self, hit: PictureHit) -> str:
        """The id of the picture that was refused."""
        return str(hit.decision.review.image.public_id)
