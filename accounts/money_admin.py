"""The operators' pages that move money: each by its verb, with a reason, above a threshold with a second person."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from allauth.account.decorators import reauthentication_required
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse

from accounts import approvals, ledger
from accounts.errors import InvalidInput, ServiceError
from accounts.models import MoneyRequest, Transfer, User
from accounts.money import parse_usd
from accounts.readonly_admin import ReadOnlyAdmin
from accounts.templatetags.plantain import usd


class MoneyForm(forms.Form):
    """An amount in USD, why, and a token that makes the second click of a double click the same transfer."""

    allow_negative = False

    amount = forms.CharField(label="Amount in USD", max_length=20, help_text="Such as 5.00.")
    reason = forms.CharField(max_length=200, help_text="The person reads it in their statement.")
    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def clean_amount(self) -> int:
        try:
            return parse_usd(self.cleaned_data["amount"], allow_negative=self.allow_negative)
        except InvalidInput as error:
            raise ValidationError(error.message) from None


class AdjustmentForm(MoneyForm):
    """A correction, which may take away."""

    allow_negative = True

    amount = forms.CharField(label="Amount in USD", max_length=20, help_text="Such as 5.00; -5.00 takes away.")


class DecisionForm(forms.Form):
    """Why somebody approves or declines; which of the two says the button."""

    reason = forms.CharField(max_length=200, help_text="Stands beside the request for good.")


@dataclass(frozen=True, kw_only=True)
class MoneyPage:
    """The words of a page that moves money, and where it leads back to."""

    title: str
    lede: str
    button: str
    done: str
    back: str


class MoneyPages(admin.ModelAdmin):
    """What moves money from an object's page: permission, a fresh sign-in, the form, the note in the log."""

    def has_money_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(approvals.PERMISSION)

    def money_path(self, route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        """A page for whoever may move money and has proved who they are just now."""

        def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if not self.has_money_permission(request):
                raise PermissionDenied
            return view(request, **kwargs)

        return path(route, self.admin_site.admin_view(reauthentication_required(guarded)), name=f"accounts_{name}")

    def money_view(
        self,
        request: HttpRequest,
        original: Model,
        form: MoneyForm,
        page: MoneyPage,
        act: Callable[..., Transfer | MoneyRequest],
    ) -> HttpResponse:
        """Show the form; when it is sent, call the verb and lead back."""
        if request.method == "POST" and form.is_valid() and self._move(request, original, form, page, act):
            return redirect(page.back)
        return self.render_money(request, original, form, page)

    def render_money(
        self, request: HttpRequest, original: Model, form: forms.Form, page: MoneyPage, **more: object
    ) -> HttpResponse:
        site = self.admin_site.each_context(request)
        site |= {"threshold": approvals.threshold_micros()}
        context = {**site, "title": page.title, "opts": self.opts, "original": original, "form": form, "page": page}
        return render(request, "admin/accounts/money_form.html", {**context, **more})

    def _move(
        self,
        request: HttpRequest,
        original: Model,
        form: MoneyForm,
        page: MoneyPage,
        act: Callable[..., Transfer | MoneyRequest],
    ) -> bool:
        amount, reason = form.cleaned_data["amount"], form.cleaned_data["reason"]
        token = form.cleaned_data["token"]
        try:
            with transaction.atomic():
                is_new = not approvals.was_sent(token)
                made = act(amount_micros=amount, actor=request.user, reason=reason, token=token)
                waits = isinstance(made, MoneyRequest)
                if is_new:
                    said = f"Asked for a second person: {page.button.lower()}" if waits else page.done
                    self.log_change(request, original, f"{said} {usd(amount)}: {reason}")
        except ServiceError as error:
            for problem in error.errors:
                place = problem.field.removesuffix("_micros")
                form.add_error(place if place in form.fields else None, problem.message)
            if not error.errors:
                form.add_error(None, error.message)
            return False
        if waits:
            self.message_user(request, f"{usd(amount)} waits for a second person to approve it.", messages.WARNING)
        else:
            self.message_user(request, f"{page.done} {usd(amount)}.")
        return True


class MoneyOfAPerson(MoneyPages):
    """The two verbs on a person's wallet, from the list and from the person's page."""

    actions = ("grant_to_selected",)

    @admin.action(description="Grant credit", permissions=["money"])
    def grant_to_selected(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        if len(queryset) != 1:
            self.message_user(request, "Credit is granted to one person at a time.", messages.ERROR)
            return None
        return redirect("admin:accounts_user_grant", queryset[0].pk)

    def get_urls(self) -> list[URLPattern]:
        pages = [
            self.money_path("<int:pk>/grant/", self.grant_view, "user_grant"),
            self.money_path("<int:pk>/adjust/", self.adjust_view, "user_adjust"),
        ]
        return [*pages, *super().get_urls()]

    def grant_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Money from outside into a wallet."""
        user, available = self._person(request, pk)
        page = MoneyPage(
            title=f"Grant credit to {user.email}",
            lede=f"{user.email} has {available} available. The amount is theirs at once, and is not edited afterwards.",
            button="Grant credit",
            done="Granted",
            back=reverse("admin:accounts_user_change", args=[pk]),
        )
        return self.money_view(
            request, user, MoneyForm(request.POST or None), page, partial(approvals.grant, user=user)
        )

    def adjust_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A correction in either direction."""
        user, available = self._person(request, pk)
        page = MoneyPage(
            title=f"Adjust the balance of {user.email}",
            lede=f"{user.email} has {available} available. An adjustment is a transfer that makes good for a mistake; "
            "what was written before stays. More than is available cannot be taken away.",
            button="Adjust",
            done="Adjusted by",
            back=reverse("admin:accounts_user_change", args=[pk]),
        )
        form = AdjustmentForm(request.POST or None)
        return self.money_view(request, user, form, page, partial(approvals.adjust, user=user))

    def _person(self, request: HttpRequest, pk: int) -> tuple[User, str]:
        user = self.get_queryset(request).filter(pk=pk).first()
        if user is None:
            raise Http404
        return user, usd(ledger.balance_of(user).available)


# --- What waits for a second person ---------------------------------------------------------------


class StateFilter(admin.SimpleListFilter):
    """What waits, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("approved", "Approved"), ("declined", "Declined")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "Waiting"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[MoneyRequest]) -> QuerySet[MoneyRequest]:
        if self.value():
            return queryset.filter(decision__is_approved=self.value() == "approved")
        return queryset.filter(decision__isnull=True)


@admin.register(MoneyRequest)
class MoneyRequestAdmin(MoneyPages, ReadOnlyAdmin):
    """Grants, refunds and adjustments above the threshold: who asked for what, and who has decided."""

    list_display = ("created_at", "verb", "amount", "person", "reason", "asked_by", "state")
    list_filter = (StateFilter, "verb")
    list_select_related = ("wallet__owner", "asked_by", "decision__decided_by")
    fields = ("created_at", "verb", "amount", "person", "capture", "reason", "asked_by", "state", "decided", "why")
    ordering = ("-created_at",)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whoever may decide may look, also where the group is older than this list."""
        return super().has_view_permission(request, obj) or self.has_money_permission(request)

    @admin.display(ordering="amount_micros", description="amount")
    def amount(self, wish: MoneyRequest) -> str:
        return usd(wish.amount_micros)

    @admin.display(description="person")
    def person(self, wish: MoneyRequest) -> str:
        return str(wish.wallet.owner)

    @admin.display(description="state")
    def state(self, wish: MoneyRequest) -> str:
        decision = getattr(wish, "decision", None)
        if decision is None:
            return "Waiting"
        return f"{'Approved' if decision.is_approved else 'Declined'} by {decision.decided_by}"

    @admin.display(description="decided at")
    def decided(self, wish: MoneyRequest) -> object:
        return wish.decision.created_at if hasattr(wish, "decision") else "-"

    @admin.display(description="reason of the decision")
    def why(self, wish: MoneyRequest) -> str:
        return wish.decision.reason if hasattr(wish, "decision") else "-"

    def get_urls(self) -> list[URLPattern]:
        return [self.money_path("<uuid:pk>/decide/", self.decide_view, "moneyrequest_decide"), *super().get_urls()]

    def decide_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Approve, which does it, or decline."""
        wish = approvals.find_request(pk)
        if wish is None:
            raise Http404
        form = DecisionForm(request.POST or None)
        choice = request.POST.get("decision", "")
        if choice in ("approve", "decline") and form.is_valid() and self._decide(request, wish, form, choice):
            return redirect("admin:accounts_moneyrequest_changelist")
        page = MoneyPage(
            title=f"{wish.get_verb_display()} of {usd(wish.amount_micros)} for {wish.wallet.owner}",
            lede=f"{wish.asked_by} has asked for it: {wish.reason}",
            button="Approve",
            done="Approved",
            back=reverse("admin:accounts_moneyrequest_change", args=[pk]),
        )
        may_decide = wish.asked_by_id != request.user.pk and not hasattr(wish, "decision")
        return self.render_money(request, wish, form, page, is_decision=True, may_decide=may_decide)

    def _decide(self, request: HttpRequest, wish: MoneyRequest, form: DecisionForm, choice: str) -> bool:
        is_approved, reason = choice == "approve", form.cleaned_data["reason"]
        try:
            with transaction.atomic():
                approvals.decide(request=wish, actor=cast("User", request.user), is_approved=is_approved, reason=reason)
                done = "Approved" if is_approved else "Declined"
                self.log_change(request, wish, f"{done}: {reason}")
        except ServiceError as error:
            form.add_error(None, error.message)
            return False
        self.message_user(request, f"{done}: {wish.verb} of {usd(wish.amount_micros)} for {wish.wallet.owner}.")
        return True
