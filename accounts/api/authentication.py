"""Who asks, and whether the key may: API keys in any of three headers, and the scopes that a view declares."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import keys
from accounts.errors import NotAuthenticated
from accounts.models import ApiKey, User

if TYPE_CHECKING:  # APIView itself imports this module, as the default of its authentication classes
    from rest_framework.views import APIView

CHALLENGE = 'Bearer realm="plantain"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`, `Authorization: KEY` or `x-goog-api-key: KEY`; request.auth is the ApiKey.

    A key that is sent and bad is refused even where a session would do: the caller meant to use it. Without any key
    the next class is asked.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        if "key" in request.query_params:
            raise NotAuthenticated(
                "A key in the address is not accepted: addresses end in logs, histories and referrers.",
                remedy="Send it as 'Authorization: Bearer KEY' or 'x-goog-api-key: KEY', and replace the key if it is "
                "real.",
            )
        sent = {
            _bare(value) if name == "Authorization" else value.strip()
            for name in ("Authorization", "x-goog-api-key")
            if (value := request.headers.get(name)) is not None
        }
        if not sent:
            return None
        if len(sent) > 1:
            raise NotAuthenticated("Two different keys were sent in one request.", remedy="Send one of them.")
        api_key = keys.authenticate(sent.pop())
        return api_key.user, api_key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class HasScope(BasePermission):
    """A key needs the scope that the view declares; a session has every scope of its person's role.

    `required_scopes` on a view is one scope for every method, or a scope for each: {"GET": "read", "POST": "generate"}.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not request.user.is_authenticated:
            return False
        scope = _required_scope(request, view)
        if scope is None:
            return True
        if scope not in keys.scopes_of_role(request.user):
            self.message = f"This needs the scope '{scope}', which is for staff only."
            return False
        self.message = f"This API key has not the scope '{scope}'."
        return not isinstance(request.auth, ApiKey) or scope in keys.granted_scopes(request.auth)


def caller(request: Request) -> User:
    """Who sent a request that HasScope has let pass."""
    assert isinstance(request.user, User)
    return request.user


def key_of(request: Request) -> ApiKey | None:
    """The key that the caller came with; None in a session."""
    return request.auth if isinstance(request.auth, ApiKey) else None


def _bare(header: str) -> str:
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else header.strip()


def _required_scope(request: Request, view: "APIView") -> str | None:
    """The scope that this call needs; None where there is nothing to guard."""
    declared = getattr(view, "required_scopes", None)
    method = "GET" if request.method == "HEAD" else request.method or ""
    if isinstance(declared, str):
        return declared
    if declared is not None and method in declared:
        return declared[method]
    if method == "OPTIONS" or not hasattr(view, method.lower()):
        return None  # there is no such verb here, and the answer 405 says so
    # A view that forgot to say must not be open to every key.
    raise ImproperlyConfigured(f"{type(view).__name__} declares no scope for {method}")


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document speaks of our keys."""

    target_class = "accounts.api.authentication.ApiKeyAuthentication"
    name = ["bearer", "googleHeader"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # either of them; one object with both names would ask for both

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "An API key; also without the word Bearer."},
            {"type": "apiKey", "in": "header", "name": "x-goog-api-key", "description": "The same API key."},
        ]
