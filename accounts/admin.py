"""The operators' pages about people, their money and their keys. Whatever moves money or ends a key calls its verb."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import keys, ledger_admin, quotas  # noqa: F401 - the ledger's pages register themselves
from accounts.errors import InvalidInput
from accounts.models import ApiKey, LedgerAccount, Plan, Price, Quota, User
from accounts.money import parse_usd
from accounts.money_admin import MoneyOfAPerson
from accounts.readonly_admin import ReadOnlyAdmin
from accounts.templatetags.plantain import usd

LIMITS = ("images_per_day", "concurrent", "requests_per_minute")


# --- People ---------------------------------------------------------------------------------------


class QuotaInline(admin.StackedInline):
    model = Quota
    fields = LIMITS
    max_num = 1
    can_delete = False
    verbose_name = "limits of their own"
    verbose_name_plural = f"limits of their own (empty: the plan's; {quotas.UNLIMITED}: none)"


@admin.register(User)
class UserAdmin(MoneyOfAPerson, ReadOnlyAdmin):
    """Accounts are made by signing up or createaccount and erased by deleteaccount; a password is set by its owner."""

    list_display = ("email", "name", "plan", "available", "held", "created_at", "is_active", "is_staff")
    list_filter = ("plan", "is_active", "is_staff")
    list_select_related = ("plan", "wallet")
    search_fields = ("email", "name")
    ordering = ("-id",)
    inlines = (QuotaInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "public_id", "plan", "is_active")}),
        ("Money", {"fields": ("available", "held", "spent", "statement")}),
        ("At work", {"fields": ("is_staff", "is_superuser", "groups")}),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    ROLES = ("is_staff", "is_superuser", "groups")
    FACTS = ("email", "name", "public_id", "available", "held", "spent", "statement", "created_at", "last_login")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).select_related("wallet", "plan")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Colleagues are changed by superusers only: one operator must not lock the others out."""
        is_colleague = isinstance(obj, User) and (obj.is_staff or obj.is_superuser)
        if is_colleague and not request.user.is_superuser:
            return False
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.FACTS if request.user.is_superuser else (*self.FACTS, *self.ROLES)

    @admin.display(
        ordering=F("wallet__credits_posted") - F("wallet__debits_posted") - F("wallet__debits_pending"),
        description="available",
    )
    def available(self, user: User) -> str:
        wallet = _wallet(user)
        return usd(wallet.credits_posted - wallet.debits_posted - wallet.debits_pending)

    @admin.display(ordering="wallet__debits_pending", description="held")
    def held(self, user: User) -> str:
        return usd(_wallet(user).debits_pending)

    @admin.display(description="spent")
    def spent(self, user: User) -> str:
        wallet = _wallet(user)
        return usd(wallet.debits_posted - wallet.refunds_posted)

    @admin.display(description="statement")
    def statement(self, user: User) -> SafeString | str:
        wallet = _wallet(user)
        if wallet.pk is None:
            return "-"
        address = reverse("admin:accounts_entry_changelist")
        return format_html('<a href="{}?account__id__exact={}">Every line of it</a>', address, wallet.pk)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """A quota is written by its verb; the formset only says what was asked for."""
        for quota in formset.save(commit=False):
            quotas.override_limits(user=form.instance, **{name: getattr(quota, name) for name in LIMITS})


def _wallet(user: User) -> LedgerAccount:
    """The user's wallet, already joined; an empty one for somebody who has none."""
    return getattr(user, "wallet", None) or LedgerAccount()


@admin.register(Group)
class OperatorGroupAdmin(GroupAdmin):
    """Ours only in name: the admin takes no class of a library (config/admin_site.py)."""


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "hint", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at",)
    list_select_related = ("user",)
    search_fields = ("user__email", "lookup", "last_four")
    fields = ("public_id", "user", "name", "hint", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.display(description="key")
    def hint(self, key: ApiKey) -> str:
        return f"{key.lookup}…{key.last_four}"

    @admin.action(description="Revoke at once and for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        chosen = [key for key in queryset.select_related("user") if key.revoked_at is None]
        for key in chosen:
            keys.revoke_key(user=key.user, key_id=key.public_id)
            self.log_change(request, key, "Revoked")
        self.message_user(request, f"{len(chosen)} revoked. Their next request is refused.")


# --- Limits and prices ----------------------------------------------------------------------------


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    list_display = ("name", *LIMITS)
    show_full_result_count = False


class PriceForm(forms.ModelForm):
    """A price in USD from a time on; models and sizes are those that have been sold before, so none is misspelt."""

    amount = forms.CharField(label="Price in USD", max_length=20, help_text="What a user pays for one picture.")
    cost = forms.CharField(label="Cost in USD", max_length=20, help_text="What the upstream charges for it.")
    comparison = forms.CharField(label="List price in USD", max_length=20, required=False, help_text="The vendor's.")
    valid_from = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="In UTC; empty for at once. A price cannot be changed or taken back: a later row replaces it.",
    )

    class Meta:
        model = Price
        fields = ("model", "size", "valid_from")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for field in ("model", "size"):
            known = sorted(Price.objects.values_list(field, flat=True).distinct())
            if cleaned.get(field) and cleaned[field] not in known:
                self.add_error(field, f"Use one of {', '.join(known)}.")
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
        return cleaned


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    """New rows only: the database refuses to change a price, as charges refer to it."""

    form = PriceForm
    list_display = ("model", "size", "price", "cost", "list_price", "is_placeholder", "valid_from")
    list_filter = ("model", "size")
    ordering = ("model", "size", "-valid_from")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("model", "size", "amount", "cost", "comparison", "valid_from")
        return ("model", "size", "price", "cost", "list_price", "is_placeholder", "valid_from", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    @admin.display(ordering="amount_micros", description="price")
    def price(self, price: Price) -> str:
        return usd(price.amount_micros, 3)

    @admin.display(ordering="cost_micros", description="cost")
    def cost(self, price: Price) -> str:
        return usd(price.cost_micros, 3)

    @admin.display(ordering="comparison_micros", description="list price")
    def list_price(self, price: Price) -> str:
        return "-" if price.comparison_micros is None else usd(price.comparison_micros, 3)


# --- The log --------------------------------------------------------------------------------------


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """Who did what at these pages."""

    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag", "told")
    list_filter = ("action_flag",)
    list_select_related = ("user", "content_type")
    search_fields = ("user__email", "object_repr")
    fields = ("action_time", "user", "content_type", "object_id", "object_repr", "action_flag", "told")

    @admin.display(description="what was done")
    def told(self, entry: LogEntry) -> str:
        return entry.get_change_message()
