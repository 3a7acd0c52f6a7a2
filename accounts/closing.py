"""How an account ends: its owner asks, may come back for GRACE by signing in, and then is nobody any more.

What is left is a row with a pseudonym, to which the ledger and the decisions about pictures refer by ids. Jobs and
pictures go with it, which is generations/erasure.py.
"""

import secrets
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import signup_credit
from accounts.errors import Forbidden, InvalidInput
from accounts.models import ApiKey, Quota, User

GRACE = timedelta(days=7)
PSEUDONYM = "deleted-"  # and random characters; no address, so that nobody signs up or in with it


def request_deletion(*, user: User, confirmation: str) -> datetime:
    """Delete the account in GRACE unless its owner signs in before; signs them out everywhere. Returns when.

    `confirmation` is the account's address, typed once more. Asked a second time, the first time stays.
    Raises InvalidInput.
    """
    if User.objects.normalize_email(confirmation) != user.email:
        raise InvalidInput.of("confirmation", "This is not the address of your account.")
    with transaction.atomic():
        standing = User.objects.filter(pk=user.pk, closed_at=None)
        standing.update(erase_at=Coalesce("erase_at", timezone.now() + GRACE))
        _end_sessions(user)
    user.refresh_from_db(fields=["erase_at"])
    assert user.erase_at is not None, "nobody is signed in to a closed account"
    return user.erase_at


def keep_account(user: User) -> bool:
    """Its owner has signed in: it is not deleted after all. Whether it was going to be."""
    # Conditional as close_account is: of the two at the end of the grace, one changes the row and the other finds it
    # changed.
    return bool(User.objects.filter(pk=user.pk, closed_at=None, erase_at__isnull=False).update(erase_at=None))


def due_accounts(at: datetime) -> QuerySet[User]:
    """Those whose grace is over, and those whose erasure has begun and was cut off."""
    return User.objects.filter(erase_at__lte=at, erased_at=None).order_by("erase_at")


def close_account(user: User, *, due_by: datetime | None = None) -> bool:
    """Shut the account for good, and forget who it was; False when its owner has come back meanwhile.

    With `due_by` only if its time had come by then; without, at once. Safe to repeat: a second time changes nothing.
    """
    email, now = user.email, timezone.now()
    pseudonym = f"{PSEUDONYM}{secrets.token_hex(8)}"
    with transaction.atomic():
        open_ones = User.objects.filter(pk=user.pk, closed_at=None)
        # Of this and a sign-in one is first, see keep_account. The new address makes the UPDATE wait, on PostgreSQL,
        # for whoever is storing a row of this user: refuse_closed.
        closed = (open_ones.filter(erase_at__lte=due_by) if due_by else open_ones).update(
            email=pseudonym,
            name="",
            password="!",  # noqa: S106 - no password is like this
            is_active=False,
            is_staff=False,
            is_superuser=False,
            last_login=None,
            onboarding_dismissed_at=None,
            erase_at=Coalesce(F("erase_at"), now),
            closed_at=now,
        )
        if not closed:
            user.refresh_from_db()
            return user.closed_at is not None
        user.groups.clear()
        user.user_permissions.clear()
        _end_sessions(user)
        EmailAddress.objects.filter(user=user).delete()
        Authenticator.objects.filter(user=user).delete()
        Quota.objects.filter(user=user).delete()  # with its reason
        ApiKey.objects.filter(user=user).update(name="deleted", revoked_at=Coalesce(F("revoked_at"), now))
        signup_credit.forget(user)
        _forget_in_log(user, email)
    user.refresh_from_db()
    return True


def finish_erasure(user: User) -> None:
    """Nothing is left to be erased of a closed account."""
    User.objects.filter(pk=user.pk, closed_at__isnull=False).update(erased_at=timezone.now())


def refuse_closed(user: User) -> None:
    """Raises Forbidden when the account was closed while a request of it was under way.

    Precondition: a transaction that has inserted a row of this user. Its foreign key holds the user's row, so closing
    either came before and is seen here, or waits for this transaction's end and finds what it stored.
    """
    if not User.objects.filter(pk=user.pk, closed_at=None).exists():
        raise Forbidden("This account is closed.", remedy="Ask whoever runs this server.")


def _end_sessions(user: User) -> None:
    sessions = UserSession.objects.filter(user=user)
    Session.objects.filter(session_key__in=list(sessions.values_list("session_key", flat=True))).delete()
    sessions.delete()


def _forget_in_log(user: User, email: str) -> None:
    """The admin's log writes down what things were called."""
    content_types = ContentType.objects.get_for_models(User, ApiKey)
    keys = [str(pk) for pk in ApiKey.objects.filter(user=user).values_list("pk", flat=True)]
    LogEntry.objects.filter(
        Q(content_type=content_types[User], object_id=str(user.pk))
        | Q(content_type=content_types[ApiKey], object_id__in=keys)
        | Q(object_repr__icontains=email)
        | Q(change_message__icontains=email)
    ).update(object_repr="deleted", change_message="")
