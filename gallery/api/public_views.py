"""Published pictures over REST, which anybody may read, and the share links of one's own."""

from typing import Any

from django.urls import reverse
from django.utils.cache import patch_cache_control
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import caller
from gallery import sharing
from gallery.api.review_serializers import StrictBody
from gallery.api.review_views import IMAGE_ID, Paged, read_body
from gallery.api.serializers import THUMBHASH_HELP, MomentField, QueryParameters
from gallery.api.serializers import choice as choice_field
from gallery.api.serializers import moment as moment_text
from gallery.models import SHAPES, Image, ShareLink
from gallery.public_tiles import PublicPicture, public_pictures

LINK_ID = OpenApiParameter("link_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
MAX_AGE_S = 60


class GalleryQuery(QueryParameters):
    """Which published pictures. Prompts are not searched: most are not disclosed."""

    model = serializers.CharField(max_length=100, required=False, help_text="The model's id.")
    kind = choice_field(["image", "video"])
    shape = choice_field(SHAPES)


class PublishedSerializer(serializers.Serializer[PublicPicture]):
    """A picture that somebody has published."""

    id = serializers.UUIDField()
    url = serializers.URLField(help_text="Its page.")
    thumbnails = serializers.DictField(
        child=serializers.URLField(),
        help_text="WebP by the longer side; full: all pixels. Of a clip its poster.",
    )
    clip = serializers.URLField(allow_null=True, help_text="The clip itself; null for a picture.")
    width = serializers.IntegerField(help_text="Pixels of the original.")
    height = serializers.IntegerField(help_text="Pixels of the original.")
    dominant_colour = serializers.RegexField(r"^#[0-9a-f]{6}$", help_text="Stands in while the picture loads.")
    thumbhash = serializers.CharField(allow_null=True, help_text=THUMBHASH_HELP)
    duration_ms = serializers.IntegerField(allow_null=True)
    kind = serializers.CharField()
    title = serializers.CharField(allow_blank=True)
    alt_text = serializers.CharField()
    prompt = serializers.CharField(allow_null=True, help_text="Null unless its owner discloses it.")
    model = serializers.CharField(allow_blank=True)
    ai_generated = serializers.BooleanField()
    published_at = serializers.DateTimeField()


def published_body(picture: PublicPicture, title: str, request: Request) -> dict[str, Any]:
    """As PublishedSerializer describes it; addresses are absolute."""
    absolute = request.build_absolute_uri
    return {
        "id": str(picture.id),
        "url": absolute(reverse("gallery:public_image", args=[picture.id])),
        "thumbnails": {name: absolute(address) for name, address in picture.copies.items()},
        "clip": absolute(picture.clip) if picture.clip else None,
        "width": picture.width,
        "height": picture.height,
        "dominant_colour": picture.colour,
        "thumbhash": picture.thumbhash or None,
        "duration_ms": picture.duration_ms,
        "kind": picture.kind,
        "title": title,
        "alt_text": picture.alt,
        "prompt": picture.prompt or None,
        "model": picture.model,
        "ai_generated": True,
        "published_at": moment_text(picture.published_at) if picture.published_at else None,
    }


class Gallery(Paged):
    permission_classes = [AllowAny]
    ordering = "-published_order"

    @extend_schema(operation_id="gallery_list", parameters=[GalleryQuery], responses=PublishedSerializer(many=True))
    def get(self, request: Request) -> Response:
        """What everybody may see, the newest published first. No key is needed; a bad one is refused all the same."""
        wanted = GalleryQuery.read(request, also=self.page_parameters())
        shape = wanted.pop("shape", "")
        rows = Image.objects.listed_publicly().with_blob().matching(**wanted).of_shape(shape)
        paginator, page = self.page_of(rows, request)
        pictures = zip(public_pictures(page), page, strict=True)
        response = paginator.get_paginated_response(
            [published_body(picture, image.title, request) for picture, image in pictures]
        )
        is_known = request.user.is_authenticated
        patch_cache_control(response, max_age=MAX_AGE_S, **({"private": True} if is_known else {"public": True}))
        return response


class LinkBody(StrictBody):
    """A new share link."""

    expires_at = MomentField(allow_null=True, default=None, help_text="With a zone, within 366 days; null: never.")


class ShareLinkSerializer(serializers.Serializer[ShareLink]):
    """A share link that opens now."""

    id = serializers.UUIDField()
    url = serializers.URLField(help_text="What is given away.")
    expires_at = serializers.DateTimeField(allow_null=True)
    views = serializers.IntegerField(help_text="How often its page was opened.")
    created_at = serializers.DateTimeField()


def link_body(link: ShareLink, request: Request) -> dict[str, Any]:
    """As ShareLinkSerializer describes it."""
    return {
        "id": str(link.public_id),
        "url": request.build_absolute_uri(reverse("gallery:shared", args=[sharing.token_of(link)])),
        "expires_at": moment_text(link.expires_at) if link.expires_at else None,
        "views": link.views,
        "created_at": moment_text(link.created_at),
    }


class ShareLinks(APIView):
    required_scopes = {"GET": "publish", "POST": "publish"}

    @extend_schema(operation_id="share_links_list", parameters=[IMAGE_ID], responses=ShareLinkSerializer(many=True))
    def get(self, request: Request, image_id: str) -> Response:
        """The share links of one of my images that open now, the newest first. Needs the scope publish."""
        links = sharing.live_links(owner=caller(request), public_id=image_id)
        return Response([link_body(link, request) for link in links])

    @extend_schema(
        operation_id="share_links_create", parameters=[IMAGE_ID], request=LinkBody, responses={201: ShareLinkSerializer}
    )
    def post(self, request: Request, image_id: str) -> Response:
        """A new link to one of my public or unlisted images, which can be ended alone. Needs the scope publish."""
        body = read_body(LinkBody, request)
        link = sharing.create_link(owner=caller(request), public_id=image_id, **body)
        return Response(link_body(link, request), status=201)


class ShareLinkDetail(APIView):
    required_scopes = {"DELETE": "publish"}

    @extend_schema(operation_id="share_links_revoke", parameters=[IMAGE_ID, LINK_ID], responses={204: None})
    def delete(self, request: Request, image_id: str, link_id: str) -> Response:
        """End a share link at once; a second time answers the same. Needs the scope publish."""
        sharing.revoke_link(owner=caller(request), public_id=image_id, link_id=link_id)
        return Response(status=204)
