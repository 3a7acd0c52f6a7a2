"""The review over REST: what owners and viewers may ask (scope publish, read), and the reviewers' verbs (scope review).

Every verb of a reviewer names the version that was looked at; whoever is slower gets 409, which says who was faster.
"""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import caller
from accounts.errors import Forbidden, ServiceError
from accounts.models import User
from gallery import publishing
from gallery.api.review_serializers import (
    AppealBody,
    ApproveBody,
    BulkBody,
    BulkResultSerializer,
    ClaimBody,
    ClusterSerializer,
    PublishBody,
    QueueQuery,
    RejectBody,
    ReportBody,
    ReviewSerializer,
    StatementOfReasonsSerializer,
    VersionBody,
    review_body,
    similar_body,
    statement_body,
)
from gallery.api.serializers import ImageSerializer, image_body
from gallery.models import Image, Review
from gallery.review import claims, decisions, owners, reports, resemblance, statements
from gallery.review.access import is_reviewer
from gallery.review.decisions import Item

IMAGE_ID = OpenApiParameter("image_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


def read_body(serializer: type[Any], request: Request) -> dict[str, Any]:
    """The body as the serializer reads it. Raises InvalidInput and DRF's ValidationError."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body.validated_data


# --- Owners and viewers --------------------------------------------------------------------------


class ImagePublish(APIView):
    required_scopes = {"POST": "publish"}

    @extend_schema(operation_id="images_publish", parameters=[IMAGE_ID], request=PublishBody, responses=ImageSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Ask that others may see one of my images. It needs an alternative text, and by default a reviewer's approval.

        Needs the scope publish.
        """
        body = read_body(PublishBody, request)
        image = publishing.choose_visibility(owner=caller(request), public_id=image_id, **body)
        return Response(image_body(image, request))


class ImageWithdraw(APIView):
    required_scopes = {"POST": "publish"}

    @extend_schema(operation_id="images_withdraw", parameters=[IMAGE_ID], request=None, responses=ImageSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Let nobody else see one of my images any more; a second time changes nothing. Needs the scope publish."""
        return Response(image_body(owners.withdraw(owner=caller(request), public_id=image_id), request))


class ImageAppeal(APIView):
    required_scopes = {"POST": "publish"}

    @extend_schema(operation_id="images_appeal", parameters=[IMAGE_ID], request=AppealBody, responses=ImageSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Answer the refusal of one of my images, once and within 183 days; another person decides.

        Needs the scope publish.
        """
        body = read_body(AppealBody, request)
        owners.appeal(owner=caller(request), public_id=image_id, text=body["text"])
        image = Image.objects.owned_by(request.user).with_blob().get_public(image_id)
        return Response(image_body(image, request))


class ImageReport(APIView):
    required_scopes = {"POST": "read"}

    @extend_schema(operation_id="images_report", parameters=[IMAGE_ID], request=ReportBody, responses={204: None})
    def post(self, request: Request, image_id: str) -> Response:
        """Report a public image of somebody else, once; enough reports bring it back to the reviewers."""
        body = read_body(ReportBody, request)
        address = str(request.META.get("REMOTE_ADDR", ""))
        reports.report(viewer=caller(request), address=address, public_id=image_id, **body)
        return Response(status=204)


class Paged(APIView):
    @property
    def pagination_class(self) -> type[CursorPagination]:
        """Looked up when it is needed: the class is the roof's, and the roof imports this module."""
        return self.settings.DEFAULT_PAGINATION_CLASS

    def page_parameters(self) -> list[str]:
        return [parameter["name"] for parameter in self.pagination_class().get_schema_operation_parameters(self)]

    def page_of(self, rows: QuerySet[Any], request: Request) -> tuple[CursorPagination, list[Any]]:
        paginator = self.pagination_class()
        return paginator, paginator.paginate_queryset(rows, request, view=self) or []


class StatementList(Paged):
    required_scopes = {"GET": "read"}

    @extend_schema(operation_id="statements_list", responses=StatementOfReasonsSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What I was told about refusals of my images, the latest first, with the names of the DSA database."""
        paginator, page = self.page_of(statements.statements_of(caller(request)), request)
        return paginator.get_paginated_response([statement_body(statement) for statement in page])


# --- Reviewers -----------------------------------------------------------------------------------


class ReviewerView(Paged):
    """Of the staff by its scope, and a reviewer by its permission."""

    required_scopes = {"GET": "review", "POST": "review"}

    def reviewer(self, request: Request) -> User:
        """Raises Forbidden."""
        user = caller(request)
        if not is_reviewer(user):
            raise Forbidden("This account may not review pictures.")
        return user

    def answer(self, request: Request, image_id: str) -> Response:
        review = Review.objects.select_related("image__blob").get(image__public_id=image_id)
        return Response(review_body(review, request))


class ReviewQueue(ReviewerView):
    # A place by age moves no page, whatever is decided meanwhile; the desk itself goes by risk.
    ordering = "pk"

    @extend_schema(operation_id="review_list", parameters=[QueueQuery], responses=ReviewSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The images that wait and that I may decide, those first that came first; `risk` tells which are urgent."""
        reviewer = self.reviewer(request)
        wanted = QueueQuery.read(request, also=self.page_parameters())
        paginator, page = self.page_of(claims.may_decide(reviewer).filter(**wanted), request)
        return paginator.get_paginated_response([review_body(review, request) for review in page])

    @extend_schema(operation_id="review_decide_many", request=BulkBody, responses=BulkResultSerializer(many=True))
    def post(self, request: Request) -> Response:
        """The same decision over up to 200 images, each on its own: one conflict stops no other."""
        reviewer = self.reviewer(request)
        body = read_body(BulkBody, request)
        items = [Item(image_id=item["id"], version=item["version"]) for item in body.pop("items")]
        results = decisions.decide_many(reviewer=reviewer, items=items, **body)
        return Response(
            [
                {
                    "id": result.image_id,
                    "version": result.step.version if result.step else None,
                    "review_status": result.step.to_status if result.step else None,
                    "error": _error_body(result.error),
                }
                for result in results
            ]
        )


def _error_body(error: ServiceError | None) -> dict[str, Any] | None:
    return None if error is None else {**error.facts, "code": error.code, "detail": error.message}


class ReviewSimilar(ReviewerView):
    @extend_schema(operation_id="review_similar", parameters=[IMAGE_ID], responses=ClusterSerializer)
    def get(self, request: Request, image_id: str) -> Response:
        """What looks like an image of the review: what was decided, and what waits and can be decided with it.

        At most 200 of each. For one that two people must decide, nothing that the first of them has decided.
        """
        cluster = resemblance.cluster_for(self.reviewer(request), image_id)
        return Response(
            {
                "decided": [similar_body(alike, request) for alike in cluster.decided],
                "waiting": [similar_body(alike, request) for alike in cluster.waiting],
            }
        )


class ReviewClaim(ReviewerView):
    @extend_schema(operation_id="review_claim", parameters=[IMAGE_ID], request=ClaimBody, responses=ReviewSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Hold an image for ten minutes, or for ten minutes more."""
        body = read_body(ClaimBody, request)
        claims.claim(reviewer=self.reviewer(request), image_id=image_id, **body)
        return self.answer(request, image_id)


class ReviewApprove(ReviewerView):
    @extend_schema(
        operation_id="review_approve", parameters=[IMAGE_ID], request=ApproveBody, responses=ReviewSerializer
    )
    def post(self, request: Request, image_id: str) -> Response:
        """Let an image be seen as its owner asks."""
        body = read_body(ApproveBody, request)
        decisions.approve(reviewer=self.reviewer(request), image_id=image_id, **body)
        return self.answer(request, image_id)


class ReviewReject(ReviewerView):
    @extend_schema(operation_id="review_reject", parameters=[IMAGE_ID], request=RejectBody, responses=ReviewSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Refuse an image for a reason of the policy; its owner is told why."""
        body = read_body(RejectBody, request)
        decisions.reject(reviewer=self.reviewer(request), image_id=image_id, **body)
        return self.answer(request, image_id)


class ReviewEscalate(ReviewerView):
    @extend_schema(
        operation_id="review_escalate", parameters=[IMAGE_ID], request=ApproveBody, responses=ReviewSerializer
    )
    def post(self, request: Request, image_id: str) -> Response:
        """Ask for a second look by somebody else."""
        body = read_body(ApproveBody, request)
        decisions.escalate(reviewer=self.reviewer(request), image_id=image_id, **body)
        return self.answer(request, image_id)


class ReviewUndo(ReviewerView):
    @extend_schema(operation_id="review_undo", parameters=[IMAGE_ID], request=VersionBody, responses=ReviewSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Take back my last decision over an image, within 30 seconds."""
        body = read_body(VersionBody, request)
        decisions.undo(reviewer=self.reviewer(request), image_id=image_id, **body)
        return self.answer(request, image_id)
