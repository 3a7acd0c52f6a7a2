"""The first credit of an account: once for each mailbox, out of a budget for each day, and for a while (TRUST S15).

A day without room makes it wait: the sweeper gives it on a later day, first come first served. What is left of it after
SIGNUP_CREDIT_DAYS goes back by a transfer; docs/ledger.md has the rule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import ledger, mailboxes, networks
from accounts.errors import IdempotencyMismatch
from accounts.models import SignupCredit, Transfer, User

log = structlog.get_logger(__name__)

BATCH = 500


class Outcome(Enum):
    """What became of the credit of a new account."""

    GIVEN = "given"
    WAITING = "waiting"  # the day's budget is spent
    HAD_BEFORE = "had_before"  # this mailbox has had it, for another account
    DISPOSABLE = "disposable"
    NETWORK_FULL = "network_full"
    NOT_OFFERED = "not_offered"


# Why an account comes without it, told once.
REFUSALS = {
    Outcome.WAITING: "Today's sign-up credits are all given out. Yours comes by itself on one of the next days.",
    Outcome.HAD_BEFORE: "Your account comes without the sign-up credit: this mailbox has had it before.",
    Outcome.DISPOSABLE: "Your account comes without the sign-up credit: your address is a disposable one.",
    Outcome.NETWORK_FULL: "Your account comes without the sign-up credit: many accounts came from your network today.",
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the credit of a person stands: `left` micro-USD until `expires_at`, or it has not come yet."""

    left: int
    expires_at: datetime | None

    @property
    def is_waiting(self) -> bool:
        return self.expires_at is None


def offered_micros() -> int:
    """What a new account is given, in micro-USD; nothing without a budget."""
    return ledger.parse_usd(settings.SIGNUP_CREDIT_USD) if budget_micros() else 0


def budget_micros() -> int:
    """What the sign-up credits of a day may come to."""
    return ledger.parse_usd(settings.SIGNUP_DAILY_BUDGET_USD)


def has_room(at: datetime | None = None) -> bool:
    """Whether one more account would have it today."""
    return ledger.left_of_day(ledger.SIGNUP, at or timezone.now(), budget_micros()) >= offered_micros()


def claim(user: User, *, address: str, at: datetime | None = None) -> Outcome:
    """Give a user whose address was just confirmed the credit, or say why not; `address` is the IP address that asks.

    Needs the transaction in which the address is confirmed.
    """
    now = at or timezone.now()
    if not offered_micros():
        return Outcome.NOT_OFFERED
    if mailboxes.is_disposable(user.email):
        return Outcome.DISPOSABLE
    if SignupCredit.objects.filter(mailbox__in=mailboxes.digests_of(user.email)).exists():
        return Outcome.HAD_BEFORE
    try:
        with transaction.atomic():
            row = SignupCredit.objects.create(mailbox=mailboxes.digests_of(user.email)[0], user=user)
            networks.admit(
                "signups",
                address=address,
                at=now,
                per_network=settings.SIGNUP_CREDITS_PER_NETWORK,
                per_provider=settings.SIGNUP_CREDITS_PER_ASN,
            )
    except IntegrityError:  # another account of this mailbox was confirmed at the same moment
        return Outcome.HAD_BEFORE
    except networks.NetworkFull:
        return Outcome.NETWORK_FULL
    return Outcome.GIVEN if _give(row, now) else Outcome.WAITING


def note(user: User) -> None:
    """An operator has given it: this mailbox has had it."""
    mailbox = mailboxes.digests_of(user.email)[0]
    SignupCredit.objects.get_or_create(mailbox=mailbox)


def standing_of(user: User) -> Standing | None:
    """Of a credit that waits or expires; None for everybody else, and when nothing is left of it."""
    row = SignupCredit.objects.filter(user=user).annotate(left=ledger.left_micros("grant__")).first()
    if row is None:
        return None
    if row.grant_id is None:
        return Standing(left=0, expires_at=None) if offered_micros() else None
    return Standing(left=row.left, expires_at=row.expires_at) if row.left else None


def give_waiting(at: datetime | None = None) -> int:
    """Give the credit to those who wait as long as the day has room; returns to how many."""
    now = at or timezone.now()
    if not offered_micros():
        return 0
    waiting = SignupCredit.objects.waiting().filter(
        user__is_active=True, user__closed_at=None, user__erase_at=None, user__is_guest=False
    )
    count = 0
    for row_id in list(waiting.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            # Of two sweepers one finds the row; of a sweeper and the account's end, one comes first.
            row = waiting.select_for_update(of=("self",), no_key=True).filter(pk=row_id).first()
            if row is None:
                continue
            if not _give(row, now):
                break
        count += 1
    return count


def expire_due(at: datetime | None = None) -> int:
    """Take back what is left of credits whose time is over; returns how many. One that fails keeps no other."""
    due = SignupCredit.objects.expiring().filter(expires_at__lte=at or timezone.now())
    count = 0
    for row in due.select_related("grant")[:BATCH]:
        try:
            with transaction.atomic():
                # Of two sweepers one changes the row, so that what is refunded later is not asked for again.
                if due.filter(pk=row.pk).update(user=None, grant=None, expires_at=None):
                    assert row.grant is not None, "what expires was given"
                    ledger.expire(granted=row.grant, reason="sign-up credit, what was left")
                    count += 1
        except Exception:
            log.exception("signup_credit_not_expired_yet", grant=str(row.grant_id))
    return count


def forget(user: User) -> None:
    """The account ends: nothing comes any more, and that its mailbox has had the credit names nobody."""
    SignupCredit.objects.waiting().filter(user=user).delete()
    SignupCredit.objects.filter(user=user).update(user=None, grant=None, expires_at=None)


def _give(row: SignupCredit, at: datetime) -> bool:
    """Grant it out of the day's budget; False when that has no room."""
    assert row.user is not None, "a credit that waits has somebody who waits"
    grant: Transfer | None = None
    try:
        grant = ledger.give(
            ledger.SIGNUP, user=row.user, amount_micros=offered_micros(), budget_micros=budget_micros(), at=at
        )
    except ledger.DayBudgetSpent:
        return False
    except IdempotencyMismatch:  # the account has one from before, which does not expire
        pass
    days = settings.SIGNUP_CREDIT_DAYS
    if grant and days:
        SignupCredit.objects.filter(pk=row.pk).update(grant=grant, expires_at=at + timedelta(days=days))
    else:
        SignupCredit.objects.filter(pk=row.pk).update(user=None)
    return True
