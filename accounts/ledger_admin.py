"""The operators' pages of the ledger: to read. Nothing here edits or deletes a row; a capture can be refunded."""

import uuid
from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, reverse

from accounts import approvals
from accounts.models import Entry, KeyBudget, LedgerAccount, Transfer, User
from accounts.money import format_usd
from accounts.money_admin import MoneyForm, MoneyPage, MoneyPages
from accounts.readonly_admin import ReadOnlyAdmin
from accounts.templatetags.plantain import usd


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
class TransferAdmin(MoneyPages, ReadOnlyAdmin):
    """To look at, and to refund what was captured."""

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

    def get_urls(self) -> list[URLPattern]:
        return [self.money_path("<uuid:pk>/refund/", self.refund_view, "transfer_refund"), *super().get_urls()]

    def refund_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Give back all of a capture, or a part."""
        captures = Transfer.objects.select_related("debit__owner", "hold").filter(kind=Transfer.Kind.POST)
        capture = captures.filter(pk=pk, debit__owner__isnull=False).first()
        if capture is None:
            raise Http404
        owner = cast("User", capture.debit.owner)
        refunded = capture.refunded_by.aggregate(total=Sum("amount_micros", default=0))["total"]
        page = MoneyPage(
            title=f"Refund {owner.email}",
            lede=f"{owner.email} paid {usd(capture.amount_micros, 3)}, of which {usd(refunded, 3)} is refunded. "
            "A refund is a transfer of its own; the capture stays as it is.",
            button="Refund",
            done="Refunded",
            back=reverse("admin:accounts_transfer_change", args=[pk]),
        )
        form = MoneyForm(request.POST or None, initial={"amount": format_usd(capture.amount_micros - refunded)})
        return self.money_view(request, capture, form, page, partial(approvals.refund, capture=capture))


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


@admin.register(KeyBudget)
class KeyBudgetAdmin(ReadOnlyAdmin):
    """What API keys with a budget hold and have spent, period by period."""

    list_display = ("id", "wallet", "held", "spent", "created_at")
    list_select_related = ("wallet",)
    search_fields = ("id__startswith",)
    fields = ("id", "wallet", "held", "spent", "version", "created_at")
    ordering = ("-created_at",)

    @admin.display(ordering="held_micros", description="held")
    def held(self, budget: KeyBudget) -> str:
        return usd(budget.held_micros, 3)

    @admin.display(ordering="spent_micros", description="spent")
    def spent(self, budget: KeyBudget) -> str:
        return usd(budget.spent_micros, 3)
