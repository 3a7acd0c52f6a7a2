"""REST for generations, models and the account's own figures: parse, call one service, render."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import quotas
from accounts.api.authentication import caller, key_of
from accounts.api.serializers import account_body, limit_bodies
from accounts.api.throttling import tell
from accounts.errors import InvalidInput
from accounts.ledger import format_usd
from accounts.models import Price
from gallery.api.views import AnyAccept
from gallery.delivery import serve_preview
from generations import catalog, interim, services
from generations.api.bodies import generation_bodies, generation_body
from generations.api.serializers import (
    AccountSerializer,
    GenerationListQuery,
    GenerationRequestSerializer,
    GenerationSerializer,
    LimitSerializer,
    ModelSerializer,
)
from generations.models import Generation
from generations.providers.current import kinds_of
from generations.running import count_running
from generations.spec import parse_create_body

IDEMPOTENCY_HEADER = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key and body again answer with the first."
)
PREFER_HEADER = OpenApiParameter(
    "Prefer", str, OpenApiParameter.HEADER, description="wait=N: answer when it has ended, or after N <= 60 seconds."
)


def idempotency_key(request: Request, client_id: str) -> str:
    """The header's key, as a structured string or bare, or the body's client_id. Raises InvalidInput."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return client_id
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise InvalidInput.of("Idempotency-Key", "Idempotency-Key must be 1 to 255 printable ASCII characters.")
    if client_id and client_id != key:
        raise InvalidInput.of("client_id", "client_id is another name of Idempotency-Key; send one, or both the same.")
    return key


class GenerationList(APIView):
    required_scopes = {"GET": "read", "POST": "generate"}

    @extend_schema(
        operation_id="generations_create",
        request=GenerationRequestSerializer,
        responses={202: GenerationSerializer, 200: GenerationSerializer},
        parameters=[IDEMPOTENCY_HEADER, PREFER_HEADER],
    )
    def post(self, request: Request) -> Response:
        """Ask for a picture. 202 and a Location; 200 when it ended within `Prefer: wait`."""
        wish = parse_create_body(request.data, default_image_size=settings.DEFAULT_IMAGE_SIZE)
        key = idempotency_key(request, str(wish.client_id) if wish.client_id else "")
        submission = services.submit(
            user=caller(request),
            spec=wish.spec,
            source="rest",
            api_key=key_of(request),
            idempotency_key=key,
            reuse=wish.reuse,
            parent=wish.parent,
        )
        generation = services.get(user=caller(request), public_id=submission.generation.public_id)
        body = generation_body(generation, request)
        response = Response(body, status=submission.status_code, headers={"Location": body["links"]["self"]})
        tell(request, submission.limits)
        if submission.is_replay:
            response["Idempotency-Replayed"] = "true"
        return response

    @property
    def pagination_class(self) -> type[CursorPagination]:
        """Looked up when it is needed: the class is the roof's, and the roof imports this module."""
        return self.settings.DEFAULT_PAGINATION_CLASS

    @extend_schema(
        operation_id="generations_list", parameters=[GenerationListQuery], responses=GenerationSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """The caller's generations, newest first."""
        paginator = self.pagination_class()
        parameters = [parameter["name"] for parameter in paginator.get_schema_operation_parameters(self)]
        wanted = GenerationListQuery.read(request, also=parameters)
        generations = Generation.objects.for_api().filter(user=caller(request)).matching(**wanted)
        page = paginator.paginate_queryset(generations, request, view=self) or []
        return paginator.get_paginated_response(generation_bodies(page, request))


class GenerationDetail(APIView):
    required_scopes = {"GET": "read"}

    @extend_schema(operation_id="generations_get", responses=GenerationSerializer)
    def get(self, request: Request, public_id: str) -> Response:
        """One generation as it is now."""
        return Response(generation_body(services.get(user=caller(request), public_id=public_id), request))


class GenerationCancel(APIView):
    required_scopes = {"POST": "generate"}

    @extend_schema(operation_id="generations_cancel", request=None, responses=GenerationSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Cancel: at once while it waits; while it is painted it is asked to stop, and charged only if it delivers."""
        return Response(generation_body(services.cancel(user=caller(request), public_id=public_id), request))


class GenerationRetry(APIView):
    required_scopes = {"POST": "generate"}

    @extend_schema(operation_id="generations_retry", request=None, responses=GenerationSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Queue a failed or cancelled generation again."""
        return Response(
            generation_body(services.retry(user=caller(request), public_id=public_id, api_key=key_of(request)), request)
        )


class GenerationEvents(GenerationDetail):
    content_negotiation_class = AnyAccept  # EventSource clients accept nothing but text/event-stream

    @extend_schema(
        operation_id="generations_events",
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
        parameters=[OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER)],
    )
    def get(self, request: Request, public_id: str) -> Response:
        """Server-sent events: queued, running, progress, output, succeeded, failed, canceled; ends with the job."""
        return super().get(request, public_id)


class DraftFile(APIView):
    required_scopes = {"GET": "read"}
    content_negotiation_class = AnyAccept

    @extend_schema(operation_id="generations_draft", responses={(200, "image/webp"): OpenApiTypes.BINARY})
    def get(self, request: Request, public_id: str, draft_id: str) -> HttpResponseBase:
        """A small copy of a draft, while the call that brought it is in flight; not found once it has ended."""
        preview = interim.find_preview(user=caller(request), generation_id=public_id, public_id=draft_id)
        return serve_preview(bytes(preview.content), made_at=preview.created_at)


class ModelList(APIView):
    required_scopes = {"GET": "read"}

    @extend_schema(operation_id="models_list", responses=ModelSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Every model that is on offer, with its sizes, shapes and today's prices."""
        prices = list(Price.objects.in_force(timezone.now()))
        bodies = [
            _model_body(model, [row for row in prices if row.model == model.id])
            for model in catalog.offered_models({row.model for row in prices})
        ]
        return Response({"results": bodies, "next": None, "previous": None})


def _model_body(model: catalog.Model, prices: list[Price]) -> dict[str, Any]:
    in_force = {(row.unit, row.size): row for row in prices}
    kinds = kinds_of(model)
    return {
        "id": model.id,
        "label": model.label,
        "aliases": list(model.aliases),
        "kinds": list(kinds),
        "sizes": list(model.sizes),
        "aspect_ratios": list(model.aspect_ratios),
        "capabilities": asdict(model.capabilities),
        "lifecycle": model.lifecycle,
        "replacement": model.replacement,
        "prices": [
            {
                "unit": unit,
                "size": size,
                "amount": format_usd(price.amount_micros),
                "amount_micros": price.amount_micros,
                "comparison": format_usd(price.comparison_micros) if price.comparison_micros else None,
                "is_placeholder": price.is_placeholder,
            }
            for unit, size in model.units()
            if unit in kinds and (price := in_force.get((unit, size)))
        ],
        "is_default": model.id == catalog.DEFAULT_MODEL_ID,
    }


class Account(APIView):
    required_scopes = {"GET": "account"}

    @extend_schema(operation_id="account_get", responses=AccountSerializer)
    def get(self, request: Request) -> Response:
        """Who the caller is, the balance and the limits."""
        standing, limits = _limits(request)
        return Response(account_body(caller(request), plan=standing.plan, limits=limits))


class AccountLimits(APIView):
    required_scopes = {"GET": "account"}

    @extend_schema(operation_id="account_limits", responses=LimitSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What may still be done, and when each window starts again; the key's own and the site's limits too."""
        return Response({"results": limit_bodies(_limits(request)[1])})


def _limits(request: Request) -> tuple[quotas.Standing, list[quotas.LimitState]]:
    """What applies to the caller, as it stands; the answer's headers tell the same."""
    standing = quotas.standing_of(caller(request), api_key=key_of(request))
    # Running jobs are counted up here: the accounts floor knows nothing of them.
    limits = quotas.describe_standing(standing, running=count_running(standing))
    tell(request, limits)
    return standing, limits
