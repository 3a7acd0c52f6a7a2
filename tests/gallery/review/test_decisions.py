"""Decisions over pictures: what holds, what needs two people, and what is refused."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import Conflict, InvalidInput, NotFound
from gallery.errors import ReviewConflict, SecondPersonNeeded
from gallery.models import Image, Reason, Review, ReviewStep, Statement
from gallery.review import decisions, owners
from gallery.review.decisions import Item
from tests.gallery.review.desk import decide, make_pending, make_picture, review_of, state_of

pytestmark = pytest.mark.django_db


def test_approving_makes_a_picture_public_as_it_was_asked(alice, ines):
    image = make_pending(alice, visibility="unlisted")
    assert state_of(image) == ("pending", "unlisted", False)
    step = decide("approve", ines, image, note="Fine.")
    assert state_of(image) == ("approved", "unlisted", True)
    assert (step.verb, step.from_status, step.to_status, step.actor, step.note) == (
        "approve",
        "pending",
        "approved",
        ines,
        "Fine.",
    )
    assert (step.policy_version, step.version, step.visibility) == (1, 2, "unlisted")
    review = review_of(image)
    assert (review.queued_at, review.due_at, review.decision) == (None, None, step)
    assert image.is_public


def test_a_refusal_needs_a_reason_of_the_policy_and_tells_the_owner(alice, ines):
    image = make_pending(alice)
    with pytest.raises(InvalidInput) as refusal:
        decide("reject", ines, image, reason="ugly")
    assert refusal.value.errors[0].field == "reason"
    assert state_of(image) == ("pending", "public", False)
    assert not Statement.objects.exists()
    step = decide("reject", ines, image, reason="trademark", note="Remove the sign.")
    assert state_of(image) == ("rejected", "public", False)
    statement = Statement.objects.get()
    assert (statement.step, statement.owner) == (step, alice)
    assert statement.facts == (
        'You asked for the picture to be published. A person looked at it. The reviewer wrote: "Remove the sign."'
    )


def test_a_stale_version_is_refused_and_names_who_decided(alice, ines, omar):
    image = make_pending(alice)
    decide("approve", ines, image)
    with pytest.raises(ReviewConflict) as refusal:
        decisions.reject(reviewer=omar, image_id=image.public_id, version=1, reason="spam")
    assert refusal.value.facts["decided_by"] == "Ines"
    assert refusal.value.message.startswith("Ines approved this picture at ")
    assert (refusal.value.facts["version"], refusal.value.facts["review_status"]) == (2, "approved")
    assert state_of(image) == ("approved", "public", True)
    assert ReviewStep.objects.count() == 2


def test_what_is_decided_cannot_be_decided_again(alice, ines, omar):
    image = make_pending(alice)
    decide("approve", ines, image)
    for verb, fields in (("approve", {}), ("reject", {"reason": "spam"}), ("escalate", {})):
        with pytest.raises(Conflict):
            decide(verb, omar, image, **fields)
    assert state_of(image) == ("approved", "public", True)


def test_nobody_decides_over_their_own_picture(ines):
    image = make_pending(ines)
    for verb, fields in (("approve", {}), ("reject", {"reason": "spam"}), ("quarantine", {"reason": "csam"})):
        with pytest.raises(SecondPersonNeeded):
            decide(verb, ines, image, **fields)
    assert state_of(image) == ("pending", "public", False)


def test_a_picture_that_nobody_asked_to_publish_is_not_there_for_reviewers(alice, ines):
    image = make_picture(alice)
    with pytest.raises(NotFound):
        decisions.approve(reviewer=ines, image_id=image.public_id, version=0)
    assert not Review.objects.exists()


def test_a_second_look_is_decided_by_somebody(alice, ines, omar):
    image = make_pending(alice)
    decide("escalate", ines, image, note="Is this a brand?")
    assert state_of(image)[0] == "escalated"
    assert review_of(image).queued_at is not None
    with pytest.raises(Conflict):
        decide("escalate", omar, image)
    decide("approve", omar, image)
    assert state_of(image) == ("approved", "public", True)


def test_quarantine_shuts_the_public_out_at_once_and_needs_a_second_person(alice, ines, omar):
    image = make_pending(alice)
    decide("approve", ines, image)
    first = decide("quarantine", ines, image, reason="csam")
    assert state_of(image) == ("escalated", "public", False)
    assert (first.proposed, review_of(image).risk) == ("quarantined", 100)
    with pytest.raises(SecondPersonNeeded):
        decide("quarantine", ines, image, reason="csam")
    assert not Statement.objects.exists()
    second = decide("quarantine", omar, image, reason="csam")
    assert (second.from_status, second.to_status, second.proposed) == ("escalated", "quarantined", "quarantined")
    assert state_of(image) == ("quarantined", "public", False)
    assert Statement.objects.get().facts.endswith("Two people looked at it, one after the other.")
    assert not Image.objects.visible_to(alice).filter(pk=image.pk).exists()
    assert Image.objects.visible_to(omar, reviews=True).filter(pk=image.pk).exists()


def test_two_who_disagree_leave_it_to_a_third_person(alice, ines, omar, kim):
    image = make_pending(alice)
    decide("reject", ines, image, reason="extremism")
    assert state_of(image)[0] == "escalated"
    decide("approve", omar, image)
    assert state_of(image) == ("escalated", "public", False)
    decide("approve", kim, image)
    assert state_of(image) == ("approved", "public", True)
    assert not review_of(image).needs_two


def test_a_conflict_does_not_tell_the_second_person_what_the_first_proposed(alice, ines, omar):
    image = make_pending(alice)
    version = review_of(image).version
    decide("reject", ines, image, reason="extremism")
    with pytest.raises(ReviewConflict) as refusal:
        decisions.approve(reviewer=omar, image_id=image.public_id, version=version)
    assert refusal.value.message.startswith("Ines made a first decision on this picture at ")
    assert "reject" not in repr(refusal.value.facts)


def test_what_two_people_shut_away_only_two_let_out(alice, ines, omar, kim):
    image = make_pending(alice)
    decide("quarantine", ines, image, reason="csam")
    decide("quarantine", omar, image, reason="csam")
    decide("escalate", kim, image)
    decide("approve", ines, image)
    assert state_of(image)[0] == "escalated"
    decide("approve", omar, image)
    assert state_of(image) == ("approved", "public", True)


def test_a_decision_is_taken_back_by_a_step_that_goes_back(alice, ines):
    image = make_pending(alice)
    before = review_of(image)
    step = decide("approve", ines, image)
    address = Image.objects.get(pk=image.pk).publication_key
    back = decide("undo", ines, image)
    assert (back.undoes, back.from_status, back.to_status) == (step, "approved", "pending")
    assert state_of(image) == ("pending", "public", False)
    after = review_of(image)
    assert (after.queued_at, after.due_at, after.source, after.decision) == (
        before.queued_at,
        before.due_at,
        "request",
        None,
    )
    assert after.holder_id(timezone.now()) == ines.pk
    decide("approve", ines, image)
    assert Image.objects.get(pk=image.pk).publication_key not in (None, address)


def test_undo_is_for_ones_own_last_decision_and_for_thirty_seconds(alice, ines, omar, monkeypatch):
    image = make_pending(alice)
    decide("approve", ines, image)
    with pytest.raises(ReviewConflict):
        decide("undo", omar, image)
    later = timezone.now() + timedelta(seconds=31)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    with pytest.raises(Conflict, match="30 seconds"):
        decide("undo", ines, image)
    assert state_of(image) == ("approved", "public", True)


def test_undoing_a_second_decision_leaves_the_first_proposal(alice, ines, omar):
    image = make_pending(alice)
    decide("reject", ines, image, reason="extremism")
    decide("reject", omar, image, reason="extremism")
    decide("undo", omar, image)
    review = review_of(image)
    assert (state_of(image)[0], review.needs_two, review.decision) == ("escalated", True, None)
    decide("reject", omar, image, reason="hate")
    assert (state_of(image)[0], review_of(image).decision.reason.code) == ("rejected", "hate")


def test_many_are_decided_singly_and_each_conflict_is_told(alice, ines, omar):
    images = [make_pending(alice) for _ in range(3)]
    decide("reject", omar, images[1], reason="spam")
    items = [Item(image_id=image.public_id, version=1) for image in images]
    results = decisions.decide_many(verb="approve", reviewer=ines, items=items)
    assert [state_of(image)[0] for image in images] == ["approved", "rejected", "approved"]
    assert [result.error and result.error.facts["decided_by"] for result in results] == [None, "Omar", None]
    assert ReviewStep.objects.filter(actor=ines, verb="approve").count() == 2


def test_two_hundred_and_one_at_once_are_refused(alice, ines):
    image = make_pending(alice)
    items = [Item(image_id=image.public_id, version=1)] * 201
    with pytest.raises(InvalidInput, match="201 pictures were named"):
        decisions.decide_many(verb="approve", reviewer=ines, items=items)
    assert state_of(image)[0] == "pending"


def test_the_log_cannot_be_changed(alice, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    for rows, change in (
        (ReviewStep.objects.all(), {"verb": "approve"}),
        (Statement.objects.all(), {"facts": "other words"}),
        (Reason.objects.all(), {"label": ""}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**change)
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.filter(pk=rows.last().pk)._raw_delete("default")


def test_the_policy_has_sixteen_categories_each_complete(db):
    reasons = list(Reason.objects.current())
    assert len(reasons) == 16
    assert [reason.position for reason in reasons] == list(range(1, 17))
    for reason in reasons:
        assert reason.dsa_category.startswith("STATEMENT_CATEGORY_")
        assert reason.user_text
        assert reason.reference
    assert [reason.code for reason in reasons if reason.needs_two] == ["csam", "extremism"]


def test_a_new_version_of_a_category_leaves_the_old_decisions_as_they_were(alice, ines):
    image = make_pending(alice)
    decide("reject", ines, image, reason="spam")
    old = Reason.objects.get(code="spam")
    Reason.objects.create(
        **{**Reason.objects.filter(pk=old.pk).values().get(), "id": None, "version": 2, "label": "Advertising"}
    )
    assert Reason.objects.current().get(code="spam").label == "Advertising"
    assert review_of(image).decision.reason.label == "Spam or misleading"
    other = make_pending(alice)
    assert decide("reject", ines, other, reason="spam").policy_version == 2


def test_a_withdrawn_picture_cannot_be_decided(alice, ines):
    image = make_pending(alice)
    version = review_of(image).version
    owners.withdraw(owner=alice, public_id=image.public_id)
    with pytest.raises(NotFound):
        decisions.approve(reviewer=ines, image_id=image.public_id, version=version)
    assert state_of(image) == ("none", "private", False)
