"""REST for quotes: parse, call one service, render."""

import math
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import quotas
from accounts.api.authentication import caller, key_of
from accounts.ledger import Budget, format_usd
from generations import quotes
from generations.api.serializers import GenerationRequestSerializer
from generations.models import Generation
from generations.quotes import Effect, Quote
from generations.spec import parse_create_body


class QuotedPriceSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    valid_from = serializers.DateTimeField()
    is_placeholder = serializers.BooleanField(help_text="The operator has not set a price of their own yet.")


class QuotedBalanceSerializer(serializers.Serializer):
    available = serializers.CharField()
    available_micros = serializers.IntegerField()
    held = serializers.CharField()
    held_micros = serializers.IntegerField()
    after = serializers.CharField(help_text="Available after this; below zero when it is not enough.")
    after_micros = serializers.IntegerField()


class QuotedBudgetSerializer(serializers.Serializer):
    limit = serializers.CharField()
    limit_micros = serializers.IntegerField()
    period = serializers.CharField(help_text="total, or month: a calendar month in UTC.")
    spent = serializers.CharField()
    spent_micros = serializers.IntegerField()
    held = serializers.CharField()
    held_micros = serializers.IntegerField()
    after = serializers.CharField(help_text="Left after this; below zero when it is not enough.")
    after_micros = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True)


class QuotedLimitSerializer(serializers.Serializer):
    name = serializers.CharField()
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    used_after = serializers.IntegerField()
    refused = serializers.BooleanField()
    resets_at = serializers.DateTimeField(allow_null=True)


class QuotedHoldSerializer(serializers.Serializer):
    generation = serializers.UUIDField()
    amount = serializers.CharField()
    amount_micros = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    age_s = serializers.IntegerField()
    frees_at = serializers.DateTimeField(help_text="When it is captured or given back at the latest.")


class ReusableSerializer(serializers.Serializer):
    generation = serializers.UUIDField()
    status = serializers.CharField(help_text="succeeded, or queued and running while it is being made")
    created_at = serializers.DateTimeField()
    applied = serializers.BooleanField(help_text="Whether the body's reuse asks for it, so that the total is 0.")


class QuotedUpstreamSerializer(serializers.Serializer):
    available = serializers.BooleanField()
    retry_after_s = serializers.IntegerField(allow_null=True)


class RefusalSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    remedy = serializers.CharField()
    resolves_at = serializers.DateTimeField(allow_null=True, help_text="When that ends by itself at the latest.")


class PolicySerializer(serializers.Serializer):
    action = serializers.CharField(help_text="allow, flag (it would go on, and reviewers see it) or block")
    hits = serializers.ListField(
        child=serializers.DictField(), help_text="Each with rule, version, class, action, field, start and end."
    )


class QuoteSerializer(serializers.Serializer):
    model = serializers.CharField()
    kind = serializers.CharField()
    image_size = serializers.CharField()
    count = serializers.IntegerField()
    unit_price = serializers.CharField(help_text="USD, six places")
    unit_price_micros = serializers.IntegerField()
    total = serializers.CharField()
    total_micros = serializers.IntegerField()
    currency = serializers.CharField()
    price = QuotedPriceSerializer()
    balance = QuotedBalanceSerializer()
    enough = serializers.BooleanField(help_text="Whether the available credit covers the total.")
    budget = QuotedBudgetSerializer(allow_null=True, help_text="The API key's own; null for one without.")
    limits = QuotedLimitSerializer(many=True, help_text="The user's, then the key's and the site's that are set.")
    holds = QuotedHoldSerializer(many=True, help_text="Of the oldest 20 unfinished generations.")
    unfinished = serializers.IntegerField(help_text="Generations that are queued or running.")
    reuse = ReusableSerializer(allow_null=True, help_text="An identical generation whose pictures cost nothing.")
    upstream = QuotedUpstreamSerializer()
    policy = PolicySerializer(help_text="What the prompt filter says.")
    accepted = serializers.BooleanField(help_text="Whether a create with this body would be accepted now.")
    refusals = RefusalSerializer(many=True)


class QuoteCreate(APIView):
    required_scopes = {"POST": "generate"}
    throttle_classes = []  # it is a question, though its body is too long for an address; reading is not counted

    @extend_schema(operation_id="quotes_create", request=GenerationRequestSerializer, responses={200: QuoteSerializer})
    def post(self, request: Request) -> Response:
        """What a create with this body would cost, leave and use up, and why it would be refused; creates nothing."""
        wish = parse_create_body(request.data, default_image_size=settings.DEFAULT_IMAGE_SIZE)
        quote = quotes.quote(
            user=caller(request), api_key=key_of(request), spec=wish.spec, reuse=wish.reuse, parent=wish.parent
        )
        headers = quotas.rate_headers([effect.state for effect in quote.effects])
        return Response(quote_body(quote), headers=headers | {"Cache-Control": "no-store"})


def quote_body(quote: Quote) -> dict[str, Any]:
    """What QuoteSerializer describes."""
    unit_price, total, balance = quote.price.amount_micros, quote.total, quote.balance
    return {
        "model": quote.spec.model,
        "kind": quote.spec.kind,
        "image_size": quote.spec.image_size,
        "count": quote.spec.count,
        "unit_price": format_usd(unit_price),
        "unit_price_micros": unit_price,
        "total": format_usd(total),
        "total_micros": total,
        "currency": quote.price.currency,
        "price": {
            "id": quote.price.pk,
            "valid_from": _moment(quote.price.valid_from),
            "is_placeholder": quote.price.is_placeholder,
        },
        "balance": {
            "available": format_usd(balance.available),
            "available_micros": balance.available,
            "held": format_usd(balance.held),
            "held_micros": balance.held,
            "after": format_usd(quote.after),
            "after_micros": quote.after,
        },
        "enough": quote.is_enough,
        "budget": _budget(quote.budget, total) if quote.budget else None,
        "limits": [_limit(effect) for effect in quote.effects],
        "holds": [_hold(job) for job in quote.jobs if job.hold],
        "unfinished": quote.job_count,
        "reuse": _reusable(quote),
        "upstream": {"available": quote.wait_s <= 0, "retry_after_s": math.ceil(quote.wait_s) or None},
        "policy": quote.verdict.policy(),
        "accepted": not quote.refusals,
        "refusals": [
            {
                "code": refusal.code,
                "message": refusal.message,
                "remedy": refusal.remedy,
                "resolves_at": _moment(refusal.resolves_at),
            }
            for refusal in quote.refusals
        ],
    }


def _budget(budget: Budget, total: int) -> dict[str, Any]:
    after = budget.limit - budget.held - budget.spent - total
    amounts = {"limit": budget.limit, "spent": budget.spent, "held": budget.held, "after": after}
    return {
        **{name: format_usd(micros) for name, micros in amounts.items()},
        **{f"{name}_micros": micros for name, micros in amounts.items()},
        "period": budget.period,
        "resets_at": _moment(budget.resets_at),
    }


def _limit(effect: Effect) -> dict[str, Any]:
    return {
        "name": effect.state.name,
        "limit": effect.state.limit,
        "used": effect.state.used,
        "used_after": effect.used_after,
        "refused": effect.is_refused,
        "resets_at": _moment(effect.state.resets_at),
    }


def _hold(job: Generation) -> dict[str, Any]:
    assert job.hold is not None
    return {
        "generation": str(job.public_id),
        "amount": format_usd(job.hold.amount_micros),
        "amount_micros": job.hold.amount_micros,
        "created_at": _moment(job.hold.created_at),
        "age_s": int((timezone.now() - job.hold.created_at).total_seconds()),
        "frees_at": _moment(job.hold.expires_at),
    }


def _reusable(quote: Quote) -> dict[str, Any] | None:
    if quote.reusable is None:
        return None
    return {
        "generation": str(quote.reusable.public_id),
        "status": quote.reusable.status,
        "created_at": _moment(quote.reusable.created_at),
        "applied": quote.is_reused,
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
