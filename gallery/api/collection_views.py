"""Collections over REST, and verbs for several images at once. Each is its owner's alone; others get 404."""

from typing import Any

from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import caller
from accounts.errors import FieldError, InvalidInput
from gallery import archive, bulk, collections
from gallery.api.review_serializers import StrictBody, moment
from gallery.api.review_views import Paged, read_body
from gallery.api.serializers import QueryParameters
from gallery.models import MAX_COLLECTION_NAME_CHARS, Collection

COLLECTION_ID = OpenApiParameter("collection_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class CollectionBody(StrictBody):
    """The name of a collection."""

    name = serializers.CharField(max_length=MAX_COLLECTION_NAME_CHARS, help_text="Once among mine.")


class CollectionSerializer(serializers.Serializer[Collection]):
    """Pictures put together under a name; GET images?collection=ID lists them."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()


class ManyBody(StrictBody):
    """Several images."""

    ids = serializers.ListField(child=serializers.UUIDField(), help_text=f"1 to {bulk.MAX_IMAGES} ids of images.")


class ActBody(ManyBody):
    """What to do to several images."""

    action = serializers.ChoiceField(list(bulk.ACTIONS), help_text="purge deletes what is in the trash for good.")
    collection = serializers.UUIDField(required=False, help_text="For collect and uncollect.")


class ActResultSerializer(serializers.Serializer[dict[str, Any]]):
    """What became of one of many."""

    id = serializers.UUIDField()
    error = serializers.DictField(allow_null=True, help_text="code and detail; null when it is as it was asked to be.")


def collection_body(collection: Collection) -> dict[str, Any]:
    """As CollectionSerializer describes it."""
    return {
        "id": str(collection.public_id),
        "name": collection.name,
        "created_at": moment(collection.created_at),
    }


class CollectionList(Paged):
    required_scopes = {"GET": "read", "POST": "generate"}
    ordering = "name"

    @extend_schema(operation_id="collections_list", responses=CollectionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My collections, by name."""
        QueryParameters.read(request, also=self.page_parameters())
        paginator, page = self.page_of(Collection.objects.filter(owner=caller(request)), request)
        return paginator.get_paginated_response([collection_body(collection) for collection in page])

    @extend_schema(operation_id="collections_create", request=CollectionBody, responses={201: CollectionSerializer})
    def post(self, request: Request) -> Response:
        """Make an empty collection. Needs the scope generate."""
        collection = collections.create(owner=caller(request), **read_body(CollectionBody, request))
        location = request.build_absolute_uri(reverse("collection", args=[str(collection.public_id)]))
        return Response(collection_body(collection), status=201, headers={"Location": location})


class CollectionDetail(APIView):
    required_scopes = {"GET": "read", "PATCH": "generate", "DELETE": "generate"}

    @extend_schema(operation_id="collections_retrieve", parameters=[COLLECTION_ID], responses=CollectionSerializer)
    def get(self, request: Request, collection_id: str) -> Response:
        """One of my collections."""
        return Response(collection_body(collections.find(owner=caller(request), public_id=collection_id)))

    @extend_schema(
        operation_id="collections_change",
        parameters=[COLLECTION_ID],
        request=CollectionBody,
        responses=CollectionSerializer,
    )
    def patch(self, request: Request, collection_id: str) -> Response:
        """Give a collection another name. Needs the scope generate."""
        body = read_body(CollectionBody, request)
        return Response(collection_body(collections.rename(owner=caller(request), public_id=collection_id, **body)))

    @extend_schema(operation_id="collections_delete", parameters=[COLLECTION_ID], responses={204: None})
    def delete(self, request: Request, collection_id: str) -> Response:
        """Take a collection away; its images stay. Needs the scope generate."""
        collections.delete(owner=caller(request), public_id=collection_id)
        return Response(status=204)


class ImageActions(APIView):
    required_scopes = {"POST": "generate"}

    @extend_schema(operation_id="images_act", request=ActBody, responses=ActResultSerializer(many=True))
    def post(self, request: Request) -> Response:
        """The same verb for up to 200 of my images, each with its own result; repeating it changes nothing.

        Needs the scope generate.
        """
        body = read_body(ActBody, request)
        results = bulk.act(
            owner=caller(request),
            action=body["action"],
            public_ids=body["ids"],
            collection_id=body.get("collection"),
        )
        return Response(
            [
                {
                    "id": str(result.public_id),
                    "error": {"code": result.error.code, "detail": result.error.message} if result.error else None,
                }
                for result in results
            ]
        )


class ImageArchive(APIView):
    required_scopes = {"POST": "read"}

    @extend_schema(
        operation_id="images_archive",
        request=ManyBody,
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Up to 200 of my images as one ZIP: the original bytes, and beside each a JSON file with what is known of it.

        An id that is not mine refuses the whole.
        """
        ids = read_body(ManyBody, request)["ids"]
        images = bulk.downloadable(owner=caller(request), public_ids=ids)
        if missing := [public_id for public_id in ids if public_id not in images]:
            message = f"You have no image {missing[0]}."
            raise InvalidInput(message, errors=(FieldError("ids", message),))
        return archive.respond(images.values())
