"""What an owner may ask of the review: to publish, to withdraw, to appeal."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput, NotFound
from gallery import services
from gallery.errors import SecondPersonNeeded
from gallery.models import Appeal, Image, Review, ReviewStep
from gallery.review import claims, decisions, owners
from tests.gallery.review.desk import decide, make_pending, make_picture, review_of, state_of

pytestmark = pytest.mark.django_db
FLAG = {"rule": "brands", "version": 41, "class": "trademark", "start": 2, "end": 6, "score": 0.81, "action": "flag"}


def ask(owner, image, visibility="public", **fields):
    return owners.request_publication(owner=owner, public_id=image.public_id, visibility=visibility, **fields)


def test_a_request_waits_for_a_reviewer(alice):
    image = make_pending(alice, rule_hits=[FLAG])
    review = review_of(image)
    assert state_of(image) == ("pending", "public", False)
    assert (review.source, review.risk, review.categories, review.rule_hits) == ("rule", 81, "|trademark|", [FLAG])
    assert review.due_at - review.queued_at == timedelta(hours=1)
    assert not image.is_public


def test_asking_twice_changes_nothing_and_another_visibility_is_logged(alice):
    image = make_pending(alice)
    ask(alice, image)
    assert ReviewStep.objects.count() == 1
    ask(alice, image, "unlisted")
    assert state_of(image) == ("pending", "unlisted", False)
    assert [step.visibility for step in ReviewStep.objects.all()] == ["public", "unlisted"]


@pytest.mark.parametrize("visibility", ["private", "everybody", ""])
def test_only_unlisted_and_public_can_be_asked_for(alice, visibility):
    image = make_picture(alice)
    with pytest.raises(InvalidInput) as refusal:
        ask(alice, image, visibility)
    assert refusal.value.errors[0].field == "visibility"
    assert not Review.objects.exists()


def test_a_picture_without_alternative_text_is_not_published(alice):
    image = make_picture(alice, caption="")
    with pytest.raises(InvalidInput) as refusal:
        ask(alice, image)
    assert refusal.value.errors[0].field == "alt_text"
    assert state_of(image) == ("none", "private", False)
    assert not Review.objects.exists()


def test_uploads_trash_and_other_peoples_pictures_are_not_published(alice, bob):
    image = make_picture(alice)
    with pytest.raises(NotFound):
        ask(bob, image)
    with pytest.raises(Conflict):
        ask(alice, make_picture(alice, kind="draft"))
    services.trash_image(owner=alice, public_id=image.public_id)
    with pytest.raises(Conflict, match="trash"):
        ask(alice, image)
    assert not Review.objects.exists()


def test_withdrawing_ends_the_address_and_publishing_again_gives_another(alice, ines):
    image = make_pending(alice)
    decide("approve", ines, image)
    first = Image.objects.get(pk=image.pk).publication_key
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert state_of(image) == ("approved", "private", False)
    steps = ReviewStep.objects.count()
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert ReviewStep.objects.count() == steps
    ask(alice, image, "unlisted")
    assert state_of(image) == ("approved", "unlisted", True)
    assert Image.objects.get(pk=image.pk).publication_key != first


def test_withdrawing_what_waits_takes_it_out_of_the_queue(alice, ines):
    image = make_pending(alice)
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert state_of(image) == ("none", "private", False)
    assert claims.claim_next(reviewer=ines) is None
    ask(alice, image)
    assert claims.claim_next(reviewer=ines).image == image


def test_what_was_handed_on_stays_with_the_reviewers(alice, ines):
    image = make_pending(alice)
    decide("escalate", ines, image)
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert state_of(image) == ("escalated", "private", False)
    assert review_of(image).queued_at is not None


@pytest.mark.parametrize(
    ("mode", "hits", "status", "waits"),
    [
        ("pre", (), "pending", True),
        ("flagged", (), "approved", False),
        ("flagged", (FLAG,), "pending", True),
        ("flagged", ({**FLAG, "action": "allow"},), "approved", False),
        ("post", (), "approved", True),
        ("post", (FLAG,), "approved", True),
    ],
)
def test_the_mode_of_the_site_says_what_is_public_before_a_person_looks(alice, settings, mode, hits, status, waits):
    settings.REVIEW_MODE = mode
    image = make_pending(alice, rule_hits=hits)
    assert state_of(image) == (status, "public", status == "approved")
    assert (review_of(image).queued_at is not None) == waits
    if status == "approved":
        step = ReviewStep.objects.last()
        assert (step.actor, step.is_automated, step.verb) == (None, True, "approve")


def test_what_is_public_first_is_looked_at_afterwards(alice, ines, settings):
    settings.REVIEW_MODE = "post"
    kept, refused = make_pending(alice), make_pending(alice)
    decide("approve", ines, kept)
    decide("reject", ines, refused, reason="spam")
    assert (state_of(kept), state_of(refused)) == (("approved", "public", True), ("rejected", "public", False))
    assert review_of(kept).queued_at is None


def test_new_words_of_a_published_picture_are_looked_at_first(alice, ines):
    image = make_pending(alice)
    decide("approve", ines, image)
    changed = services.edit_image(owner=alice, public_id=image.public_id, title="Other words")
    assert (changed.review_status, changed.title) == ("pending", "Other words")
    assert state_of(image) == ("pending", "public", False)
    assert (review_of(image).source, ReviewStep.objects.last().verb) == ("reword", "reword")
    services.edit_image(owner=alice, public_id=image.public_id, title="Other words")
    assert ReviewStep.objects.count() == 3
    decide("approve", ines, image)
    owners.withdraw(owner=alice, public_id=image.public_id)
    services.edit_image(owner=alice, public_id=image.public_id, title="Again other words")
    assert state_of(image) == ("none", "private", False)


def test_a_reviewer_does_not_approve_words_that_they_have_not_seen(alice, ines):
    image = make_pending(alice)
    seen = review_of(image).version
    services.edit_image(owner=alice, public_id=image.public_id, alt_text="Something else")
    with pytest.raises(Conflict, match="The owner changed the words of this picture"):
        decisions.approve(reviewer=ines, image_id=image.public_id, version=seen)
    assert state_of(image)[0] == "pending"


def test_what_others_are_to_see_keeps_its_alternative_text(alice):
    image = make_pending(alice)
    with pytest.raises(InvalidInput) as refusal:
        services.edit_image(owner=alice, public_id=image.public_id, alt_text="")
    assert refusal.value.errors[0].field == "alt_text"
    image.refresh_from_db()
    assert image.alt_text == "A blue circle."
    assert ReviewStep.objects.count() == 1


@pytest.mark.parametrize("mode", ["flagged", "post"])
def test_in_the_other_modes_new_words_stay_public(alice, settings, mode):
    settings.REVIEW_MODE = mode
    image = make_pending(alice)
    services.edit_image(owner=alice, public_id=image.public_id, title="Other words")
    assert state_of(image) == ("approved", "public", True)


# --- Appeals -------------------------------------------------------------------------------------


def refused(owner, reviewer, reason="trademark"):
    image = make_pending(owner)
    decide("reject", reviewer, image, reason=reason)
    return image


def appeal(owner, image, text="It is my own sign."):
    return owners.appeal(owner=owner, public_id=image.public_id, text=text)


def test_an_appeal_is_decided_by_others_and_brings_back_what_was_asked_for(alice, ines, omar, kim):
    image = refused(alice, ines)
    appeal(alice, image)
    assert state_of(image) == ("appealed", "public", False)
    with pytest.raises(SecondPersonNeeded):
        decide("approve", ines, image)
    assert claims.claim_next(reviewer=ines) is None
    decide("approve", omar, image)
    assert state_of(image) == ("appealed", "public", False)
    with pytest.raises(SecondPersonNeeded):
        decide("approve", omar, image)
    decide("approve", kim, image)
    assert state_of(image) == ("approved", "public", True)


def test_a_refusal_that_is_upheld_cannot_be_appealed_again(alice, ines, omar):
    image = refused(alice, ines)
    appeal(alice, image)
    step = decide("reject", omar, image)
    assert (state_of(image)[0], step.reason.code) == ("rejected", "trademark")
    with pytest.raises(Conflict, match="already"):
        appeal(alice, image)
    with pytest.raises(Conflict, match="not published"):
        ask(alice, image)
    assert Appeal.objects.count() == 1


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 2001])
def test_an_appeal_has_one_to_two_thousand_characters(alice, ines, text):
    image = refused(alice, ines)
    with pytest.raises(InvalidInput) as refusal:
        appeal(alice, image, text)
    assert refusal.value.errors[0].field == "text"
    assert state_of(image)[0] == "rejected"
    assert not Appeal.objects.exists()
    appeal(alice, image, "x" * 2000)


def test_an_appeal_is_possible_for_183_days(alice, ines, monkeypatch):
    image = refused(alice, ines)
    decided_at = review_of(image).decision.created_at
    monkeypatch.setattr("django.utils.timezone.now", lambda: decided_at + timedelta(days=183, seconds=1))
    with pytest.raises(Conflict, match="183 days"):
        appeal(alice, image)
    monkeypatch.setattr("django.utils.timezone.now", lambda: decided_at + timedelta(days=183))
    appeal(alice, image)
    assert state_of(image)[0] == "appealed"


def test_what_cannot_be_appealed_is_told_so(alice, bob, ines, omar):
    image = make_pending(alice)
    with pytest.raises(Conflict, match="no refusal"):
        appeal(alice, image)
    decide("reject", ines, image, reason="csam")
    decide("reject", omar, image, reason="csam")
    with pytest.raises(Conflict, match="cannot be appealed"):
        appeal(alice, image)
    with pytest.raises(NotFound):
        appeal(bob, image)
    assert not Appeal.objects.exists()


def test_the_owner_is_not_told_who_decides(alice, ines):
    image = make_pending(alice)
    decide("approve", ines, image)
    with pytest.raises(Conflict) as refusal:
        owners.withdraw(owner=alice, public_id=image.public_id, version=1)
    assert "decided_by" not in refusal.value.facts
    assert "Ines" not in refusal.value.message
    assert timezone.now() >= review_of(image).decision.created_at
