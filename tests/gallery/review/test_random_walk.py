"""Whatever owners, viewers and reviewers do, in whatever order: no picture reaches a state it must not be in."""

import os
import random

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.errors import ServiceError
from gallery.models import Appeal, Image, Review, ReviewStep
from gallery.review import claims, decisions, owners, reports
from gallery.review.steps import EDGES
from tests.gallery.review.desk import make_picture, make_reviewer

ACTIONS = int(os.environ.get("REVIEW_WALK", "400"))  # the long form is 10,000
CODES = ("spam", "trademark", "csam", "provider_policy")


@pytest.mark.slow
@pytest.mark.django_db
def test_a_random_walk_reaches_no_illegal_state(alice, settings):
    settings.REPORTS_TO_REVIEW = 2
    dice = random.Random(20261127)
    reviewers = [make_reviewer(f"reviewer{index}") for index in range(4)]
    pictures = [make_picture(dice.choice([alice, reviewers[0]])) for _ in range(8)]
    taken = refused = 0
    keys_before: set[str] = set()
    ended: set[str] = set()
    for _ in range(ACTIONS):
        settings.REVIEW_MODE = dice.choice(["pre", "pre", "flagged", "post"])
        if dice.random() < 0.1:  # otherwise all would soon be old ones, which never begin anew
            pictures[dice.randrange(len(pictures))] = make_picture(alice)
        image, reviewer = dice.choice(pictures), dice.choice(reviewers)
        try:
            act(dice, image, reviewer)
            taken += 1
        except ServiceError:
            refused += 1
        check(image)
        keys = set(Image.objects.exclude(publication_key=None).values_list("publication_key", flat=True))
        ended |= keys_before - keys
        assert not ended & keys, "an address that has ended answers again"
        keys_before = keys
    for image in Image.objects.all():
        check_history(image)
    assert taken > ACTIONS / 10
    assert refused > ACTIONS / 10
    assert set(ReviewStep.objects.values_list("to_status", flat=True)) == {*EDGES}, "the walk must come everywhere"


def act(dice, image, reviewer):
    review = Review.objects.filter(image=image).first()
    version = review.version - (dice.random() < 0.05) if review else 0
    common = {"reviewer": reviewer, "image_id": image.public_id}
    owned = {"owner": image.owner, "public_id": image.public_id}
    match dice.randrange(12):
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
