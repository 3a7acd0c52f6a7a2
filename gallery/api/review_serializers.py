"""The review over REST: what is sent and what is answered, for owners, viewers and reviewers."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from accounts.errors import FieldError, InvalidInput
from gallery import sources
from gallery.api.serializers import QueryParameters, file_url
from gallery.models import MAX_APPEAL_CHARS, MAX_NOTE_CHARS, Image, Review, Statement
from gallery.review import statements
from gallery.review.access import name_of_reviewer
from gallery.review.owners import PUBLISHABLE
from gallery.review.resemblance import Alike


class StrictBody(serializers.Serializer[dict[str, Any]]):
    """A body whose unknown fields are refused by name."""

    def to_internal_value(self, data: Any) -> Any:
        allowed = ", ".join(self.fields)
        unknown = [FieldError(name, f"Unknown field; there are {allowed}.") for name in data if name not in self.fields]
        if unknown:
            raise InvalidInput(f"There is no field {unknown[0].field!r}; there are {allowed}.", errors=tuple(unknown))
        return super().to_internal_value(data)


class PublishBody(StrictBody):
    """Who is to see it."""

    visibility = serializers.ChoiceField(list(PUBLISHABLE))
    discloses_prompt = serializers.BooleanField(
        required=False,
        help_text="Whether those who see it may read its prompt; left out, it stays as it is.",
    )


class ReportBody(StrictBody):
    """What is wrong with a public picture."""

    reason = serializers.CharField(
        max_length=30, help_text="The code of a category; another one is refused with a list."
    )
    note = serializers.CharField(max_length=MAX_NOTE_CHARS, required=False, allow_blank=True)


class AppealBody(StrictBody):
    """Why the refusal is wrong."""

    # No limit here: the verb has it, and says how many characters there are.
    text = serializers.CharField(allow_blank=True, help_text=f"1 to {MAX_APPEAL_CHARS} characters.")


class ClaimBody(StrictBody):
    """A claim; `takes_over` takes it from a colleague, which only a superuser may and which is logged."""

    takes_over = serializers.BooleanField(required=False, default=False)


class VersionBody(StrictBody):
    """The version of the review that was looked at."""

    version = serializers.IntegerField(min_value=0)


class ApproveBody(VersionBody):
    """An approval, or a wish for a second look."""

    note = serializers.CharField(max_length=MAX_NOTE_CHARS, required=False, allow_blank=True, default="")


class RejectBody(ApproveBody):
    """A refusal; for an appealed one the reason may be left out, and stays."""

    reason = serializers.CharField(max_length=30, required=False, allow_blank=True, default="")


class BulkItem(StrictBody):
    """One of many."""

    id = serializers.UUIDField()
    version = serializers.IntegerField(min_value=0)


class BulkBody(StrictBody):
    """The same decision over up to 200 pictures."""

    verb = serializers.ChoiceField(["approve", "reject", "escalate"])
    reason = serializers.CharField(max_length=30, required=False, allow_blank=True, default="")
    note = serializers.CharField(max_length=MAX_NOTE_CHARS, required=False, allow_blank=True, default="")
    items = BulkItem(many=True)


class QueueQuery(QueryParameters):
    """Which pictures of the queue."""

    source = serializers.ChoiceField(  # type: ignore[assignment]
        ["request", "rule", "report", "appeal", "second_look", "post", "reword"],
        required=False,
        help_text="Why it waits.",
    )


def moment(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


def review_body(review: Review, request: Any) -> dict[str, Any]:
    """The one JSON form of a review, as ReviewSerializer describes it; reads the image."""
    image, now = review.image, timezone.now()
    return {
        "id": str(image.public_id),
        "version": review.version,
        "review_status": image.review_status,
        "visibility": image.visibility,
        "source": review.source,
        "risk": review.risk,
        "queued_at": moment(review.queued_at),
        "due_at": moment(review.due_at),
        "claimed_until": moment(review.claimed_until) if review.holder_id(now) else None,
        "prompt": image.prompt,
        "caption": image.caption,
        "title": image.title,
        "alt_text": image.alt_text,
        "rule_hits": review.rule_hits,
        "sources": [{"uri": source.uri, "name": source.name} for source in sources.read(image.sources)],
        "url": file_url(image, request),
    }


class ReviewSerializer(serializers.Serializer[Review]):
    """A picture in the review, as its reviewers see it."""

    id = serializers.UUIDField(help_text="Of the picture.")
    version = serializers.IntegerField(help_text="To be sent with every decision.")
    review_status = serializers.ChoiceField(Image.ReviewStatus.values)
    visibility = serializers.ChoiceField(Image.Visibility.values, help_text="As its owner asks.")
    source = serializers.CharField(allow_blank=True, help_text="Why it waits, or waited.")  # type: ignore[assignment]
    risk = serializers.IntegerField(help_text="0 to 100; the queue is in this order, then by age.")
    queued_at = serializers.DateTimeField(allow_null=True, help_text="Null: it waits for nothing.")
    due_at = serializers.DateTimeField(allow_null=True)
    claimed_until = serializers.DateTimeField(allow_null=True, help_text="Somebody looks at it until then.")
    prompt = serializers.CharField(allow_blank=True)
    caption = serializers.CharField(allow_blank=True)
    title = serializers.CharField(allow_blank=True)
    alt_text = serializers.CharField(allow_blank=True)
    rule_hits = serializers.ListField(child=serializers.DictField(), help_text="What screening found, with its spans.")
    sources = serializers.ListField(
        child=serializers.DictField(), help_text="Pages that a search found for it, `uri` and `name`; third-party text."
    )
    url = serializers.URLField(help_text="The original's bytes; answers are not to be kept.")


class SimilarSerializer(serializers.Serializer[Any]):
    """A picture of the review that looks like another one."""

    id = serializers.UUIDField()
    version = serializers.IntegerField(help_text="To be sent with a decision.")
    distance = serializers.IntegerField(help_text="In how many of 64 bits they differ; 0 for the same bytes too.")
    review_status = serializers.ChoiceField(Image.ReviewStatus.values)
    reason = serializers.CharField(allow_null=True, help_text="The code of the category, of a refusal.")
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    url = serializers.URLField()


class ClusterSerializer(serializers.Serializer[Any]):
    """What looks like a picture: decided the nearest first, waiting the longest first, with their versions."""

    decided = SimilarSerializer(many=True)
    waiting = SimilarSerializer(many=True)


def similar_body(alike: Alike, request: Any) -> dict[str, Any]:
    """As SimilarSerializer describes it."""
    review, image = alike.review, alike.review.image
    decision = review.decision if review.queued_at is None else None
    return {
        "id": str(image.public_id),
        "version": review.version,
        "distance": alike.distance,
        "review_status": image.review_status,
        "reason": decision.reason.code if decision and decision.reason else None,
        "decided_by": name_of_reviewer(decision.actor) if decision else None,
        "decided_at": moment(decision.created_at) if decision else None,
        "url": file_url(image, request),
    }


class BulkResultSerializer(serializers.Serializer[dict[str, Any]]):
    """What became of one of many."""

    id = serializers.UUIDField()
    version = serializers.IntegerField(allow_null=True)
    review_status = serializers.CharField(allow_null=True, help_text="Null: it was not decided.")
    error = serializers.DictField(allow_null=True, help_text="code, detail, and who decided it.")


class StatementOfReasonsSerializer(serializers.Serializer[Statement]):
    """A statement of reasons; `dsa` has the names of the DSA Transparency Database."""

    image = serializers.UUIDField()
    reason = serializers.CharField(help_text="The code of the category.")
    policy_version = serializers.IntegerField()
    explanation = serializers.CharField()
    facts = serializers.CharField()
    money = serializers.CharField()
    is_in_force = serializers.BooleanField()
    appealable_until = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField()
    dsa = serializers.DictField()


def statement_body(statement: Statement) -> dict[str, Any]:
    """As StatementOfReasonsSerializer describes it."""
    step = statement.step
    assert step.reason is not None
    return {
        "image": str(step.review.image.public_id),
        "reason": step.reason.code,
        "policy_version": step.policy_version,
        "explanation": step.reason.user_text,
        "facts": statement.facts,
        "money": statement.money,
        "is_in_force": statements.is_in_force(statement),
        "appealable_until": moment(statements.appealable_until(statement)),
        "decided_at": moment(statement.created_at),
        "dsa": statements.as_dsa(statement),
    }
