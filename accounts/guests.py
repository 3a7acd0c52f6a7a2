"""People who try it without an account: a User that only a session knows, with a little money and a short life.

A guest is made when somebody asks for a first picture. It has no address and no password, so nobody signs in to it;
signing up gives it both, and once the address is confirmed it is an account like any other, the same row with the same
pictures. One that nobody signs up for is erased after KEPT, as an account is whose owner has deleted it.
"""

import secrets
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import ledger, networks
from accounts.errors import AccountNeeded, InvalidInput, TrialFull
from accounts.models import Plan, User

PSEUDONYM = "guest-"  # and random characters; no address, so that nobody signs up or in with it
KEPT = timedelta(days=7)
PLAN = "guest"
# As the migrations seed them.
LIMITS = {"rank": 0, "concurrent": 1, "requests_per_minute": 15, "storage_bytes": 256 * 1024**2}


def is_trial_open() -> bool:
    """Whether this site has a trial at all; its budget of today may be spent nevertheless."""
    return settings.TRIAL_GENERATIONS > 0 and budget_micros() > 0


def budget_micros() -> int:
    """What all guests of a day may cost together."""
    return ledger.parse_usd(settings.TRIAL_DAILY_BUDGET_USD)


def start_guest(*, address: str, grant_micros: int, at: datetime | None = None) -> User:
    """A new guest with `grant_micros`, or none at all: the day's budget and the network's part of it are hard limits.

    `address` is the IP address that asks; only a digest of its network is kept, and no longer than its count.
    Raises TrialFull.
    """
    now = at or timezone.now()
    if not is_trial_open():
        raise TrialFull("This site has no trial.", remedy="Create an account.")
    wait_s = networks.seconds_left(now)
    plan = Plan.objects.get_or_create(name=PLAN, defaults=LIMITS)[0]
    guest = User(email=f"{PSEUDONYM}{secrets.token_hex(16)}", is_guest=True, plan=plan, erase_at=now + KEPT)
    guest.set_unusable_password()
    with transaction.atomic():
        try:
            networks.admit(
                "guests",
                address=address,
                at=now,
                per_network=settings.TRIAL_GUESTS_PER_NETWORK,
                per_provider=settings.TRIAL_GUESTS_PER_ASN,
            )
        except networks.NetworkFull:
            message = "Many pictures were made without an account from your network today."
            raise TrialFull(message, retry_after=wait_s) from None
        guest.save(force_insert=True)
        ledger.open_wallet(guest)
        try:
            ledger.give(ledger.TRIAL, user=guest, amount_micros=grant_micros, budget_micros=budget_micros(), at=now)
        except ledger.DayBudgetSpent:
            raise TrialFull(retry_after=wait_s) from None
    return guest


def sign_up_guest(guest: User) -> bool:
    """Store the address and the password that a guest was given; False when it is no guest any more.

    It stays one until the address is confirmed, so whoever mistyped it signs up once more. Raises InvalidInput when the
    address is taken.
    """
    try:
        with transaction.atomic():
            # The row first: its lock makes two forms of one browser follow each other.
            standing = User.objects.filter(pk=guest.pk, is_guest=True, closed_at=None)
            if not standing.update(email=guest.email, password=guest.password):
                return False
            EmailAddress.objects.filter(user=guest, verified=False).delete()
    except IntegrityError:
        raise InvalidInput.of("email", f"There is already an account with the address {guest.email}.") from None
    return True


def welcome_guest(user: User, plan: Plan) -> bool:
    """The first address is confirmed: from now on this is an account on `plan` and is not erased. False for no guest.

    What the trial has left stays in its wallet.
    """
    guests = User.objects.filter(pk=user.pk, is_guest=True, closed_at=None)
    welcomed = bool(guests.update(is_guest=False, plan=plan, erase_at=None))
    if welcomed:
        user.refresh_from_db()
    return welcomed


def end_guest(guest: User) -> None:
    """The guest wants nothing of it to be kept: the sweeper erases it within seconds."""
    User.objects.filter(pk=guest.pk, is_guest=True, closed_at=None).update(erase_at=timezone.now())


def refuse_guest(user: User, message: str) -> None:
    """Raises AccountNeeded with this message for a guest."""
    if user.is_guest:
        raise AccountNeeded(message)
