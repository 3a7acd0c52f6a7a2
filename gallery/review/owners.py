"""What an owner may ask of the review: to publish, to withdraw, and to appeal once against a decision (TRUST M12)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput
from accounts.guests import refuse_guest
from accounts.models import User
from gallery.models import HIDDEN_KINDS, MAX_APPEAL_CHARS, Appeal, Image, Review
from gallery.review.steps import Place, Status, enter, place_of, refuse_stale, round_of, take_step
from gallery.screening.rules import admit, screen
from gallery.screening.verdicts import Verdict

APPEAL_WITHIN = timedelta(days=183)
PUBLISHABLE = (Image.Visibility.UNLISTED.value, Image.Visibility.PUBLIC.value)
FLAGGED = ("flag", "block")  # actions of rules that keep a picture back in REVIEW_MODE flagged

Hits = Sequence[Mapping[str, Any]]


def request_publication(
    *, owner: User, public_id: UUID | str, visibility: str, rule_hits: Hits = (), version: int | None = None
) -> Image:
    """Ask that others may see a picture of `owner`; what they may see is decided by REVIEW_MODE and the reviewers.

    What the prompt filter found goes along, and `rule_hits` beside it, each {"rule", "version", "class", "start",
    "end", "score" 0 to 1, "action"}; `version` is the review's. Asking for what is asked for already changes nothing.
    Raises NotFound, InvalidInput, Conflict, and PromptRejected for a title or an alternative text that a rule blocks.
    """
    if visibility not in PUBLISHABLE:
        raise InvalidInput.of(
            "visibility", "The visibility asked for is unlisted or public; to take it back, withdraw."
        )
    refuse_guest(owner, "Without an account nothing is published.")
    image = _own(owner, public_id)
    if image.kind in HIDDEN_KINDS:
        raise Conflict("Only pictures that were made here can be published.", remedy="Choose another picture.")
    if image.trashed_at is not None:
        raise Conflict("This picture is in the trash.", remedy="Restore it first.")
    if not image.alt_text.strip():
        raise InvalidInput.of("alt_text", "Say in a sentence what the picture shows, for those who cannot see it.")
    hits = [*_hits_of(image), *rule_hits]
    with transaction.atomic():
        review = enter(image)
        refuse_stale(review, version, asked_by_owner=True)
        match review.image.review_status:
            case Status.NONE:
                _first_request(review, owner, visibility, hits)
            case Status.PENDING | Status.ESCALATED | Status.APPROVED as status:
                if review.image.visibility != visibility:
                    _ask_anew(review, owner, "request", status, visibility)
            case Status.REJECTED:
                raise Conflict("This picture was not published.", remedy="You can appeal once, on its page.")
            case _:
                raise Conflict("This picture is being looked at; nothing can be asked for now.")
    return Image.objects.with_blob().get(pk=image.pk)


def withdraw(*, owner: User, public_id: UUID | str, version: int | None = None) -> Image:
    """Let nobody else see a picture any more, at once; one that waits for its first decision leaves the queue.

    What was reported stays with the reviewers. A second time changes nothing. Raises NotFound and Conflict.
    """
    image = _own(owner, public_id)
    with transaction.atomic():
        review = Review.objects.select_related("image", "decision__reason").filter(image=image).first()
        if review is None:
            return image
        refuse_stale(review, version, asked_by_owner=True)
        status = review.image.review_status
        leaves = status == Status.PENDING and review.source in ("request", "rule", "reword")
        if leaves or review.image.visibility != Image.Visibility.PRIVATE:
            to_status = Status.NONE.value if leaves else status
            _ask_anew(review, owner, "withdraw", to_status, Image.Visibility.PRIVATE.value, leaves_queue=leaves)
    return Image.objects.with_blob().get(pk=image.pk)


def appeal(*, owner: User, public_id: UUID | str, text: str, version: int | None = None) -> Appeal:
    """Answer a refusal, once and within APPEAL_WITHIN; another person than who refused decides.

    Raises NotFound, InvalidInput (no text, or more than MAX_APPEAL_CHARS) and Conflict.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > MAX_APPEAL_CHARS or "\0" in text:
        found = f"This has {len(text)} characters" if text else "Nothing is written"
        raise InvalidInput.of("text", f"{found}; an appeal has 1 to {MAX_APPEAL_CHARS}.")
    image = _own(owner, public_id)
    with transaction.atomic():
        review = Review.objects.select_related("image", "decision__reason").filter(image=image).first()
        if review is None:
            raise Conflict("There is no decision to appeal against.")
        refuse_stale(review, version, asked_by_owner=True)
        if problem := why_not_appealable(review):
            raise Conflict(problem, remedy="Nothing more can be done with this decision.")
        assert review.decision is not None
        risk = max(review.risk, 0)
        take_step(
            review,
            "appeal",
            to_status=Status.APPEALED,
            actor=owner,
            place=Place(source="appeal", risk=risk, since=timezone.now()),
            asked_by_owner=True,
        )
        return Appeal.objects.create(decision=review.decision, text=text)


def note_new_words(image: Image, *, changed: Collection[str], verdict: Verdict) -> None:
    """What is published with a picture has changed: what was approved were other words (REVIEW_MODE pre).

    `verdict` is the prompt filter's on the fields that have `changed`. A reviewer who has the old ones on the screen
    is told, whatever the mode. Precondition: the transaction that changes them. Raises ReviewConflict.
    """
    review = Review.objects.select_related("image", "decision__reason").filter(image=image).first()
    if review is None:
        return
    review.rule_hits = [hit for hit in review.rule_hits if hit.get("field") not in changed] + verdict.kept()
    review.categories = categories_of(
        [*review.categories.split("|"), *(str(hit.get("class", "")) for hit in review.rule_hits)]
    )
    review.risk = max(review.risk, *(hit.risk for hit in verdict.hits), 0)
    status, place = review.image.review_status, place_of(review)
    to_status = status
    if status == Status.APPROVED and place is None:
        if settings.REVIEW_MODE != "pre":
            return
        is_asked = review.image.visibility != Image.Visibility.PRIVATE
        to_status = Status.PENDING.value if is_asked else Status.NONE.value
        place = Place(source="reword", risk=review.risk, since=timezone.now()) if is_asked else None
    elif place is None:
        return
    take_step(
        review,
        "reword",
        to_status=to_status,
        actor=review.image.owner,
        place=place,
        round=round_of(review),
        asked_by_owner=True,
    )


def why_not_appealable(review: Review) -> str:
    """Why there can be no appeal now, in a sentence; empty when there can."""
    decision = review.decision
    if review.image.review_status == Status.APPEALED:
        return "Your appeal is being looked at."
    if review.image.review_status != Status.REJECTED or decision is None:
        return "There is no refusal to appeal against."
    if decision.from_status == Status.APPEALED or hasattr(decision, "appeal"):
        return "You have appealed already, and another person has decided."
    if decision.reason is not None and not decision.reason.is_appealable:
        return "A decision for this reason cannot be appealed here."
    if decision.created_at + APPEAL_WITHIN < timezone.now():
        return f"An appeal is possible for {APPEAL_WITHIN.days} days; they are over."
    return ""


def categories_of(codes: Iterable[str]) -> str:
    """As Review.categories keeps them."""
    known = sorted({code for code in codes if code and "|" not in code})
    return f"|{'|'.join(known)}|" if known else ""


def _own(owner: User, public_id: UUID | str) -> Image:
    return Image.objects.owned_by(owner).with_blob().get_public(public_id)


def _hits_of(image: Image) -> list[dict[str, Any]]:
    """What was found when it was asked for, what later rules find in its prompt, and what its own words hold now."""
    words = admit({name: text for name in ("title", "alt_text") if (text := getattr(image, name))})
    known = {hit.get("rule") for hit in image.rule_hits}
    prompt = [hit for hit in screen({"prompt": image.prompt}).kept() if hit["rule"] not in known]
    return [*image.rule_hits, *prompt, *words.kept()]


def _first_request(review: Review, owner: User, visibility: str, rule_hits: Hits) -> None:
    mode = settings.REVIEW_MODE
    review.rule_hits = [dict(hit) for hit in rule_hits]
    review.categories = categories_of(str(hit.get("class", "")) for hit in rule_hits)
    flags = [hit for hit in rule_hits if hit.get("action") in FLAGGED]
    risk = max((round(100 * float(hit.get("score", 1))) for hit in flags), default=0)
    is_shown = mode == "post" or (mode == "flagged" and not flags)
    waits = mode != "flagged" or bool(flags)
    source = "rule" if flags else "post" if mode == "post" else "request"
    take_step(
        review,
        "request",
        to_status=Status.PENDING,
        actor=owner,
        visibility=visibility,
        place=Place(source=source, risk=min(100, max(0, risk)), since=timezone.now()),
        asked_by_owner=True,
    )
    if is_shown:
        take_step(
            review,
            "approve",
            to_status=Status.APPROVED,
            actor=None,
            place=place_of(review) if waits else None,
            decides=True,
            is_automated=True,
            asked_by_owner=True,
        )


def _ask_anew(
    review: Review, owner: User, verb: str, to_status: str, visibility: str, *, leaves_queue: bool = False
) -> None:
    take_step(
        review,
        verb,
        to_status=to_status,
        actor=owner,
        visibility=visibility,
        place=None if leaves_queue else place_of(review),
        round=round_of(review),
        asked_by_owner=True,
    )
