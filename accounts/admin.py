"""The operators' pages about people, their money and their keys. Whatever moves money or ends a key calls its verb."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import keys, ledger_admin  # noqa: F401 - the ledger's pages register themselves
from accounts.admin_limits import GroupPlanInline, QuotaInline, save_quota
from accounts.limits import KEY_MEASURES
from accounts.models import ApiKey, LedgerAccount, LimitChange, User
from accounts.money_admin import MoneyOfAPerson
from accounts.readonly_admin import ReadOnlyAdmin
from accounts.templatetags.plantain import usd

# --- People ---------------------------------------------------------------------------------------


@admin.register(User)
class UserAdmin(MoneyOfAPerson, ReadOnlyAdmin):
    """Accounts are made by signing up or createaccount and erased by deleteaccount; a password is set by its owner."""

    list_display = ("email", "name", "plan", "available", "held", "created_at", "is_active", "is_staff")
    list_filter = ("plan", "is_active", "is_guest", "is_staff")
    list_select_related = ("plan", "wallet")
    search_fields = ("email", "name")
    ordering = ("-id",)
    inlines = (QuotaInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "public_id", "plan", "is_guest", "is_active")}),
        ("Money", {"fields": ("available", "held", "spent", "statement")}),
        ("At work", {"fields": ("is_staff", "is_superuser", "groups")}),
        ("Times", {"fields": ("created_at", "last_login", "erase_at", "erased_at")}),
    )
    ROLES = ("is_staff", "is_superuser", "groups")
    FACTS = (
        *("email", "name", "public_id", "is_guest", "available", "held", "spent", "statement"),
        *("created_at", "last_login", "erase_at", "erased_at"),
    )

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
        for quota in formset.save(commit=False):
            save_quota(request, quota)


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


# --- The log --------------------------------------------------------------------------------------


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
