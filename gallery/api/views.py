"""Pictures over REST: the list, one of them, and its bytes. Each is its owner's alone; anybody else gets 404."""

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gallery.api.serializers import ImageFileQuery, ImageListQuery, ImageSerializer, image_body
from gallery.delivery import find_file, serve_file
from gallery.imaging import MIME_TYPES
from gallery.models import Image

IMAGE_ID = OpenApiParameter("image_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class ImageList(APIView):
    required_scopes = {"GET": "read"}

    @property
    def pagination_class(self) -> type[CursorPagination]:
        """Looked up when it is needed: the class is the roof's, and the roof imports this module."""
        return self.settings.DEFAULT_PAGINATION_CLASS

    @extend_schema(operation_id="images_list", parameters=[ImageListQuery], responses=ImageSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My images, the newest first."""
        paginator = self.pagination_class()
        parameters = [parameter["name"] for parameter in paginator.get_schema_operation_parameters(self)]
        wanted = ImageListQuery.read(request, also=parameters)
        images = Image.objects.owned_by(request.user).with_blob().matching(**wanted)
        page = paginator.paginate_queryset(images, request, view=self) or []
        return paginator.get_paginated_response([image_body(image, request) for image in page])


class ImageDetail(APIView):
    required_scopes = {"GET": "read"}

    @extend_schema(operation_id="images_retrieve", parameters=[IMAGE_ID], responses=ImageSerializer)
    def get(self, request: Request, image_id: str) -> Response:
        """One of my images."""
        return Response(image_body(_own_image(request, image_id), request))


class AnyAccept(BaseContentNegotiation):
    """A picture is asked for by its address, so `Accept: image/webp` is no reason to refuse one."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next(iter(parsers), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class ImageFile(APIView):
    required_scopes = {"GET": "read"}
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="images_file",
        parameters=[IMAGE_ID, ImageFileQuery],
        responses={(200, mime_type): OpenApiTypes.BINARY for mime_type in MIME_TYPES.values()},
    )
    def get(self, request: Request, image_id: str) -> HttpResponseBase:
        """The bytes of one of my images: the original exactly as it came, a smaller copy, or another format.

        Answers Range, If-Range, If-None-Match and If-Modified-Since; the ETag is the SHA-256 of the bytes.
        """
        wanted = ImageFileQuery.read(request)
        file = find_file(_own_image(request, image_id), variant=wanted["variant"], format=wanted.get("format"))
        return serve_file(request._request, file, as_attachment=wanted["download"] == "1")


def _own_image(request: Request, image_id: str) -> Image:
    return Image.objects.owned_by(request.user).with_blob().get_public(image_id)
