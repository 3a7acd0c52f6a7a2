"""Who can see a picture, in its owner's words: what was asked for, what was decided and why, what can be done now."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from gallery.models import Image, Review, Statement
from gallery.review.owners import APPEAL_WITHIN, why_not_appealable
from gallery.sharing import token_of

Status = Image.ReviewStatus
# What `publication_of` reads, to be loaded with the picture.
WITH_REVIEW = (
    "review__decision__reason",
    "review__decision__statement",
    "review__decision__appeal",
    "review__decision__decision_before__statement",
    "review__decision__decision_before__reason",
)
STATES = {
    Status.PENDING: "In review",
    Status.ESCALATED: "In review",
    Status.REPORTED: "In review",
    Status.APPEALED: "Appealed",
    Status.REJECTED: "Not published",
    Status.QUARANTINED: "Shut away",
}
ICONS = {"Public": "publish", "Unlisted": "link", "Private": "lock"}
TONES = {"Public": "good", "Unlisted": "good", "In review": "info", "Appealed": "info", "Private": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A share link that answers now, under the address by which this page was asked for."""

    id: UUID
    path: str
    expires_at: datetime | None
    views: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The state in two words, the sentence below it, and the forms that make sense now."""

    state: str
    icon: str
    tone: str
    sentence: str
    statement: Statement | None
    appeal_outcome: str
    appealable_until: datetime | None
    may_ask: bool
    may_withdraw: bool
    needs_alt_text: bool
    visibility: str
    is_asked: bool
    is_public: bool
    discloses_prompt: bool
    has_prompt: bool
    links: "list[Link]"

    @property
    def may_appeal(self) -> bool:
        return self.appealable_until is not None


def state_of(image: Image) -> str:
    """The plate of a tile: empty for a picture that is simply private."""
    if image.review_status == Status.APPROVED and image.visibility != Image.Visibility.PRIVATE:
        return Image.Visibility(image.visibility).label
    return STATES.get(Status(image.review_status), "")


def publication_of(image: Image) -> Publication:
    """What the page of one's own picture says about who can see it; no query but for links if it has WITH_REVIEW."""
    review = getattr(image, "review", None)
    state = state_of(image) or "Private"
    is_asked = image.visibility != Image.Visibility.PRIVATE
    can_change = image.review_status in (Status.NONE, Status.PENDING, Status.ESCALATED, Status.APPROVED)
    return Publication(
        state=state,
        icon=ICONS.get(state, "review" if state in ("In review", "Appealed") else "alert"),
        tone=TONES.get(state, "bad"),
        sentence=_sentence(image, state, review),
        statement=_statement(review),
        appeal_outcome=_appeal_outcome(review),
        appealable_until=_appealable_until(review),
        may_ask=can_change and image.trashed_at is None,
        may_withdraw=is_asked,
        needs_alt_text=not image.alt_text.strip(),
        visibility=image.visibility,
        is_asked=is_asked,
        is_public=image.is_public,
        discloses_prompt=image.discloses_prompt,
        has_prompt=bool(image.prompt),
        links=_links(image) if image.is_public else [],
    )


def _links(image: Image) -> list[Link]:
    return [
        Link(
            id=link.public_id,
            path=reverse("gallery:shared", args=[token]),
            expires_at=link.expires_at,
            views=link.views,
        )
        for link in image.share_links.live(timezone.now())
        if (token := token_of(link))
    ]


def _sentence(image: Image, state: str, review: Review | None) -> str:
    match state:
        case "Public":
            return "Everybody, in the gallery."
        case "Unlisted":
            return "Whoever has its address."
        case "In review" if review is not None and review.source == "report":
            return "Viewers have reported it. Until a reviewer has looked at it, only you can see it."
        case "In review":
            return "Waiting for a reviewer. Until then only you can see it."
        case "Appealed":
            return "Another person looks at your appeal. Until then only you can see it."
        case "Shut away":
            return "Nobody but the reviewers can see it, not even you."
    return "Only you."


def _statement(review: Review | None) -> Statement | None:
    """What was told about the refusal that holds, also while an appeal against it is open."""
    if review is None or review.image.review_status not in (Status.REJECTED, Status.APPEALED, Status.QUARANTINED):
        return None
    decision = review.decision
    for step in (decision, decision.decision_before if decision else None):
        if step is not None and hasattr(step, "statement"):
            return step.statement
    return None


def _appeal_outcome(review: Review | None) -> str:
    decision = review.decision if review else None
    if review is None or decision is None or decision.from_status != Status.APPEALED:
        return ""
    if review.image.review_status == Status.REJECTED:
        wrote = f' They wrote: "{decision.note}"' if decision.note else ""
        return f"You appealed, and another person has decided the same.{wrote}"
    return "You appealed, and another person has decided for you." if review.image.review_status == "approved" else ""


def _appealable_until(review: Review | None) -> datetime | None:
    if review is None or review.decision is None or why_not_appealable(review):
        return None
    return review.decision.created_at + APPEAL_WITHIN
