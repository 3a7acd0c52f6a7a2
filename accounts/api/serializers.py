"""The JSON of keys, statement lines and accounts (CONTRACT 5). Amounts are strings in USD beside integer micros."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import ledger, quotas
from accounts.errors import FieldError, InvalidInput
from accounts.keys import DEFAULT_SCOPES, MAX_NAME_CHARS, SCOPES
from accounts.limits import KEY_MEASURES, UNLIMITED
from accounts.models import ApiKey, Plan, User
from accounts.usage import Usage


def iso_utc(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


@extend_schema_field({"type": "string", "nullable": True})
class BudgetField(serializers.Field):
    """One figure of a key's budget, which the view has read for all keys at once; null for a key without."""

    def __init__(self, figure: Callable[[ledger.Budget], str | None], **options: Any) -> None:
        self.figure = figure
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, api_key: ApiKey) -> str | None:
        budget = self.context["budgets"].get(api_key.pk)
        return None if budget is None else self.figure(budget)


class ApiKeySerializer(serializers.ModelSerializer):
    """A key without its secret."""

    id = serializers.UUIDField(source="public_id")
    prefix = serializers.SerializerMethodField(help_text="How the key begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))
    budget = BudgetField(lambda budget: ledger.format_usd(budget.limit), help_text="What it may spend; null: no limit.")
    budget_period = BudgetField(lambda budget: budget.period, help_text="total, or month: a calendar month in UTC.")
    budget_spent = BudgetField(lambda budget: ledger.format_usd(budget.spent), help_text="In this period.")
    budget_held = BudgetField(lambda budget: ledger.format_usd(budget.held), help_text="By work that has not ended.")
    budget_left = BudgetField(lambda budget: ledger.format_usd(budget.left), help_text="What it may still ask for.")
    budget_resets_at = BudgetField(lambda budget: iso_utc(budget.resets_at), help_text="When a month begins again.")

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "prefix",
            "last_four",
            "scopes",
            "created_at",
            "expires_at",
            "last_used_at",
            *KEY_MEASURES,
            "budget",
            "budget_period",
            "budget_spent",
            "budget_held",
            "budget_left",
            "budget_resets_at",
        )
        read_only_fields = fields

    def get_prefix(self, api_key: ApiKey) -> str:
        return f"nbk_live_{api_key.lookup}"


class IssuedKeySerializer(ApiKeySerializer):
    """A key that was just made, with its text, which is never shown again."""

    key = serializers.CharField()

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")
        read_only_fields = fields


@extend_schema_field(OpenApiTypes.STR)
class AmountField(serializers.Field):
    """A string in USD, as micros; a number is refused, because one with a fraction has been rounded on its way."""

    def to_internal_value(self, data: object) -> int:
        if not isinstance(data, str):
            raise serializers.ValidationError('An amount is a string in USD, such as "12.50".')
        try:
            return ledger.parse_usd(data)
        except InvalidInput as error:
            raise serializers.ValidationError(error.message) from None


class KeyLimitField(serializers.IntegerField):
    """A limit of the key's own, null for none; a whole number and nothing that could be read as one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=UNLIMITED - 1, allow_null=True, **options)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer):
    """A field that it does not know is refused by name."""

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        unknown = [name for name in data if name not in self.fields]
        if unknown:
            allowed = ", ".join(self.fields)
            raise InvalidInput(
                f"There is no field {unknown[0]!r}; there are {allowed}.",
                errors=tuple(FieldError(name, f"Unknown field; there are {allowed}.") for name in unknown),
            )
        return super().to_internal_value(data)


class NewKeySerializer(StrictSerializer):
    """The key that is asked for."""

    name = serializers.CharField(max_length=MAX_NAME_CHARS, default="API key")
    scopes = serializers.ListField(child=serializers.CharField(max_length=20), default=list(DEFAULT_SCOPES))
    expires_at = serializers.DateTimeField(allow_null=True, default=None)
    images_per_day = KeyLimitField(default=None)
    images_per_month = KeyLimitField(default=None)
    concurrent = KeyLimitField(default=None)
    requests_per_minute = KeyLimitField(default=None)
    budget = AmountField(source="budget_micros", allow_null=True, default=None)
    budget_period = serializers.ChoiceField(ApiKey.Period.choices, allow_null=True, default=None)


class KeyChangeSerializer(StrictSerializer):
    """What of a key is to change; what is not named stays."""

    name = serializers.CharField(max_length=MAX_NAME_CHARS, required=False)
    images_per_day = KeyLimitField(required=False)
    images_per_month = KeyLimitField(required=False)
    concurrent = KeyLimitField(required=False)
    requests_per_minute = KeyLimitField(required=False)
    budget = AmountField(source="budget_micros", allow_null=True, required=False)
    budget_period = serializers.ChoiceField(ApiKey.Period.choices, required=False)


@extend_schema_field(OpenApiTypes.STR)
class UsdField(serializers.Field):
    """Micros, shown as a string in USD with six places."""

    def to_representation(self, value: int) -> str:
        return ledger.format_usd(value)


class EntrySerializer(serializers.Serializer):
    """One line of the statement, as statement.lines_of annotates it.

    A hold moves its amount from available to held; a capture takes it from held; a release moves it back.
    """

    id = serializers.UUIDField(source="transfer_id")
    kind = serializers.CharField(source="transfer.kind", help_text="direct, pending, post or void")
    code = serializers.CharField(
        source="transfer.code", help_text="grant, topup, hold, capture, release, refund, adjustment, expiry"
    )
    amount = UsdField(source="transfer.amount_micros", help_text="What was moved or held; 0 for a release")
    amount_micros = serializers.IntegerField(source="transfer.amount_micros")
    available_change = UsdField()
    available_change_micros = serializers.IntegerField(source="available_change")
    available_after = UsdField()
    available_after_micros = serializers.IntegerField(source="available_after")
    held_change = UsdField(source="pending_delta")
    held_change_micros = serializers.IntegerField(source="pending_delta")
    held_after = UsdField(source="pending_after")
    held_after_micros = serializers.IntegerField(source="pending_after")
    currency = serializers.CharField(source="account.currency")
    reference = serializers.CharField(source="transfer.reference", help_text="The id of the generation, if any")
    reason = serializers.CharField(source="transfer.reason")
    api_key = serializers.UUIDField(allow_null=True, help_text="The key that asked for the job, if one did")
    created_at = serializers.DateTimeField()


class StatementBalanceSerializer(serializers.Serializer):
    """What was posted and what of it was held; available is the difference."""

    posted = serializers.CharField(help_text="USD, six places")
    held = serializers.CharField()
    available = serializers.CharField()
    posted_micros = serializers.IntegerField()
    held_micros = serializers.IntegerField()
    available_micros = serializers.IntegerField()


class StatementLineSerializer(serializers.Serializer):
    """One line, with the balance after it."""

    line = serializers.IntegerField(help_text="Numbered without gaps.")
    created_at = serializers.DateTimeField(help_text="In the time zone of the period.")
    kind = serializers.CharField(help_text="grant, hold, capture, release, refund")
    posted_change = serializers.CharField()
    posted_change_micros = serializers.IntegerField()
    held_change = serializers.CharField()
    held_change_micros = serializers.IntegerField()
    balance = StatementBalanceSerializer()
    job = serializers.CharField(allow_null=True, help_text="The id of the generation, if any")
    price = serializers.IntegerField(allow_null=True, help_text="The price row that was in force for it")
    transfer = serializers.UUIDField()
    reason = serializers.CharField()
    api_key = serializers.UUIDField(allow_null=True, help_text="The key that asked for the job, if one did")


class PeriodSerializer(serializers.Serializer):
    """Days, the last one included; null is open on that side."""

    to = serializers.DateField(allow_null=True)
    time_zone = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field]:
        return {"from": serializers.DateField(allow_null=True), **super().get_fields()}


class StatementSerializer(serializers.Serializer):
    """The statement of a period: opening balance, every line from the oldest on, closing balance."""

    account = serializers.UUIDField()
    currency = serializers.CharField()
    period = PeriodSerializer()
    made_at = serializers.DateTimeField()
    api_key = serializers.UUIDField(allow_null=True, help_text="The key whose lines these are; null: all lines")
    opening = StatementBalanceSerializer(allow_null=True, help_text="null with api_key: balances follow from all lines")
    closing = StatementBalanceSerializer(allow_null=True)
    lines = StatementLineSerializer(many=True)


class DayUsageSerializer(serializers.Serializer):
    day = serializers.DateField()
    model = serializers.CharField()
    unit = serializers.CharField(help_text="image or video")
    pictures = serializers.IntegerField(help_text="That were delivered and charged.")
    spent = serializers.CharField(help_text="USD, less what was refunded on that day")
    spent_micros = serializers.IntegerField()


class UsageSerializer(serializers.Serializer):
    """Only days on which something was charged or refunded are listed."""

    period = PeriodSerializer()
    pictures = serializers.IntegerField()
    spent = serializers.CharField()
    spent_micros = serializers.IntegerField()
    currency = serializers.CharField()
    days = DayUsageSerializer(many=True)


def usage_body(usage: Usage) -> dict[str, Any]:
    """What UsageSerializer describes."""
    return {
        "period": {"from": usage.period.start, "to": usage.period.last_day, "time_zone": usage.period.zone_name},
        "pictures": usage.pictures,
        "spent": ledger.format_usd(usage.spent),
        "spent_micros": usage.spent,
        "currency": "USD",
        "days": [
            {
                "day": day.day,
                "model": day.model,
                "unit": day.unit,
                "pictures": day.pictures,
                "spent": ledger.format_usd(day.spent),
                "spent_micros": day.spent,
            }
            for day in usage.days
        ],
    }


def account_body(user: User, *, plan: Plan, limits: Sequence[quotas.LimitState]) -> dict[str, Any]:
    """The Account of CONTRACT 5; `plan` is the one in force, `limits` what quotas.describe_standing says."""
    balance = ledger.balance_of(user)
    return {
        "id": str(user.public_id),
        "email": user.email,
        "name": user.name,
        "plan": plan.name,
        "balance": {
            "available": ledger.format_usd(balance.available),
            "held": ledger.format_usd(balance.held),
            "spent": ledger.format_usd(balance.spent),
            "currency": "USD",
        },
        "limits": limit_bodies(limits),
        "created_at": iso_utc(user.created_at),
    }


def limit_bodies(limits: Sequence[quotas.LimitState]) -> list[dict[str, Any]]:
    return [
        {
            "name": state.name,
            "source": state.source,
            "limit": state.limit,
            "used": state.used,
            "remaining": state.remaining,
            "resets_at": iso_utc(state.resets_at),
        }
        for state in limits
    ]
