"""Where django-allauth meets our verbs: it owns the door, and what an account is and owns is ours."""

import time
from smtplib import SMTPException
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.signup import prevent_enumeration
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts import closing, guests, signup_credit, users
from accounts.errors import InvalidInput, ServiceUnavailable
from accounts.guest_sessions import bind_guest, guest_of
from accounts.models import User

log = structlog.get_logger(__name__)

LOGIN_FAILED = {"app": "allauth.account", "action": "login_failed"}  # the name of the limit in ACCOUNT_RATE_LIMITS


class AccountAdapter(DefaultAccountAdapter):
    """Signing up, confirming an address, the limits of guessing, and mail."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "account_inactive": "This account is switched off. Ask whoever runs this server.",
        "duplicate_email": "This is your address already.",
        "email_password_mismatch": "That email and password do not match.",
        "email_taken": "This address belongs to another account.",
        "enter_current_password": "This is not your current password.",
        "incorrect_code": "This code is not right.",
        "incorrect_password": "This is not your password.",
        "rate_limited": "That was a little too fast. Wait a minute, then try again.",
        "too_many_login_attempts": "Too many tries in a short time. Wait a little, then try again.",
    }

    # --- Signing up ------------------------------------------------------------------------------

    def new_user(self, request: HttpRequest) -> User:
        """A guest signs up as who they are, so that their pictures stay."""
        return guest_of(request.session) or User()

    def save_user(self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True) -> User:
        """The account with its plan and wallet; two who send the same address at once are told the same."""
        user = super().save_user(request, user, form, commit=False)
        try:
            if user.is_guest and guests.sign_up_guest(user):
                return user
            if user.is_guest:  # erased at this moment: an account all the same
                user = super().save_user(request, User(), form, commit=False)
            users.open_account(user)
        except InvalidInput:
            raise ImmediateHttpResponse(prevent_enumeration(request, email=user.email)) from None
        return user

    def send_account_already_exists_mail(self, email: str) -> None:
        """The answer to a sign-up with a taken address costs as much time as one with a free address."""
        make_password("as long as any other")
        super().send_account_already_exists_mail(email)

    def clean_email(self, email: str) -> str:
        if len(email) > users.MAX_EMAIL_CHARS:
            raise ValidationError(f"An email address has at most {users.MAX_EMAIL_CHARS} characters.")
        return email

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm the address, and with the first one that an account confirms grant the sign-up credit.

        Both in one transaction, so that neither can be without the other. Whoever gets none is told why.
        """
        outcome = None
        try:
            with transaction.atomic():
                is_first = not EmailAddress.objects.filter(user_id=email_address.user_id, verified=True).exists()
                if not super().confirm_email(request, email_address):
                    return False
                if is_first:
                    outcome = users.welcome(email_address.user, address=request.META.get("REMOTE_ADDR", ""))
        except IntegrityError:  # somebody has signed up with this address at this very moment
            template, words = "account/messages/email_confirmation_failed.txt", {"email": email_address.email}
            self.add_message(request, messages.ERROR, template, words)
            return False
        if outcome in signup_credit.REFUSALS:
            messages.warning(request, signup_credit.REFUSALS[outcome])
        return True

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        """After a change of address; a sign-up goes on to where it was going."""
        return reverse("account_email")

    def post_login(self, request: HttpRequest, user: User, **facts: Any) -> HttpResponse:
        """Whoever signs in to an account that is to be deleted keeps it."""
        if closing.keep_account(user):
            messages.info(request, "Welcome back: your account is not deleted, and your API keys work again.")
        return super().post_login(request, user, **facts)

    def logout(self, request: HttpRequest) -> None:
        """Going back from a sign-up is a sign-out to allauth; a guest is still there afterwards."""
        guest = guest_of(request.session)
        super().logout(request)
        if guest:
            bind_guest(request, guest)

    # --- Guessing passwords ----------------------------------------------------------------------

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Failures count for an address as tried from one place: nobody can lock somebody else out."""
        key = super()._get_login_attempts_cache_key(request, **credentials)
        return f"{key}:{ratelimit.get_ip(request)}"

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            wait = in_words(_wait_s(request, self._get_login_attempts_cache_key(request, **credentials)))
            raise ValidationError(f"Too many failed tries. Try again {wait}.", code="too_many_login_attempts") from None

    # --- Mail ------------------------------------------------------------------------------------

    def send_mail(self, template_prefix: str, email: str, words: dict[str, Any]) -> None:
        """Raises ServiceUnavailable when the mail server takes nothing."""
        site = {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL}
        try:
            super().send_mail(template_prefix, email, words | site)
        except (SMTPException, OSError) as error:
            raise ServiceUnavailable(
                "The email could not be sent.", remedy="Try again in a few minutes. If it goes on, tell the operator."
            ) from error

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """News of a change that has happened already: sent after it is stored, and no reason to fail."""
        request = self.request
        transaction.on_commit(lambda: self._send_news(request, *args, **kwargs))

    def _send_news(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        try:
            with context.request_context(request):
                super().send_notification_mail(*args, **kwargs)
        except ServiceUnavailable as error:
            log.warning("notification_mail_not_sent", exc_info=error)


class MfaAdapter(DefaultMFAAdapter):
    """Names of the site and of passkeys, as people see them in their authenticator."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "This code is not right.",
        "unverified_email": "Confirm your new email address first, or cancel the change.",
    }

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return super().get_public_key_credential_rp_entity() | {"name": settings.SITE_NAME}

    def generate_authenticator_name(self, user: User, type: Any) -> str:
        count = Authenticator.objects.filter(user=user, type=type).count()
        return f"Passkey {count + 1}" if count else "Passkey"


def _wait_s(request: HttpRequest, key: str) -> float:
    """Seconds until one more try is free. The history of a limit is the times of its tries, newest first."""
    now = time.time()
    waits = [60.0]
    for rate in ratelimit.get_rates(**LOGIN_FAILED):
        history = cache.get(ratelimit.get_cache_key(request, **LOGIN_FAILED, rate=rate, key=key), [])
        if len(history) >= rate.amount:
            waits.append(history[rate.amount - 1] + rate.duration - now)
    return max(waits)


def in_words(seconds: float) -> str:
    """A wait as people say it, rounded up: "in a minute", "in 5 minutes", "in 3 hours"."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        count = -int(-seconds // length)
        if seconds > length:
            return f"in {count} {unit}s"
    return "in a minute"
