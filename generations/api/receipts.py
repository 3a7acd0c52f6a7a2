"""REST for receipts: parse, call one service, render."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.authentication import caller
from gallery.api.serializers import QueryParameters
from generations import receipts


class ReceiptQuery(QueryParameters):
    download = serializers.ChoiceField(["0", "1"], required=False, default="0", help_text="1: with a file name.")


class SignatureSerializer(serializers.Serializer):
    algorithm = serializers.CharField(help_text="HMAC-SHA256")
    key_id = serializers.CharField()
    value = serializers.CharField(help_text="Hex, over type, key id and canonical JSON, each on a line of its own.")


class ReceiptSerializer(serializers.Serializer):
    """A receipt and the signature of its canonical form (sorted keys, no white space, ASCII)."""

    receipt = serializers.DictField(
        help_text="type, issuer, issued_at, account, image, generation, asked, honoured, delivered_by, attempts, "
        "price, transfers, cost; the prompt as its SHA-256 only."
    )
    signature = SignatureSerializer()


class ImageReceipt(APIView):
    required_scopes = {"GET": "account"}

    @extend_schema(
        operation_id="images_receipt",
        parameters=[OpenApiParameter("image_id", OpenApiTypes.UUID, OpenApiParameter.PATH), ReceiptQuery],
        responses=ReceiptSerializer,
    )
    def get(self, request: Request, image_id: str) -> HttpResponse:
        """The signed receipt of one of my pictures: what was asked and came, every call, every movement of money.

        `verifyreceipt FILE` checks it.
        """
        wanted = ReceiptQuery.read(request)
        document = receipts.receipt_of(user=caller(request), public_id=image_id)
        response = HttpResponse(document, content_type="application/json")
        response["Cache-Control"] = "private, no-store"
        if wanted["download"] == "1":
            response["Content-Disposition"] = f'attachment; filename="receipt-{image_id}.json"'
        return response
