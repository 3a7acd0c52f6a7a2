"""The operators' pages about people, their money and their keys. Whatever moves money or ends a key calls its verb."""

import uuid
from typing import Any

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import keys, ledger
from accounts.admin_limits import GroupPlanInline, QuotaInline, save_quota
from accounts.errors import InvalidInput, ServiceError
from accounts.limits import KEY_MEASURES
from accounts.models import ApiKey, Entry, LedgerAccount, LimitChange, Price, Transfer, User
from accounts.money import parse_usd
from accounts.templatetags.plantain import usd


class ReadOnlyAdmin(admin.ModelAdmin):
    """To look at only. One count of a list is enough: the second one would read a large table once more."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


# --- People ---------------------------------------------------------------------------------------


class GrantForm(forms.Form):
    """An amount in USD, why, and a token that makes the second click of a double click the same grant."""

    amount = forms.CharField(label="Amount in USD", max_length=20, help_text="Such as 5.00.")
    reason = forms.CharField(max_length=200, help_text="The person reads it in their statement.")
    token = forms.UUIDField(widget=forms.HiddenInput)

    def clean_amount(self) -> int:
        try:
            return parse_usd(self.cleaned_data["amount"])
        except InvalidInput as error:
            raise ValidationError(error.message) from None


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    """Accounts are made by signing up or createaccount and erased by deleteaccount; a password is set by its owner."""

    list_display = ("email", "name", "plan", "available", "held", "created_at", "is_active", "is_staff")
    list_filter = ("plan", "is_active", "is_staff")
    list_select_related = ("plan", "wallet")
    search_fields = ("email", "name")
    ordering = ("-id",)
    actions = ("grant_to_selected",)
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

    def has_grant_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_transfer")

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
        for quota in formset.save(commit=False):
            save_quota(request, quota)

    @admin.action(description="Grant credit", permissions=["grant"])
    def grant_to_selected(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        if len(queryset) != 1:
            self.message_user(request, "Credit is granted to one person at a time.", messages.ERROR)
            return None
        return redirect("admin:accounts_user_grant", queryset[0].pk)

    def get_urls(self) -> list[URLPattern]:
        grant = self.admin_site.admin_view(reauthentication_required(self.grant_view))
        return [path("<int:pk>/grant/", grant, name="accounts_user_grant"), *super().get_urls()]

    def grant_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The one way to give money from here: by ledger.grant, with a reason, and noted in the log."""
        if not self.has_grant_permission(request):
            raise PermissionDenied
        user = self.get_queryset(request).filter(pk=pk).first()
        if user is None:
            raise Http404
        form = GrantForm(request.POST or None, initial={"token": uuid.uuid4()})
        if request.method == "POST" and form.is_valid() and self._grant(request, user, form):
            return redirect("admin:accounts_user_change", pk)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Grant credit to {user.email}",
            "opts": self.opts,
            "original": user,
            "form": form,
            "available": self.available(user),
        }
        return render(request, "admin/accounts/user/grant.html", context)

    def _grant(self, request: HttpRequest, user: User, form: GrantForm) -> bool:
        amount, reason = usd(form.cleaned_data["amount"]), form.cleaned_data["reason"]
        key = f"admin:{form.cleaned_data['token']}"
        try:
            with transaction.atomic():
                is_new = not Transfer.objects.filter(key=key).exists()
                ledger.grant(
                    user=user,
                    amount_micros=form.cleaned_data["amount"],
                    reason=reason,
                    key=key,
                    actor=str(request.user.public_id),  # type: ignore[union-attr]  # admin_view lets only people in
                )
                if is_new:
                    self.log_change(request, user, f"Granted {amount}: {reason}")
        except ServiceError as error:
            form.add_error(None, error.message)
            return False
        self.message_user(request, f"{user.email} has {amount} more.")
        return True


def _wallet(user: User) -> LedgerAccount:
    """The user's wallet, already joined; an empty one for somebody who has none."""
    return getattr(user, "wallet", None) or LedgerAccount()


@admin.register(Group)
class OperatorGroupAdmin(GroupAdmin):
    """Django's, with the plan that its members have."""

    inlines = (GroupPlanInline,)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "hint", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at",)
    list_select_related = ("user",)
    search_fields = ("user__email", "lookup", "last_four")
    fields = (
        *("public_id", "user", "name", "hint", "scopes", *KEY_MEASURES),
        *("created_at", "expires_at", "last_used_at", "revoked_at"),
    )
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


# --- Prices ---------------------------------------------------------------------------------------


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


# --- The ledger, to read only ---------------------------------------------------------------------


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ("code", "kind", "owner", "available", "held", "version")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    search_fields = ("code", "owner__email")
    fields = ("code", "kind", "owner", "currency", "available", "held", "spent", "version", "created_at")
    ordering = ("id",)

    @admin.display(description="available")
    def available(self, account: LedgerAccount) -> str:
        return _tracked(account, account.credits_posted - account.debits_posted - account.debits_pending)

    @admin.display(description="held")
    def held(self, account: LedgerAccount) -> str:
        return _tracked(account, account.debits_pending)

    @admin.display(description="spent")
    def spent(self, account: LedgerAccount) -> str:
        return _tracked(account, account.debits_posted - account.refunds_posted)


def _tracked(account: LedgerAccount, micros: int) -> str:
    """The house's accounts carry no balance of their own: it is the sum of their transfers."""
    return usd(micros) if account.is_tracked else "-"


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "code", "kind", "amount", "debit", "credit", "reference", "actor", "reason")
    list_filter = ("code", "kind")
    list_select_related = ("debit", "credit")
    search_fields = ("reference__exact", "key__exact", "debit__code__exact", "credit__code__exact")
    exclude = ("amount_micros",)
    readonly_fields = ("amount",)
    ordering = ("-created_at", "-id")

    @admin.display(ordering="amount_micros", description="amount")
    def amount(self, transfer: Transfer) -> str:
        return usd(transfer.amount_micros, 3)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "account", "version", "code", "posted", "pending", "balance", "reason")
    list_select_related = ("account", "transfer")
    search_fields = ("account__code__exact", "account__owner__email__exact", "transfer__reference__exact")
    fields = ("created_at", "account", "version", "transfer", "posted", "pending", "balance")
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "account__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="what")
    def code(self, entry: Entry) -> str:
        return entry.transfer.code

    @admin.display(description="reason")
    def reason(self, entry: Entry) -> str:
        return entry.transfer.reason

    @admin.display(description="posted")
    def posted(self, entry: Entry) -> str:
        return usd(entry.posted_delta, 3)

    @admin.display(description="held")
    def pending(self, entry: Entry) -> str:
        return usd(entry.pending_delta, 3)

    @admin.display(description="balance after")
    def balance(self, entry: Entry) -> str:
        return usd(entry.posted_after, 3)


@admin.register(LimitChange)
class LimitChangeAdmin(ReadOnlyAdmin):
    """Who changed whose limits, from what to what, and why: the database lets nobody edit it."""

    list_display = ("created_at", "subject", "actor", "reason", "before", "after")
    search_fields = ("subject__exact", "actor__exact")
    fields = ("created_at", "subject", "actor", "reason", "before", "after")
    ordering = ("-id",)


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
