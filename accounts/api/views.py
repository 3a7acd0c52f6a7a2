"""REST for API keys: parse, call one service, render. The statement is in statements.py."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import keys
from accounts.api.authentication import caller, key_of
from accounts.api.serializers import ApiKeySerializer, IssuedKeySerializer, NewKeySerializer
from accounts.models import ApiKey


class ApiKeyList(ListAPIView):
    """The caller's keys that were not revoked, newest first; their secrets are nowhere."""

    required_scopes = {"GET": "account", "POST": "account"}
    serializer_class = ApiKeySerializer

    def get_queryset(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.filter(user=caller(self.request), revoked_at=None)

    @extend_schema(operation_id="api_keys_list")
    def get(self, request: Request) -> Response:
        """The caller's keys that were not revoked, newest first; the secrets are never shown again."""
        return self.list(request)

    @extend_schema(operation_id="api_keys_create", request=NewKeySerializer, responses={201: IssuedKeySerializer})
    def post(self, request: Request) -> Response:
        """Make a key. Its text is in this answer and nowhere else; a key makes none with scopes it has not itself."""
        wish = NewKeySerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        issued = keys.create_key(user=caller(request), issuer=key_of(request), **wish.validated_data)
        body = {**ApiKeySerializer(issued.api_key).data, "key": issued.secret}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})


class ApiKeyDetail(APIView):
    required_scopes = {"DELETE": "account"}

    @extend_schema(operation_id="api_keys_revoke", responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: it is refused from the next request on. A second time answers the same."""
        keys.revoke_key(user=caller(request), key_id=key_id)
        return Response(status=204)
