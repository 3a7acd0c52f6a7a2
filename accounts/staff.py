"""Who may enter the pages of the staff."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from accounts.models import User


def is_staff(user: User | AnonymousUser) -> bool:
    """Whether this is an active account of the staff, whatever it has yet to set up."""
    return user.is_active and user.is_staff


def may_enter(user: User | AnonymousUser) -> bool:
    """Whether the pages of the staff are open to this account: in production only with an authenticator app.

    With one, allauth has asked for its code, a recovery code or a passkey when the session began.
    """
    return is_staff(user) and (settings.ENVIRONMENT != "production" or has_authenticator_app(user))


def has_authenticator_app(user: User | AnonymousUser) -> bool:
    return Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).exists()
