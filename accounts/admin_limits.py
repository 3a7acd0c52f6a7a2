"""The operators' pages about limits: plans, groups' plans, one person's exceptions, and the whole site."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts import quotas
from accounts.errors import InvalidInput
from accounts.fields import WholeNumberField
from accounts.limits import MAX_REASON_CHARS, check_limits
from accounts.models import GroupPlan, Plan, Quota, SiteLimits
from accounts.money import format_usd, parse_usd
from accounts.templatetags.plantain import usd

LIMITS = quotas.MEASURES


class LimitsForm(forms.ModelForm):
    """Limits in the words of the verb that will write them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in LIMITS:
            old = self.fields[name]
            self.fields[name] = WholeNumberField(
                label=old.label, help_text=old.help_text, widget=old.widget, required=False
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        try:
            check_limits({name: cleaned.get(name) for name in LIMITS})
        except InvalidInput as error:
            for problem in error.errors:
                self.add_error(problem.field, problem.message)
        return cleaned


# --- One person -----------------------------------------------------------------------------------


class QuotaForm(LimitsForm):
    """What is left as it was is not asked about again: the page is also saved for the sake of its other fields."""

    reason = forms.CharField(
        max_length=MAX_REASON_CHARS,
        required=False,
        help_text="Why; it is kept with who did it and what was before.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        label="Until",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        help_text="In UTC; from then on the plan's limits are in force again. Empty for no end.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in LIMITS:
            self.fields[name].help_text = f"Empty for the plan's, {quotas.unlimited(name)} for no limit."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.has_changed():
            return cleaned
        if not cleaned.get("reason") and "reason" not in self.errors:
            self.add_error("reason", "Say why: it is kept.")
        ends_at = cleaned.get("expires_at")
        if ends_at is not None and ends_at <= timezone.now():
            self.add_error("expires_at", "This moment has passed; name a time to come, or none.")
        return cleaned


class QuotaInline(admin.StackedInline):
    model = Quota
    form = QuotaForm
    fields = (*LIMITS, "reason", "expires_at", "set_by", "updated_at")
    readonly_fields = ("set_by", "updated_at")
    max_num = 1
    can_delete = False
    verbose_name = verbose_name_plural = "limits of their own"


def save_quota(request: HttpRequest, quota: Quota) -> None:
    """Write an inline's row by the verb; the formset only says what was asked for."""
    quotas.override_limits(
        user=quota.user,
        actor=str(request.user.public_id),  # type: ignore[union-attr]  # admin_view lets only people in
        reason=quota.reason,
        expires_at=quota.expires_at,
        **{name: getattr(quota, name) for name in LIMITS},
    )


# --- Plans ----------------------------------------------------------------------------------------


class PlanForm(LimitsForm):
    credit = forms.CharField(
        label="Credit a month in USD",
        max_length=20,
        required=False,
        help_text="Granted once for each calendar month (UTC) to everybody whose plan it is; empty for none.",
    )

    class Meta:
        model = Plan
        fields = ("name", "rank", *LIMITS)
        help_texts = {"rank": "Of somebody's own plan and their groups' the one with the highest rank is in force."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if micros := self.instance.monthly_credit_micros:
            self.initial["credit"] = format_usd(micros)

    def clean_credit(self) -> str:
        text = self.cleaned_data["credit"]
        try:
            self.instance.monthly_credit_micros = (parse_usd(text) if text else 0) or None
        except InvalidInput as error:
            raise forms.ValidationError(error.message) from None
        return text


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):
    form = PlanForm
    fields = ("name", "rank", *LIMITS, "credit")
    list_display = ("name", "rank", *LIMITS, "monthly_credit")
    ordering = ("rank", "name")
    show_full_result_count = False

    @admin.display(ordering="monthly_credit_micros", description="credit a month")
    def monthly_credit(self, plan: Plan) -> str:
        return usd(plan.monthly_credit_micros) if plan.monthly_credit_micros else "-"

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A plan in use is not deleted; who uses it is counted, not listed by the thousand."""
        if held := [text for plan in objs if (text := _in_use(plan))]:
            return [], {}, set(), held
        return super().get_deleted_objects(objs, request)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except (ProtectedError, IntegrityError):  # somebody got the plan after the page had asked
            return self._refuse(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().changelist_view(request, extra_context)
        except (ProtectedError, IntegrityError):
            return self._refuse(request)

    def _refuse(self, request: HttpRequest) -> HttpResponse:
        self.message_user(request, "Nothing was deleted: somebody is on this plan by now.", messages.ERROR)
        return redirect("admin:accounts_plan_changelist")


def _in_use(plan: Plan) -> str:
    people, groups = plan.users.count(), plan.group_plans.count()
    if not people and not groups:
        return ""
    held = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((people, "account"), (groups, "group"))
        if count
    ]
    return f"The {plan.name} plan is that of {' and '.join(held)}: give them another one first."


class GroupPlanInline(admin.StackedInline):
    model = GroupPlan
    max_num = 1
    verbose_name = verbose_name_plural = "plan of its members, unless their own is higher in rank"


# --- The site -------------------------------------------------------------------------------------


class SiteLimitsForm(LimitsForm):
    reason = forms.CharField(max_length=MAX_REASON_CHARS, help_text="Why; it is kept with who did it.")

    class Meta:
        model = SiteLimits
        fields = LIMITS


@admin.register(SiteLimits)
class SiteLimitsAdmin(admin.ModelAdmin):
    """One row, for everybody together; an empty limit limits and costs nothing."""

    form = SiteLimitsForm
    fields = (*LIMITS, "reason", "updated_at")
    readonly_fields = ("updated_at",)
    list_display = ("__str__", *LIMITS, "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SiteLimits]:
        return super().get_queryset(request).order_by("pk")

    def save_model(self, request: HttpRequest, obj: SiteLimits, form: Any, change: bool) -> None:
        quotas.limit_site(
            actor=str(request.user.public_id),  # type: ignore[union-attr]  # admin_view lets only people in
            reason=form.cleaned_data["reason"],
            **{name: getattr(obj, name) for name in LIMITS},
        )
