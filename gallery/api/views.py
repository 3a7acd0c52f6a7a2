"""Pictures over REST: the list, one of them, the trash, and its bytes. Each is its owner's alone; others get 404.

A picture in the trash is in no list, but it answers by its id, with its bytes: the trash itself shows it.
Whoever may make pictures may also name them and put them away, so those verbs need the scope `generate`.
"""

from typing import Any

from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import caller, key_of
from accounts.errors import InvalidInput
from accounts.keys import granted_scopes
from gallery import collections, erasure, services
from gallery.api.serializers import (
    ImageChanges,
    ImageFileQuery,
    ImageListQuery,
    ImageSerializer,
    ImageUpload,
    image_body,
)
from gallery.delivery import PRIVATE, UNKEPT, find_file, serve_file
from gallery.imaging import MIME_TYPES
from gallery.models import Image
from gallery.order import PLACE_IN_COLLECTION, ByPlace
from gallery.review.access import is_reviewer
from gallery.uploads import sent_files

IMAGE_ID = OpenApiParameter("image_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class UploadParser(MultiPartParser):
    """A form of files, read to its end; what makes no sense as one is refused in plain words."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except ParseError as error:
            raise InvalidInput(f"The body is not a valid form: {error.detail}.") from None


class ImageList(APIView):
    required_scopes = {"GET": "read", "POST": "generate"}
    parser_classes = [UploadParser]

    @property
    def pagination_class(self) -> type[CursorPagination]:
        """Looked up when it is needed: the class is the roof's, and the roof imports this module."""
        return self.settings.DEFAULT_PAGINATION_CLASS

    @extend_schema(operation_id="images_list", parameters=[ImageListQuery], responses=ImageSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My images, the newest first, without those in the trash; uploads only when `kind=upload` asks for them.

        `q` searches titles, prompts, captions and alternative texts for all its words: "words in a row" together, -not
        this, and begin* for how a word begins. Text without a word finds nothing.
        """
        paginator = self.pagination_class()
        parameters = [parameter["name"] for parameter in paginator.get_schema_operation_parameters(self)]
        wanted = ImageListQuery.read(request, also=parameters)
        mine = Image.objects.owned_by(request.user)
        # Uploads are in the list when they are asked for; drafts are found through their generation.
        rows = mine.kept() if wanted.get("kind") == "upload" else mine.listed()
        query = wanted.pop("q", "")
        if "favourite" in wanted:
            wanted["favourite"] = wanted["favourite"] == "true"
        if "collection" in wanted:
            wanted["collection"] = collections.find(owner=caller(request), public_id=wanted["collection"])
        images = rows.with_blob().prefetch_related("collections").matching(**wanted)
        order = ByPlace(
            images=images,
            owner_id=caller(request).pk,
            query=query,
            place=PLACE_IN_COLLECTION if "collection" in wanted else "pk",
            after=wanted.get("created_after"),
            before=wanted.get("created_before"),
        )
        page: list[Image] = paginator.paginate_queryset(order, request, view=self) or []  # type: ignore[arg-type]
        return paginator.get_paginated_response([image_body(image, request) for image in page])

    @extend_schema(
        operation_id="images_upload", request={"multipart/form-data": ImageUpload}, responses={201: ImageSerializer}
    )
    def post(self, request: Request) -> Response:
        """Send a picture to be named in `references` or `edit_of`: PNG, JPEG or WebP, up to 32 MiB and 24 megapixels.

        It is kept without its metadata, is in no list but that of `kind=upload`, and costs nothing. Needs the scope
        generate.
        """
        unknown = sorted({*request.data} - {"file"})
        files = sent_files(request._request, "file")
        if unknown or len(files) != 1:
            message = f"There is no field {unknown[0]!r}; there is file." if unknown else "Send one picture as file."
            raise InvalidInput.of(unknown[0] if unknown else "file", message)
        image = services.add_upload(owner=caller(request), file=files[0])
        body = image_body(image, request)
        location = request.build_absolute_uri(reverse("image", args=[body["id"]]))
        return Response(body, status=201, headers={"Location": location})


class ImageDetail(APIView):
    required_scopes = {"GET": "read", "PATCH": "generate", "DELETE": "generate"}

    @extend_schema(operation_id="images_retrieve", parameters=[IMAGE_ID], responses=ImageSerializer)
    def get(self, request: Request, image_id: str) -> Response:
        """One of my images, also when it is in the trash."""
        return Response(image_body(_own_image(request, image_id), request))

    @extend_schema(operation_id="images_change", parameters=[IMAGE_ID], request=ImageChanges, responses=ImageSerializer)
    def patch(self, request: Request, image_id: str) -> Response:
        """Change an image's title, alternative text or collections, or make it a favourite.

        Needs the scope generate.
        """
        body = ImageChanges(data=request.data)
        body.is_valid(raise_exception=True)
        changes = body.validated_data
        if "collections" in changes:
            changes["collection_ids"] = changes.pop("collections")
        image = services.edit_image(owner=caller(request), public_id=image_id, **changes)
        return Response(image_body(image, request))

    @extend_schema(operation_id="images_trash", parameters=[IMAGE_ID], responses={204: None})
    def delete(self, request: Request, image_id: str) -> Response:
        """Move an image to the trash, where it stays until it is restored or purged; a second time answers the same.

        Operators may set after how many days it is purged by itself (TRASH_DAYS, 30). Needs the scope generate.
        """
        services.trash_image(owner=caller(request), public_id=image_id)
        return Response(status=204)


class ImageRestore(APIView):
    required_scopes = {"POST": "generate"}

    @extend_schema(operation_id="images_restore", parameters=[IMAGE_ID], request=None, responses=ImageSerializer)
    def post(self, request: Request, image_id: str) -> Response:
        """Bring an image back from the trash; one that is not there stays as it is. Needs the scope generate."""
        return Response(image_body(services.restore_image(owner=caller(request), public_id=image_id), request))


class ImagePurge(APIView):
    required_scopes = {"POST": "generate"}

    @extend_schema(operation_id="images_purge", parameters=[IMAGE_ID], request=None, responses={204: None})
    def post(self, request: Request, image_id: str) -> Response:
        """Delete an image of the trash for good: its words, its links, its place in collections, and its bytes.

        404 for one that is not in the trash, 409 for a quarantined one. What it cost stays in the ledger. Needs the
        scope generate.
        """
        erasure.purge_trashed(owner=caller(request), public_id=image_id)
        return Response(status=204)


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
        image = _readable_image(request, image_id)
        file = find_file(image, variant=wanted["variant"], format=wanted.get("format"))
        return serve_file(
            request._request,
            file,
            as_attachment=wanted["download"] == "1",
            cache_control=PRIVATE if image.owner_id == caller(request).pk else UNKEPT,
            audience=str(caller(request).pk),
        )


def _readable_image(request: Request, image_id: str) -> Image:
    """One whose bytes are answered here: one's own, and for a reviewer what is in the review."""
    reviews = may_review(request)
    images = Image.objects.visible_to(caller(request), reviews=reviews)
    # Other people's public pictures have an address of their own, which tells nobody's secrets.
    return (images if reviews else images.owned_by(caller(request))).with_blob().get_public(image_id)


def may_review(request: Request) -> bool:
    """Whether the caller is a reviewer, and the key, if one was sent, is for that."""
    api_key = key_of(request)
    return is_reviewer(caller(request)) and (api_key is None or "review" in granted_scopes(api_key))


def _own_image(request: Request, image_id: str) -> Image:
    return Image.objects.owned_by(request.user).with_blob().get_public(image_id)
