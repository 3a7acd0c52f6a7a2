"""The JSON of keys, statement lines and accounts (CONTRACT 5). Amounts are strings in USD beside integer micros."""

from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import ledger, quotas
from accounts.errors import FieldError, InvalidInput
from accounts.keys import DEFAULT_SCOPES, MAX_NAME_CHARS, SCOPES
from accounts.limits import KEY_MEASURES, UNLIMITED
from accounts.models import ApiKey, Plan, User


class ApiKeySerializer(serializers.ModelSerializer):
    """A key without its secret."""

    id = serializers.UUIDField(source="public_id")
    prefix = serializers.SerializerMethodField(help_text="How the key begins.")
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))

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


class KeyLimitField(serializers.IntegerField):
    """A limit of the key's own, null for none; a whole number and nothing that could be read as one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=UNLIMITED - 1, allow_null=True, **options)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class NewKeySerializer(serializers.Serializer):
    """What is asked for; a field that it does not know is refused by name."""

    name = serializers.CharField(max_length=MAX_NAME_CHARS, default="API key")
    scopes = serializers.ListField(child=serializers.CharField(max_length=20), default=list(DEFAULT_SCOPES))
    expires_at = serializers.DateTimeField(allow_null=True, default=None)
    images_per_day = KeyLimitField(default=None)
    images_per_month = KeyLimitField(default=None)
    concurrent = KeyLimitField(default=None)
    requests_per_minute = KeyLimitField(default=None)

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        unknown = [name for name in data if name not in self.fields]
        if unknown:
            allowed = ", ".join(self.fields)
            raise InvalidInput(
                f"There is no field {unknown[0]!r}; there are {allowed}.",
                errors=tuple(FieldError(name, f"Unknown field; there are {allowed}.") for name in unknown),
            )
        return super().to_internal_value(data)


@extend_schema_field(OpenApiTypes.STR)
class UsdField(serializers.Field):
    """Micros, shown as a string in USD with six places."""

    def to_representation(self, value: int) -> str:
        return ledger.format_usd(value)


class EntrySerializer(serializers.Serializer):
    """One line of the statement, as LedgerList annotates it.

    A hold moves its amount from available to held; a capture takes it from held; a release moves it back.
    """

    id = serializers.UUIDField(source="transfer_id")
    kind = serializers.CharField(source="transfer.kind", help_text="direct, pending, post or void")
    code = serializers.CharField(source="transfer.code", help_text="grant, hold, capture, release, refund")
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
    created_at = serializers.DateTimeField()


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
        "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
    }


def limit_bodies(limits: Sequence[quotas.LimitState]) -> list[dict[str, Any]]:
    return [
        {
            "name": state.name,
            "source": state.source,
            "limit": state.limit,
            "used": state.used,
            "remaining": state.remaining,
            "resets_at": state.resets_at.isoformat().replace("+00:00", "Z") if state.resets_at else None,
        }
        for state in limits
    ]
