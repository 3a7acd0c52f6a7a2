"""REST for API keys: parse, call one service, render. The statement is in statements.py."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import keys, ledger
from accounts.api.authentication import caller, key_of
from accounts.api.serializers import ApiKeySerializer, IssuedKeySerializer, KeyChangeSerializer, NewKeySerializer
from accounts.limits import KEY_MEASURES
from accounts.models import ApiKey


def key_bodies(api_keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
    """The keys with their budgets, which are one query for all of them."""
    context = {"budgets": ledger.budgets_of(api_keys)}
    return [ApiKeySerializer(api_key, context=context).data for api_key in api_keys]


class ApiKeyList(ListAPIView):
    """The caller's keys that were not revoked, newest first; their secrets are nowhere."""

    required_scopes = {"GET": "account", "POST": "account"}
    serializer_class = ApiKeySerializer

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.filter(user=caller(self.request), revoked_at=None)

    @extend_schema(operation_id="api_keys_list")
    def get(self, request: Request) -> Response:
        """The caller's keys that were not revoked, newest first; the secrets are never shown again."""
        page = self.paginate_queryset(self.get_queryset())
        assert page is not None, "every list has pages"
        return self.get_paginated_response(key_bodies(page))

    @extend_schema(operation_id="api_keys_create", request=NewKeySerializer, responses={201: IssuedKeySerializer})
    def post(self, request: Request) -> Response:
        """Make a key. Its text is in this answer and nowhere else; a key makes none with scopes it has not itself."""
        wish = NewKeySerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        wished = {**wish.validated_data}
        limits = {name: wished.pop(name) for name in KEY_MEASURES}
        issued = keys.create_key(user=caller(request), issuer=key_of(request), limits=limits, **wished)
        body = {**key_bodies([issued.api_key])[0], "key": issued.secret}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})


class ApiKeyDetail(APIView):
    required_scopes = {"PATCH": "account", "DELETE": "account"}

    @extend_schema(operation_id="api_keys_update", request=KeyChangeSerializer, responses=ApiKeySerializer)
    def patch(self, request: Request, key_id: str) -> Response:
        """Rename a key or change its budget or limits: null lifts one. It counts from the key's next request on."""
        wish = KeyChangeSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        wished = {**wish.validated_data}
        limits = {name: wished.pop(name) for name in KEY_MEASURES if name in wished}
        api_key = keys.update_key(user=caller(request), key_id=key_id, issuer=key_of(request), limits=limits, **wished)
        return Response(key_bodies([api_key])[0])

    @extend_schema(operation_id="api_keys_revoke", responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: it is refused from the next request on. A second time answers the same."""
        keys.revoke_key(user=caller(request), key_id=key_id)
        return Response(status=204)
