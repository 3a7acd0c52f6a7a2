"""Mail to owners about decisions over their pictures (TRUST M11).

A decision and its notice are stored in one transaction; the mail goes later, from a lane, when the decision can no
longer be taken back. Several decisions over one person's pictures are one mail. A mail that could not be sent is tried
again for GIVE_UP; a process that dies between sending and marking sends the same mail, with the same id, once more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db.models import F, Max, Min, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts import mail
from accounts.errors import ServiceUnavailable
from gallery.models import Image, Notice, Review, ReviewStep, Statement
from gallery.review.statements import appealable_until
from gallery.review.steps import Status

log = structlog.get_logger(__name__)

Kind, State = Notice.Kind, Notice.State
QUIET = timedelta(seconds=35)  # a little longer than a decision can be taken back
PATIENCE = timedelta(minutes=5)  # while a person's pictures are decided one after the other, a mail waits so long
MAX_IN_MAIL = 200
OWNERS_AT_ONCE = 50
LEASE = timedelta(minutes=5)
RETRY_FIRST, RETRY_LAST = timedelta(minutes=1), timedelta(hours=1)
GIVE_UP = timedelta(days=7)
FAILURES = 3  # of different people in a row: the mail server is away, and the others need not be tried
TEMPLATE = "gallery/email/decisions"
# What nobody can switch off: restrictions, and the answers to appeals (DSA, Articles 17 and 20).
ALWAYS = (Kind.REFUSED, Kind.QUARANTINED, Kind.UPHELD, Kind.OVERTURNED)


@dataclass(kw_only=True)
class Told:
    """What a mail says once for all pictures that it is true of; `links` are their pages, with when each was made."""

    kind: str
    step: ReviewStep
    statement: Statement | None
    appealable_until: datetime | None
    visibility: str
    links: list[tuple[datetime, str]] = field(default_factory=list)


def note(step: ReviewStep, review: Review) -> Notice | None:
    """Write down that the owner is to be told of this decision; None when there is no news in it.

    Precondition: the transaction of the step.
    """
    kind = _kind_of(step)
    if kind is None:
        return None
    return Notice.objects.create(
        step=step, owner_id=review.image.owner_id, kind=kind, due_at=step.created_at + QUIET, created_at=step.created_at
    )


def _kind_of(step: ReviewStep) -> Notice.Kind | None:
    match step.to_status:
        case Status.QUARANTINED:
            return Kind.QUARANTINED
        case Status.REJECTED:
            return Kind.UPHELD if step.from_status == Status.APPEALED else Kind.REFUSED
        case Status.APPROVED if step.from_status == Status.APPEALED:
            return Kind.OVERTURNED
        case Status.APPROVED if step.from_status != Status.APPROVED and step.visibility != Image.Visibility.PRIVATE:
            return Kind.APPROVED
    return None


# --- Sending -------------------------------------------------------------------------------------


def is_any_due(now: datetime) -> bool:
    """Whether there is a mail to be sent."""
    return _due_owners(now).exists()


def send_due(now: datetime | None = None) -> int:
    """Send what is due, one mail to each person; returns how many went. Safe at once in several processes.

    Precondition: no open transaction. What could not be sent is tried again later.
    """
    at = now or timezone.now()
    sent = failures = 0
    for owner_id in list(_due_owners(at)[:OWNERS_AT_ONCE]):
        try:
            sent += _send_to(owner_id, at)
            failures = 0
        except ServiceUnavailable as error:
            failures += 1
            log.warning("decisions_not_mailed", exc_info=error, failures=failures)
            if failures == FAILURES:
                break
    return sent


def _waiting(now: datetime) -> QuerySet[Notice]:
    return Notice.objects.filter(Q(leased_until=None) | Q(leased_until__lte=now), state=State.WAITING)


def _due_owners(now: datetime) -> QuerySet[Notice, int]:
    """Ids of the people who have a mail coming: nothing of theirs was decided just now, or it waited long enough."""
    owners = _waiting(now).values("owner").annotate(first=Min("due_at"), last=Max("due_at"), born=Min("created_at"))
    ready = Q(last__lte=now) | Q(first__lte=now, born__lte=now - PATIENCE)
    return owners.filter(ready).order_by("first").values_list("owner", flat=True)


def _send_to(owner_id: int, now: datetime) -> int:
    """One mail, or none when there is nothing left to tell. Raises ServiceUnavailable."""
    batch = uuid4()
    due = _waiting(now).filter(owner=owner_id, due_at__lte=now).order_by("pk")
    ids = list(due.values_list("pk", flat=True)[:MAX_IN_MAIL])
    # The race of two processes that send: a row is in the batch of one of them.
    taken = _waiting(now).filter(pk__in=ids).update(batch=batch, leased_until=now + LEASE)
    if not taken:
        return 0
    notices = list(
        Notice.objects.filter(batch=batch, state=State.WAITING)
        .select_related(
            "owner",
            "step__reason",
            "step__statement",
            "step__undone_by",
            "step__decision_before__reason",
            "step__review__image",
            "step__review__decision__reason",
            "step__review__decision__appeal",
        )
        .order_by("pk")
    )
    tellable = [notice for notice in notices if not _drop_needless(notice)]
    if not tellable:
        return 0
    rows = Notice.objects.filter(pk__in=[notice.pk for notice in tellable], batch=batch)
    try:
        mail.send(
            to=tellable[0].owner, template=TEMPLATE, words=_words(tellable), message_id=f"review-{_mail_id(tellable)}"
        )
    except ServiceUnavailable:
        _put_off(rows, tellable, now)
        raise
    rows.update(state=State.SENT, sent_at=timezone.now(), leased_until=None)
    return 1


def _mail_id(notices: Sequence[Notice]) -> str:
    """The same for the same notices, also when a process died after it had sent them."""
    return f"{notices[0].pk}-{notices[-1].pk}-{len(notices)}"


def _put_off(rows: QuerySet[Notice], notices: Sequence[Notice], now: datetime) -> None:
    tries = max(notice.tries for notice in notices)
    wait = min(RETRY_FIRST * 2 ** min(tries, 10), RETRY_LAST)
    lost = [notice.pk for notice in notices if now - notice.created_at > GIVE_UP]
    if lost:
        log.error("decisions_never_mailed", notices=len(lost))
        rows.filter(pk__in=lost).update(state=State.DROPPED, dropped_because="undeliverable", leased_until=None)
    rows.filter(state=State.WAITING).update(tries=F("tries") + 1, due_at=now + wait, leased_until=None)


def _drop_needless(notice: Notice) -> bool:
    """Whether nobody is to be told; the row then says why."""
    because = _needless(notice)
    if because:
        rows = Notice.objects.filter(pk=notice.pk, state=State.WAITING)
        rows.update(state=State.DROPPED, dropped_because=because, leased_until=None)
    return bool(because)


def _needless(notice: Notice) -> str:
    image = notice.step.review.image
    if hasattr(notice.step, "undone_by"):
        return "taken_back"  # it was never told
    if not mail.is_reachable(notice.owner):
        return "no_address"
    if image.purged_at is not None:
        return "purged"
    if notice.kind in ALWAYS:
        return ""
    if not notice.owner.hears_of_approvals:
        return "not_wanted"
    return "" if image.is_public else "not_public"


# --- What it says --------------------------------------------------------------------------------


def _words(notices: Sequence[Notice]) -> dict[str, object]:
    told = _together(notices)
    return {"told": told, "count": len(notices), "kinds": {each.kind for each in told}}


def _together(notices: Iterable[Notice]) -> list[Told]:
    """Decisions that are told in the same words, once, restrictions first."""
    told: dict[tuple[object, ...], Told] = {}
    for notice in notices:
        step, image = notice.step, notice.step.review.image
        statement = getattr(step, "statement", None)
        until = appealable_until(statement) if statement else None
        visibility = image.visibility if notice.kind in (Kind.APPROVED, Kind.OVERTURNED) else ""
        key = (
            notice.kind,
            step.reason_id,
            step.decision_before and step.decision_before.reason_id,
            step.note,
            statement and (statement.facts, statement.money, statement.is_detected_automatically),
            until and until.date(),
            visibility,
        )
        each = told.setdefault(
            key,
            Told(kind=notice.kind, step=step, statement=statement, appealable_until=until, visibility=visibility),
        )
        each.links.append((image.created_at, page_of(image.public_id)))
    return sorted(told.values(), key=lambda each: ALWAYS.index(each.kind) if each.kind in ALWAYS else len(ALWAYS))


def page_of(public_id: UUID) -> str:
    """The absolute address of an owner's page of a picture."""
    return settings.SITE_URL + reverse("generations:image", args=[public_id])
