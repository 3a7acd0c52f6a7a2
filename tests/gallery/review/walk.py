"""A walk of random actions through the review: owners, viewers and reviewers, in whatever order."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from django.contrib.auth.models import AnonymousUser
from django.test import override_settings
from django.utils import timezone

from accounts.errors import ServiceError
from accounts.models import User
from gallery import services
from gallery.models import Appeal, Image, Review, ReviewStep
from gallery.review import claims, decisions, owners, reports
from gallery.review.steps import EDGES
from tests.gallery.review.desk import make_picture, make_reviewer

CODES = ("spam", "trademark", "csam", "provider_policy")


@dataclass(kw_only=True)
class Walk:
    """What is wrong afterwards is an AssertionError where it happened."""

    owner: User
    seed: int = 20261127
    taken: int = 0
    refused: int = 0
    reached: set[str] = field(default_factory=set)

    def go(self, actions: int, *, progress: Callable[[int], object] = lambda action: None) -> None:
        dice = random.Random(self.seed)
        reviewers = [make_reviewer(f"reviewer{index}") for index in range(4)]
        pictures = [make_picture(dice.choice([self.owner, reviewers[0]])) for _ in range(6)]
        keys_before: set[str] = set()
        ended: set[str] = set()
        for action in range(actions):
            progress(action)
            mode = dice.choice(["pre", "pre", "flagged", "post"])
            if dice.random() < 0.06:  # otherwise all would soon be old ones, which never begin anew
                pictures[dice.randrange(len(pictures))] = make_picture(self.owner)
            image, reviewer = dice.choice(pictures), dice.choice(reviewers)
            try:
                with override_settings(REVIEW_MODE=mode, REPORTS_TO_REVIEW=2):
                    act(dice, image, reviewer)
                self.taken += 1
            except ServiceError:
                self.refused += 1
            check(image)
            keys = set(Image.objects.exclude(publication_key=None).values_list("publication_key", flat=True))
            ended |= keys_before - keys
            assert not ended & keys, "an address that has ended answers again"
            keys_before = keys
        for image in Image.objects.all():
            check_history(image)
        self.reached = set(ReviewStep.objects.values_list("to_status", flat=True))


def act(dice, image, reviewer):
    review = Review.objects.filter(image=image).first()
    version = review.version - (dice.random() < 0.05) if review else 0
    common = {"reviewer": reviewer, "image_id": image.public_id}
    owned = {"owner": image.owner, "public_id": image.public_id}
    image.refresh_from_db()
    # What only one state allows is tried there more often, so that a short walk comes everywhere.
    likely = {"rejected": 2, "approved": 3}.get(image.review_status)
    match likely if likely and dice.random() < 0.4 else dice.randrange(13):
        case 0:
            owners.request_publication(**owned, visibility=dice.choice(["unlisted", "public"]))
        case 1:
            owners.withdraw(**owned)
        case 2:
            owners.appeal(**owned, text="Please look again.")
        case 3:
            reports.report(
                viewer=AnonymousUser(),
                address=f"192.0.2.{dice.randrange(200)}",
                public_id=image.public_id,
                reason=dice.choice(CODES),
            )
        case 4:
            claims.claim(**common)
        case 5:
            decisions.undo(**common, version=version)
        case 6:
            decisions.decide(verb="escalate", **common, version=version)
        case 7:
            decisions.decide(verb="quarantine", **common, version=version, reason="csam")
        case 8:
            Review.objects.filter(image=image, claimed_until__isnull=False).update(claimed_until=timezone.now())
        case 9:
            services.edit_image(owner=image.owner, public_id=image.public_id, title=f"Title {dice.random()}")
        case 10:
            decisions.decide(verb="reject", **common, version=version, reason=dice.choice(CODES))
        case _:
            decisions.decide(verb="approve", **common, version=version)


def check(image):
    """The invariants of one picture and its review."""
    image.refresh_from_db()
    review = Review.objects.select_related("decision").filter(image=image).first()
    is_shown = image.review_status == "approved" and image.visibility != "private"
    assert is_shown == (image.publication_key is not None)
    if review is None:
        assert (image.review_status, image.visibility) == ("none", "private")
        return
    status = image.review_status
    last = review.steps.order_by("-version").first()
    assert (last.version, last.to_status, last.visibility) == (review.version, status, image.visibility)
    must_wait = status in ("pending", "escalated", "appealed")
    assert (review.queued_at is not None) == must_wait or (status == "approved" and review.source in ("post", "rule"))
    assert status != "reported"
    if status in ("rejected", "quarantined"):
        assert review.decision.to_status == status
    if status == "quarantined":
        assert_two_agreed(review, review.decision)
    assert review.holder_id(timezone.now()) is None or review.queued_at is not None
    assert Appeal.objects.filter(decision__review=review, decision__from_status="appealed").count() == 0


def check_history(image):
    """Every step of it followed from the one before, or went back to where the undone one came from."""
    status = "none"
    for number, step in enumerate(ReviewStep.objects.filter(review__image=image).order_by("version"), 1):
        assert (step.version, step.from_status) == (number, status)
        goes_back = step.undoes is not None and step.to_status == step.undoes.from_status
        assert goes_back or step.to_status in EDGES[status]
        if step.verb in decisions.OUTCOMES and step.actor:
            assert step.actor != image.owner
        status = step.to_status
    assert status == image.review_status


def assert_two_agreed(review, decision):
    agreeing = review.steps.filter(
        version__gt=decision.round_version_before, version__lte=decision.version, proposed="quarantined", undone_by=None
    )
    assert agreeing.values("actor").distinct().count() >= 2
