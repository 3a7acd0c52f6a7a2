"""Who may enter the pages of the staff."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import User


def is_staff(user: User | AnonymousUser) -> bool:
    """Whether this is an active account of the staff, whatever it has yet to set up."""
    return user.is_active and user.is_staff


def may_enter(user: User | AnonymousUser) -> bool:
    """Whether the pages of the staff are open to this account: in production only with an authenticator app.

    With one, allauth has asked for its code, a recovery code or a passkey when the session began.
    """
    return is_staff(user) and (settings.ENVIRONMENT != "production" or has_authenticator_app(user))


def those_who_may_enter() -> QuerySet[User]:
    """The accounts of which `may_enter` is true, for a query that asks more of them."""
    entering = User.objects.filter(is_active=True, is_staff=True)
    if settings.ENVIRONMENT != "production":
        return entering
    return entering.filter(Exists(Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)))


def has_authenticator_app(user: User | AnonymousUser) -> bool:
    return Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).exists()
