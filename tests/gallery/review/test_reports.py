"""Reports of viewers: counted once each, limited, and enough of them bring a picture back."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.errors import Forbidden, InvalidInput, NotFound, RateLimited
from gallery.models import Report, ReviewStep, Statement
from gallery.review import reports
from tests.gallery.review.desk import decide, make_pending, review_of, state_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def picture(alice, ines):
    image = make_pending(alice)
    decide("approve", ines, image)
    return image


def report(image, viewer=None, address="192.0.2.1", reason="hate", **fields):
    return reports.report(
        viewer=viewer or AnonymousUser(), address=address, public_id=image.public_id, reason=reason, **fields
    )


def test_three_different_viewers_bring_a_picture_back_into_the_queue(picture, bob, ines):
    report(picture, bob)
    report(picture, bob)
    report(picture, address="192.0.2.1")
    report(picture, address="192.0.2.1", reason="spam")
    assert state_of(picture) == ("approved", "public", True)
    assert Report.objects.count() == 2
    report(picture, address="192.0.2.2", reason="privacy")
    assert state_of(picture) == ("pending", "public", False)
    last = list(ReviewStep.objects.order_by("-version")[:2])
    assert [(step.from_status, step.to_status) for step in reversed(last)] == [
        ("approved", "reported"),
        ("reported", "pending"),
    ]
    review = review_of(picture)
    assert (review.source, review.risk, review.categories) == ("report", 50, "|hate|privacy|")
    decide("reject", ines, picture, reason="hate")
    assert Statement.objects.get().source_type == "SOURCE_TYPE_OTHER_NOTIFICATION"


def test_reports_that_were_looked_at_count_no_more(picture, bob, ines, settings):
    settings.REPORTS_TO_REVIEW = 2
    report(picture, bob)
    report(picture)
    decide("approve", ines, picture)
    report(picture, bob)
    assert state_of(picture) == ("approved", "public", True)
    assert [row.reason.code for row in reports.reports_of(review_of(picture))] == ["hate"]


def test_who_reports_is_limited_and_not_kept_by_name(picture, alice, bob, ines, monkeypatch):
    for _ in range(10):
        other = make_pending(alice)
        decide("approve", ines, other)
        report(other, bob)
    with pytest.raises(RateLimited) as refusal:
        report(picture, bob)
    assert 3590 <= refusal.value.retry_after <= 3600
    assert not Report.objects.filter(approval__review__image=picture).exists()
    assert "bob" not in repr(list(Report.objects.values()))
    later = timezone.now() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    report(picture, bob)


def test_only_public_pictures_of_others_can_be_reported(alice, bob, picture):
    with pytest.raises(Forbidden):
        report(picture, alice)
    with pytest.raises(NotFound):
        report(make_pending(alice), bob)
    for wrong in ({"reason": "ugly"}, {"note": "x" * 501}):
        with pytest.raises(InvalidInput):
            report(picture, bob, **wrong)
    assert not Report.objects.exists()
