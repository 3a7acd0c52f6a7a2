"""What viewers say against public pictures; enough of them send a picture back to the reviewers."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.errors import Forbidden, InvalidInput, RateLimited
from accounts.models import User
from gallery.models import MAX_NOTE_CHARS, Image, Report, Review, ReviewStep
from gallery.review.decisions import get_reason
from gallery.review.owners import categories_of
from gallery.review.steps import Place, Status, enter, take_step

PER_HOUR = 10
HOUR = timedelta(hours=1)
RISK_OF_REPORTS = 50


def report(*, viewer: User | AnonymousUser, address: str, public_id: UUID | str, reason: str, note: str = "") -> Image:
    """Report a public picture, once for each viewer (an account, or a network address without one).

    REPORTS_TO_REVIEW different viewers bring it back into the queue, and nobody else sees it until it is decided.
    Raises NotFound, InvalidInput, Forbidden (one's own) and RateLimited.
    """
    image = Image.objects.public().with_blob().get_public(public_id)
    if viewer.is_authenticated and image.owner_id == viewer.pk:
        raise Forbidden("This is your own picture.", remedy="You can withdraw it yourself.")
    note = note.replace("\r\n", "\n").strip()
    if len(note) > MAX_NOTE_CHARS or "\0" in note:
        raise InvalidInput.of("note", f"This has {len(note)} characters; {MAX_NOTE_CHARS} is the most.")
    given = get_reason(reason)
    reporter = token_of(viewer, address)
    with transaction.atomic():
        review = enter(image)
        approval = _approval_of(review)
        if review.image.review_status != Status.APPROVED or approval is None:
            return image  # withdrawn from the public at this very moment
        if Report.objects.filter(approval=approval, reporter=reporter).exists():
            return image
        _refuse_too_many(reporter)
        try:
            with transaction.atomic():
                Report.objects.create(approval=approval, reporter=reporter, reason=given, note=note)
        except IntegrityError:  # sent twice at the same moment
            return image
        if Report.objects.filter(approval=approval).count() >= settings.REPORTS_TO_REVIEW:
            _return_to_queue(review, approval)
    return Image.objects.with_blob().get(pk=image.pk)


def token_of(viewer: User | AnonymousUser, address: str) -> str:
    """Who reports, as far as it must be known to count each once: a keyed digest that names nobody."""
    who = f"user:{viewer.pk}" if viewer.is_authenticated else f"address:{address}"
    return salted_hmac("gallery.report", who, algorithm="sha256").hexdigest()


def reports_of(review: Review) -> list[Report]:
    """What is said against it since it was last approved."""
    return list(Report.objects.filter(approval=_approvals_of(review).values("pk")[:1]).select_related("reason"))


def _approval_of(review: Review) -> ReviewStep | None:
    """The step that made it public last: what was said before that has been looked at."""
    return _approvals_of(review).first()


def _approvals_of(review: Review) -> QuerySet[ReviewStep]:
    steps = ReviewStep.objects.filter(review=review, verb="approve", to_status=Status.APPROVED, undone_by=None)
    return steps.order_by("-version")


def _refuse_too_many(reporter: str) -> None:
    since = timezone.now() - HOUR
    recent = Report.objects.filter(reporter=reporter, created_at__gt=since).order_by("created_at")
    times = list(recent.values_list("created_at", flat=True)[:PER_HOUR])
    if len(times) >= PER_HOUR:
        wait = times[0] + HOUR - timezone.now()
        raise RateLimited(
            f"You have reported {PER_HOUR} pictures within an hour.", retry_after=max(1, round(wait.total_seconds()))
        )


def _return_to_queue(review: Review, approval: ReviewStep) -> None:
    codes = Report.objects.filter(approval=approval).values_list("reason__code", flat=True)
    review.categories = categories_of([*review.categories.split("|"), *codes])
    take_step(review, "report", to_status=Status.REPORTED, actor=None, place=None, is_automated=True)
    place = Place(source="report", risk=max(review.risk, RISK_OF_REPORTS), since=timezone.now())
    take_step(review, "return", to_status=Status.PENDING, actor=None, place=place, is_automated=True)
