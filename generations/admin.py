"""The operators' page of generations: what was asked, each call that was made for it, what it cost. To look at only."""

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin import ReadOnlyAdmin
from accounts.templatetags.plantain import duration, usd
from generations import rule_admin  # noqa: F401 - the pages of the prompt filter
from generations.models import Attempt, Generation


class AttemptInline(admin.StackedInline):
    model = Attempt
    fields = (
        ("outcome", "http_status", "took"),
        ("upstream", "upstream_model", "key_index"),
        "upstream_request_id",
        ("finish_reason", "block_reason"),
        ("is_paid", "cost"),
        "detail",
        "usage",
        ("sent_at", "finished_at"),
        "answer",
    )
    readonly_fields = tuple(name for row in fields for name in ((row,) if isinstance(row, str) else row))
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        return super().get_queryset(request).defer(None)

    @admin.display(description="took")
    def took(self, attempt: Attempt) -> str:
        return "-" if attempt.elapsed_ms is None else f"{duration(attempt.elapsed_ms)} ({attempt.elapsed_ms} ms)"

    @admin.display(description="cost to us")
    def cost(self, attempt: Attempt) -> str:
        return usd(attempt.cost_micros, 3)

    @admin.display(description="raw answer, redacted")
    def answer(self, attempt: Attempt) -> SafeString | str:
        if not attempt.raw_answer:
            return "No answer was kept."
        return format_html(
            '<details><summary>Show it</summary><pre class="raw" tabindex="0">{}</pre></details>', attempt.raw_answer
        )


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "created_at", "user", "model", "status", "source", "quoted", "charged", "error_code")
    list_filter = ("status", "model", "source")
    list_select_related = ("user",)
    search_fields = ("public_id__exact", "user__email", "attempts__upstream_request_id__exact", "error_code__exact")
    inlines = (AttemptInline,)
    fieldsets = (
        (None, {"fields": ("public_id", "user", "api_key", "source", "model", "prompt", "spec", "text")}),
        ("How it went", {"fields": ("status", "stage", "run", "error_code", "error_detail", "pictures")}),
        ("Money", {"fields": ("quoted", "charged", "transfers")}),
        ("Times", {"fields": ("created_at", "queued_at", "started_at", "finished_at")}),
    )

    @admin.display(ordering="quoted_micros", description="quoted")
    def quoted(self, generation: Generation) -> str:
        return usd(generation.quoted_micros, 3)

    @admin.display(ordering="charged_micros", description="charged")
    def charged(self, generation: Generation) -> str:
        return usd(generation.charged_micros, 3)

    @admin.display(description="transfers")
    def transfers(self, generation: Generation) -> SafeString:
        address = reverse("admin:accounts_transfer_changelist")
        return format_html('<a href="{}?q={}">Hold, capture and release</a>', address, generation.public_id)

    @admin.display(description="pictures")
    def pictures(self, generation: Generation) -> SafeString | str:
        images = [output.image for output in generation.shown_outputs.select_related("image")]
        rows = (
            (
                reverse("admin:gallery_image_change", args=[image.pk]),
                reverse("admin:gallery_image_thumbnail", args=[image.pk]),
                f"Picture {number}",
            )
            for number, image in enumerate(images, start=1)
        )
        link = '<a href="{}"><img class="thumbnail" src="{}" height="72" alt="{}" loading="lazy"></a> '
        return format_html_join("", link, rows) or "-"
