"""Claims: a lease on a picture that waits, and what happens when its holder is gone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.errors import Conflict, Forbidden
from gallery import services
from gallery.errors import ClaimLost, SecondPersonNeeded
from gallery.models import Review, ReviewerSettings, ReviewStep
from gallery.review import claims
from tests.gallery.review.desk import decide, make_pending, make_reviewer, review_of, state_of

REVIEWERS, PICTURES = 16, 60


def claim(reviewer, image, **fields):
    return claims.claim(reviewer=reviewer, image_id=image.public_id, **fields)


def run_out(image):
    Review.objects.filter(image=image).update(claimed_until=timezone.now() - timedelta(seconds=1))


def test_the_riskiest_comes_first_and_then_the_oldest(alice, ines, omar):
    calm, _, risky = make_pending(alice), make_pending(alice), make_pending(alice)
    Review.objects.filter(image=risky).update(risk=90)
    assert claims.claim_next(reviewer=ines).image == risky
    assert claims.claim_next(reviewer=omar).image == calm
    assert claims.claim_next(reviewer=ines, skipped=[str(risky.public_id)]).image not in (risky, calm)


def test_a_claim_lasts_ten_minutes_and_is_renewed_by_its_holder(alice, ines, omar):
    image = make_pending(alice)
    first = claim(ines, image).claimed_until
    assert timedelta(minutes=9, seconds=50) < first - timezone.now() <= timedelta(minutes=10)
    with pytest.raises(ClaimLost) as refusal:
        claim(omar, image)
    assert refusal.value.facts["claimed_by"] == "Ines"
    assert claim(ines, image).claimed_until > first
    assert review_of(image).version == 1


def test_only_the_holder_decides_while_a_claim_lasts(alice, ines, omar):
    image = make_pending(alice)
    claim(ines, image)
    with pytest.raises(ClaimLost):
        decide("approve", omar, image)
    assert state_of(image)[0] == "pending"
    decide("approve", ines, image)
    assert review_of(image).claimed_by is None


def test_a_claim_that_ran_out_decides_nothing_and_frees_the_picture(alice, ines, omar):
    image = make_pending(alice)
    claim(ines, image)
    run_out(image)
    with pytest.raises(ClaimLost, match="run out"):
        decide("approve", ines, image)
    assert state_of(image)[0] == "pending"
    assert claims.claim_next(reviewer=omar).image == image
    decide("approve", omar, image)


def test_a_released_picture_is_free_at_once(alice, ines, omar):
    image = make_pending(alice)
    claim(ines, image)
    claims.release(reviewer=omar, image_id=image.public_id)
    assert claims.claim_next(reviewer=omar) is None
    claims.release(reviewer=ines, image_id=image.public_id)
    assert claims.claim_next(reviewer=omar).image == image


def test_taking_over_is_for_superusers_and_is_logged(alice, ines, omar):
    image = make_pending(alice)
    claim(ines, image)
    with pytest.raises(Forbidden):
        claim(omar, image, takes_over=True)
    omar.is_superuser = True
    omar.save()
    assert claim(omar, image, takes_over=True).claimed_by == omar
    step = ReviewStep.objects.last()
    assert (step.verb, step.actor, step.from_status, step.to_status) == ("steal", omar, "pending", "pending")
    assert step.note == f"Held by {ines.public_id}"
    with pytest.raises(ClaimLost):
        decide("approve", ines, image)


def test_what_is_decided_or_ones_own_cannot_be_claimed(alice, ines, omar):
    image, own = make_pending(alice), make_pending(ines)
    decide("approve", omar, image)
    with pytest.raises(Conflict):
        claim(ines, image)
    with pytest.raises(SecondPersonNeeded):
        claim(ines, own)
    assert claims.claim_next(reviewer=ines) is None


def test_trash_and_categories_that_a_reviewer_avoids_do_not_come_up(alice, ines, omar):
    gone = make_pending(alice)
    services.trash_image(owner=alice, public_id=gone.public_id)
    hit = {"rule": "gore", "version": 1, "class": "violence", "start": 0, "end": 1, "score": 0.9, "action": "flag"}
    image = make_pending(alice, rule_hits=[hit])
    ReviewerSettings.objects.create(user=ines, avoided=["violence", "csam"])
    assert claims.claim_next(reviewer=ines) is None
    assert claims.claim_next(reviewer=omar).image == image


def test_who_asked_for_a_second_look_does_not_get_it_back(alice, ines, omar):
    image = make_pending(alice)
    decide("escalate", ines, image)
    assert claims.claim_next(reviewer=ines) is None
    assert claims.claim_next(reviewer=omar).image == image


@pytest.mark.slow
def test_sixteen_reviewers_decide_each_picture_once_and_none_is_lost_when_one_dies(race):
    from tests.people import make_person

    owner = make_person("owner")
    pictures = [make_pending(owner) for _ in range(PICTURES)]
    reviewers = [make_reviewer(f"reviewer{index}") for index in range(REVIEWERS)]

    def work(index):
        decided = 0
        while review := claims.claim_next(reviewer=reviewers[index]):
            decide("approve", reviewers[index], review.image)
            decided += 1
        return decided

    dead = make_reviewer("dead")
    lost = claims.claim_next(reviewer=dead)
    counts = race(REVIEWERS, work)
    assert all(isinstance(count, int) for count in counts), counts
    assert sum(counts) == PICTURES - 1
    assert review_of(lost.image).holder_id(timezone.now()) == dead.pk
    Review.objects.filter(pk=lost.pk).update(claimed_until=timezone.now())
    assert work(0) == 1
    steps = ReviewStep.objects.filter(verb="approve")
    assert steps.count() == steps.values("review").distinct().count() == PICTURES
    assert {state_of(picture) for picture in pictures} == {("approved", "public", True)}


def test_of_two_who_decide_at_once_one_learns_who_was_faster(race):
    from tests.people import make_person

    image = make_pending(make_person("owner"))
    pair = [make_reviewer("ines"), make_reviewer("omar")]
    verbs = [("approve", {}), ("reject", {"reason": "spam"})]
    outcomes = race(2, lambda index: decide(verbs[index][0], pair[index], image, **verbs[index][1]))
    lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    won = [outcome for outcome in outcomes if isinstance(outcome, ReviewStep)]
    assert (len(won), len(lost)) == (1, 1)
    assert isinstance(lost[0], Conflict), lost
    assert ReviewStep.objects.count() == 2
    assert state_of(image)[0] == won[0].to_status
