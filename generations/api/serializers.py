"""The shapes of requests and answers for the OpenAPI document; requests are parsed by GenerationSpec, not here."""

from rest_framework import serializers

from gallery.api.serializers import ImageSerializer, MomentField, QueryParameters
from generations import catalog
from generations.models import Status
from generations.spec import MAX_STYLE_CHARS


class GenerationRequestSerializer(serializers.Serializer):
    prompt = serializers.CharField(max_length=4000)
    model = serializers.CharField(required=False, default=catalog.DEFAULT_MODEL_ID, help_text="An id or an alias.")
    kind = serializers.ChoiceField(
        ["image", "video"],
        required=False,
        default="image",
        help_text="A video is a clip of 2 s, alone: no count, styles, references, thinking, grounding or seed.",
    )
    aspect_ratio = serializers.ChoiceField(list(catalog.PIXELS_1K), required=False, default="1:1")
    image_size = serializers.ChoiceField([*catalog.SIZES, catalog.CLIP_SIZE.name], required=False)
    count = serializers.IntegerField(required=False, default=1, min_value=1, max_value=4)
    styles = serializers.ListField(
        child=serializers.CharField(max_length=MAX_STYLE_CHARS), required=False, help_text="One text for each picture."
    )
    modalities = serializers.ListField(child=serializers.ChoiceField(["TEXT", "IMAGE"]), required=False)
    grounding = serializers.BooleanField(required=False, default=False, help_text="Search before painting.")
    thinking = serializers.ChoiceField(
        ["off", "minimal", "high"], required=False, help_text="Refused for a model that always thinks."
    )
    include_thoughts = serializers.BooleanField(
        required=False, default=False, help_text="Also answer with the model's thoughts and its drafts."
    )
    references = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=14, help_text="Ids of pictures of yours to look at."
    )
    edit_of = serializers.UUIDField(
        required=False, allow_null=True, help_text="The id of a picture of yours to work on further."
    )
    seed = serializers.IntegerField(required=False, allow_null=True)
    parent = serializers.UUIDField(  # type: ignore[assignment]
        required=False,
        allow_null=True,
        help_text="The id of a generation or a picture of yours that this was begun from; without it, edit_of's.",
    )
    reuse = serializers.ChoiceField(
        ["never", "auto"],
        required=False,
        default="never",
        help_text="auto: an earlier or running identical wish of yours answers, and nothing is charged.",
    )
    client_id = serializers.UUIDField(required=False, allow_null=True, help_text="An alias of Idempotency-Key.")


class GenerationListQuery(QueryParameters):
    """Which of my generations."""

    status = serializers.ChoiceField(Status.values, required=False)
    model = serializers.CharField(max_length=100, required=False, help_text="An id or an alias.")
    kind = serializers.ChoiceField(["image", "video"], required=False)
    created_after = MomentField(required=False, help_text="ISO 8601 with a zone; exclusive.")
    created_before = MomentField(required=False, help_text="ISO 8601 with a zone; exclusive.")
    q = serializers.CharField(max_length=200, required=False, help_text="Text that the prompt contains, in any case.")
    family = serializers.UUIDField(required=False, help_text="The id of the generation that the family began with.")

    def validate_model(self, value: str) -> str:
        return catalog.get_model(value).id


class CostSerializer(serializers.Serializer):
    quoted = serializers.CharField()
    held = serializers.CharField()
    charged = serializers.CharField()
    currency = serializers.CharField()


class SourceSerializer(serializers.Serializer):
    uri = serializers.URLField()
    title = serializers.CharField(allow_blank=True)
    domain = serializers.CharField(allow_blank=True)


class DraftPreviewSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    dominant_colour = serializers.CharField()
    url = serializers.URLField(help_text="A small WebP copy, until the call that brought it ends.")


class GroundingSerializer(serializers.Serializer):
    queries = serializers.ListField(child=serializers.CharField())
    sources = SourceSerializer(many=True)


class AttemptSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    slot = serializers.IntegerField(help_text="Which picture of several, from 0; 0 too for a call that asked for all.")
    outcome = serializers.CharField()
    http_status = serializers.IntegerField(allow_null=True)
    upstream_request_id = serializers.CharField(allow_null=True)
    elapsed_ms = serializers.IntegerField(allow_null=True)


class GenerationErrorSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    remedy = serializers.CharField()
    retryable = serializers.BooleanField()
    charged = serializers.BooleanField()


class LinksSerializer(serializers.Serializer):
    # A class attribute named `self` would be hard to read, so that field is added below.
    events = serializers.URLField()
    cancel = serializers.URLField()

    def get_fields(self) -> dict[str, serializers.Field]:
        return {"self": serializers.URLField(), **super().get_fields()}


class ParentSerializer(serializers.Serializer):
    generation = serializers.UUIDField()
    image = serializers.UUIDField(allow_null=True, help_text="None when no one picture was meant, or it was purged.")


class GenerationSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(["queued", "running", "succeeded", "failed", "canceled"])
    stage = serializers.CharField()
    progress = serializers.FloatField(help_text="0 to 1")
    queue_position = serializers.IntegerField(allow_null=True, help_text="1 is taken next; people take turns.")
    queue_reason = serializers.CharField(allow_null=True, help_text="Why it waits, in a sentence for people.")
    eta_s = serializers.FloatField(allow_null=True, help_text="Seconds until the end, from recent calls.")
    model = serializers.CharField()
    kind = serializers.CharField()
    prompt = serializers.CharField()
    parameters = serializers.DictField()
    images = ImageSerializer(many=True)
    text = serializers.CharField(allow_null=True)
    thoughts = serializers.CharField(
        allow_null=True, help_text="What the model thought, with include_thoughts; grows during the job."
    )
    drafts = ImageSerializer(many=True, help_text="Pictures of the model's thinking, never charged, in no list.")
    draft_previews = DraftPreviewSerializer(many=True, help_text="Drafts of a picture that is being painted.")
    grounding = GroundingSerializer(allow_null=True, help_text="What a search brought, as long as it is kept.")
    cost = CostSerializer()
    attempts = AttemptSerializer(many=True)
    error = GenerationErrorSerializer(allow_null=True)
    source = serializers.ChoiceField(["web", "rest", "gemini", "openai", "cli"])  # type: ignore[assignment]
    parent = ParentSerializer(allow_null=True, help_text="What it was begun from.")
    family = serializers.UUIDField(help_text="The generation that all began with that go back to one another.")
    reused_from = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    elapsed_ms = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField()
    links = LinksSerializer()


class PriceSerializer(serializers.Serializer):
    unit = serializers.ChoiceField(["image", "video"])
    size = serializers.CharField()
    amount = serializers.CharField(help_text="USD, six places")
    amount_micros = serializers.IntegerField()
    comparison = serializers.CharField(allow_null=True, help_text="The vendor's own list price, USD")
    is_placeholder = serializers.BooleanField()


class ModelSerializer(serializers.Serializer):
    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    aliases = serializers.ListField(child=serializers.CharField())
    kinds = serializers.ListField(child=serializers.CharField())
    sizes = serializers.ListField(child=serializers.CharField())
    aspect_ratios = serializers.ListField(child=serializers.CharField())
    capabilities = serializers.DictField()
    lifecycle = serializers.CharField()
    replacement = serializers.CharField(allow_null=True)
    prices = PriceSerializer(many=True)
    is_default = serializers.BooleanField()


class LimitSerializer(serializers.Serializer):
    name = serializers.CharField(help_text="Such as images_per_day; key_ or site_ in front for a limit of those")
    source = serializers.CharField(help_text="Whose it is: plan, own, key or site")  # type: ignore[assignment]
    limit = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)


class BalanceSerializer(serializers.Serializer):
    available = serializers.CharField()
    held = serializers.CharField()
    spent = serializers.CharField()
    currency = serializers.CharField()


class AccountSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    plan = serializers.CharField()
    balance = BalanceSerializer()
    limits = LimitSerializer(many=True)
    created_at = serializers.DateTimeField()
