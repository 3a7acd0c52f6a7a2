"""REST for the statement: pages of lines, the statement of a period as a file, and what was used in it."""

from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import exports, keys, statement, usage
from accounts.api.authentication import caller
from accounts.api.serializers import EntrySerializer, StatementSerializer, UsageSerializer, usage_body
from accounts.errors import FieldError, InvalidInput
from accounts.models import Entry
from accounts.periods import Period, days_before, parse_period
from accounts.statement import KINDS, SIGNS, Filters

PERIOD = (
    OpenApiParameter("month", str, description="Such as 2026-11; instead of from and to."),
    OpenApiParameter("from", OpenApiTypes.DATE, description="The first day."),
    OpenApiParameter("to", OpenApiTypes.DATE, description="The last day."),
    OpenApiParameter("time_zone", str, description="In which days begin, such as Europe/Berlin; UTC without it."),
)
FILTERS = (
    OpenApiParameter("kind", str, enum=list(KINDS), description="What the line does to the balance."),
    OpenApiParameter("sign", str, enum=list(SIGNS), description="Lines that added money, or took it."),
    OpenApiParameter("reference", str, description="The id of a generation."),
)
API_KEY = OpenApiParameter("api_key", OpenApiTypes.UUID, description="Of jobs that this key of yours has asked for.")
USAGE_DAYS = 30


class CsvRenderer(BaseRenderer):
    """Names the form for the negotiation; it never renders, as lines are streamed and errors are problem+json."""

    media_type = "text/csv"
    format = "csv"


class LedgerList(ListAPIView):
    """The caller's statement, newest line first."""

    required_scopes = {"GET": "account"}
    serializer_class = EntrySerializer
    renderer_classes = [JSONRenderer, CsvRenderer]
    # Not the id: lines are numbered within their account, and the index on (account, version) serves the page.
    ordering = "-version"

    def get_queryset(self) -> QuerySet[Entry]:
        pages = self.paginator.get_schema_operation_parameters(self)  # type: ignore[union-attr]
        sent = _read(self.request, also=("kind", "sign", "reference", "api_key", *(each["name"] for each in pages)))
        filters = Filters(
            kind=sent.get("kind", ""),
            sign=sent.get("sign", ""),
            reference=sent.get("reference", ""),
            api_key=_api_key(self.request, sent),
            period=_period(sent),
        )
        return statement.lines_of(caller(self.request), filters)

    @extend_schema(
        operation_id="ledger_list",
        parameters=[*FILTERS, API_KEY, *PERIOD],
        responses={(200, "application/json"): EntrySerializer(many=True), (200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:  # type: ignore[override]
        """The caller's statement, newest line first; `Accept: text/csv` streams that of a period, as ledger/statement.

        A CSV has every line of its period, so that its balances follow from its lines; with `api_key` it has those of a
        key, without opening and closing balance. It takes no other filter.
        """
        if _wants_csv(request):
            return _file(request)
        return self.list(request)


class Statement(APIView):
    required_scopes = {"GET": "account"}
    renderer_classes = [JSONRenderer, CsvRenderer]

    @extend_schema(
        operation_id="ledger_statement",
        parameters=[API_KEY, *PERIOD],
        responses={(200, "application/json"): StatementSerializer, (200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The statement of a period with its opening and closing balance, the oldest line first; JSON or CSV, streamed.

        In CSV an amount is a number; a text that a spreadsheet could take for a formula, or that begins with an
        apostrophe, has one more apostrophe in front.
        """
        return _file(request)


class Usage(APIView):
    required_scopes = {"GET": "account"}

    @extend_schema(operation_id="account_usage", parameters=[*PERIOD], responses=UsageSerializer)
    def get(self, request: Request) -> Response:
        """Pictures and money by day and model, of a year at most; of the last 30 days unless a period is named."""
        period = _period(_read(request))
        if not period.start and not period.end:
            period = days_before(timezone.now(), USAGE_DAYS)
        return Response(usage_body(usage.usage_of(caller(request), period)))


def _wants_csv(request: Request) -> bool:
    return request.accepted_renderer.media_type == CsvRenderer.media_type


def _file(request: Request) -> HttpResponseBase:
    sent = _read(request, also=("api_key",))
    export = exports.prepare(caller(request), _period(sent), api_key=_api_key(request, sent))
    return exports.respond(export, form="csv" if _wants_csv(request) else "json")


def _read(request: Request, *, also: tuple[str, ...] = ()) -> dict[str, str]:
    """The parameters of the address by name. Raises InvalidInput for those that this address has not."""
    allowed = (*(parameter.name for parameter in PERIOD), *also)
    errors = [
        FieldError(name, f"There is no such parameter here; there are {', '.join(allowed)}.")
        for name in request.query_params
        if name not in allowed
    ]
    errors += [
        FieldError(name, "This was sent more than once.")
        for name, values in request.query_params.lists()
        if len(values) > 1
    ]
    if errors:
        raise InvalidInput(f"{errors[0].field}: {errors[0].message}", errors=tuple(errors))
    return request.query_params.dict()


def _api_key(request: Request, sent: dict[str, str]) -> UUID | None:
    """Raises InvalidInput for what is no key of the caller's."""
    return keys.own_key(caller(request), sent["api_key"]).public_id if sent.get("api_key") else None


def _period(sent: dict[str, str]) -> Period:
    return parse_period(
        month=sent.get("month", ""),
        first=sent.get("from", ""),
        last=sent.get("to", ""),
        time_zone=sent.get("time_zone", ""),
    )
