"""The operators' pages of generations (what was asked, each call that was made for it, what it cost) and of prices."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts import prices
from accounts.errors import InvalidInput
from accounts.models import Price
from accounts.money import parse_usd
from accounts.readonly_admin import ReadOnlyAdmin
from accounts.templatetags.plantain import duration, usd
from generations import catalog, rule_admin  # noqa: F401 - the pages of the prompt filter
from generations.estimates import estimate_all
from generations.models import Attempt, Generation
from generations.turns import Line, recent_queue


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
        ("How it went", {"fields": ("status", "stage", "waits", "run", "error_code", "error_detail", "pictures")}),
        ("Money", {"fields": ("quoted", "charged", "transfers")}),
        ("Times", {"fields": ("created_at", "queued_at", "started_at", "finished_at")}),
    )

    @admin.display(ordering="quoted_micros", description="quoted")
    def quoted(self, generation: Generation) -> str:
        return usd(generation.quoted_micros, 3)

    @admin.display(ordering="charged_micros", description="charged")
    def charged(self, generation: Generation) -> str:
        return usd(generation.charged_micros, 3)

    @admin.display(description="why it waits")
    def waits(self, generation: Generation) -> str:
        if generation.is_terminal:
            return "-"
        row = Generation.objects.with_place().prefetch_related("attempts").get(pk=generation.pk)
        estimate = estimate_all([row])[row.pk]
        queue = recent_queue()
        line = queue.lines.get(generation.user_id) or Line()
        place = f"Place {estimate.queue_position}. " if estimate.queue_position else ""
        return (
            f"{place}{estimate.reason or 'It is being worked on.'} Its owner has {line.running} under way and "
            f"{sum(line.waiting.values())} waiting, last turn {line.number or 'never'}. In all {queue.running} of "
            f"{queue.workers} workers are busy and {queue.waiting} jobs wait."
        )

    @admin.display(description="transfers")
    def transfers(self, generation: Generation) -> SafeString:
        address = reverse("admin:accounts_transfer_changelist")
        return format_html('<a href="{}?q={}">Hold, capture and release</a>', address, generation.public_id)

    @admin.display(description="pictures")
    def pictures(self, generation: Generation) -> SafeString | str:
        images = [
            output.image for output in generation.shown_outputs.filter(image__purged_at=None).select_related("image")
        ]
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


# --- What is sold ---------------------------------------------------------------------------------

UNITS = {"image": "a picture", "video": "a short video"}


def _sellable() -> list[tuple[str, str | list[tuple[str, str]]]]:
    """What a price can be set for, by model: every unit and size of those that are made, the optional ones too."""
    return [("", "Choose one")] + [
        (
            f"{model.label} ({model.id})",
            [(f"{model.id} {size} {kind}", f"{model.id}: {UNITS[kind]} at {size}") for kind, size in model.units()],
        )
        for model in catalog.offered_models(catalog.MODELS)
    ]


class PriceForm(forms.ModelForm):
    """A price in USD from a time on. Setting the first one of an optional model puts it on sale."""

    sold = forms.ChoiceField(
        label="What is sold",
        choices=_sellable,
        help_text="GPT Image and Flux are offered in the sizes that have a price, and not at all without one.",
    )
    amount = forms.CharField(label="Price in USD", max_length=20, help_text="What a user pays for one of it.")
    cost = forms.CharField(label="Cost in USD", max_length=20, help_text="What the upstream charges for it.")
    comparison = forms.CharField(label="List price in USD", max_length=20, required=False, help_text="The vendor's.")
    valid_from = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="In UTC; empty for at once. A price cannot be changed: a later row replaces it, or withdraws it.",
    )

    class Meta:
        model = Price
        fields = ("valid_from",)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if sold := cleaned.get("sold"):
            self.instance.model, self.instance.size, self.instance.unit = sold.split()
        for field in ("amount", "cost", "comparison"):
            if not cleaned.get(field):
                continue
            try:
                setattr(self.instance, f"{field}_micros", parse_usd(cleaned[field], field=field))
            except InvalidInput as error:
                self.add_error(field, error.message)
        if self.instance.amount_micros == 0:
            self.add_error("amount", "A price is more than nothing.")
        now = timezone.now()
        if cleaned.get("valid_from") and cleaned["valid_from"] < now:
            self.add_error("valid_from", "What was sold until now keeps its price: choose a time to come.")
        cleaned["valid_from"] = self.instance.valid_from = cleaned.get("valid_from") or now
        price = self.instance
        same = Price.objects.filter(model=price.model, size=price.size, unit=price.unit, valid_from=price.valid_from)
        if same.exists():
            self.add_error("valid_from", "There is a price from this moment on already: choose another one.")
        return cleaned


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """New rows only: the database refuses to change a price, as charges refer to it."""

    form = PriceForm
    list_display = (
        "model",
        "size",
        "unit",
        "price",
        "cost",
        "list_price",
        "is_offered",
        "is_placeholder",
        "valid_from",
    )
    list_filter = ("model", "size", "unit", "is_offered")
    ordering = ("model", "size", "unit", "-valid_from")
    actions = ("withdraw",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)  # it adds a row

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("sold", "amount", "cost", "comparison", "valid_from")
        return (*self.list_display, "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    @admin.action(description="Withdraw from sale, from now on", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        """Noted in the log of each new row: who took what out of sale."""
        withdrawn = prices.withdraw_from_sale(queryset)
        for price in withdrawn:
            self.log_addition(request, price, f"Withdrew {price.model} at {price.size} ({price.unit}) from sale")
        hint = "New wishes for them are refused; a price that begins later sells again."
        self.message_user(request, f"{len(withdrawn)} withdrawn. {hint}")

    @admin.display(ordering="amount_micros", description="price")
    def price(self, price: Price) -> str:
        return usd(price.amount_micros, 3)

    @admin.display(ordering="cost_micros", description="cost")
    def cost(self, price: Price) -> str:
        return usd(price.cost_micros, 3)

    @admin.display(ordering="comparison_micros", description="list price")
    def list_price(self, price: Price) -> str:
        return "-" if price.comparison_micros is None else usd(price.comparison_micros, 3)
