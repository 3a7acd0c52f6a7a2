"""What differs from allauth at the door: the words of its forms, one step of a reset, and the list of sessions."""

from typing import Any

from allauth.account.forms import (
    AddEmailForm,
    ChangePasswordForm,
    LoginForm,
    ResetPasswordKeyForm,
    SetPasswordForm,
    SignupForm,
)
from allauth.account.models import EmailAddress
from allauth.account.views import ConfirmPasswordResetCodeView
from allauth.core import context
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from allauth.usersessions.models import UserSession
from allauth.usersessions.views import ListUserSessionsView
from django import forms
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import signup_credit
from accounts.adapter import AccountAdapter
from accounts.guest_sessions import guest_of
from accounts.models import User

HOW_LONG = "10 characters or more"


def _is_guest(request: HttpRequest | None) -> bool:
    return request is not None and guest_of(request.session) is not None


class SignInForm(LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaves_pictures = _is_guest(self.request)
        self.fields["password"].help_text = ""
        self.fields["remember"] = forms.BooleanField(label="Stay signed in", required=False, initial=True)

    def clean(self) -> dict[str, Any] | None:
        """What is wrong is said beside the password, where it is put right."""
        try:
            return super().clean()
        except ValidationError as refusal:
            self.add_error("password", refusal)
            return self.cleaned_data


class SignUpForm(SignupForm):
    @property
    def credit_micros(self) -> int:
        """What an account has to start with."""
        return signup_credit.offered_micros()

    @property
    def credit_days(self) -> int:
        """For how long; 0 is for good."""
        return settings.SIGNUP_CREDIT_DAYS

    @property
    def comes_later(self) -> bool:
        """Whether today's credits are all given out."""
        return not signup_credit.has_room()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keeps_pictures = _is_guest(context.request)
        self.fields["password1"].help_text = HOW_LONG


class NewAddressForm(AddEmailForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "New address"
        del self.fields["email"].widget.attrs["placeholder"]


class NewPasswordMixin:
    """A new password is typed once: it can be shown."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password2"]
        self.fields["password1"].label = "New password"
        self.fields["password1"].help_text = HOW_LONG


class NewPasswordForm(NewPasswordMixin, ResetPasswordKeyForm):
    """The last step of a reset."""


class FirstPasswordForm(NewPasswordMixin, SetPasswordForm):
    """For an account that has none."""


class OtherPasswordForm(NewPasswordMixin, ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].label = "Current password"
        self.fields["oldpassword"].help_text = ""


class AddPasskeyForm(AddWebAuthnForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].help_text = "So that you can tell them apart"
        self.fields["name"].max_length = 100
        self.fields["passwordless"] = forms.BooleanField(
            label="Sign in with it alone",
            help_text="Instead of the password. It then asks for your fingerprint, your face or a PIN.",
            required=False,
            initial=True,
        )


class ConfirmResetCode(ConfirmPasswordResetCodeView):
    """Whoever reads the code out of the mailbox has confirmed the address, and by the same verb as after a sign-up."""

    def form_valid(self, form: forms.Form) -> HttpResponse:
        process = self._process
        address = EmailAddress.objects.filter(
            user=process.user, email=process.state["email"].lower(), verified=False
        ).first()
        if address is not None:
            AccountAdapter(self.request).confirm_email(self.request, address)
        return super().form_valid(form)


class Sessions(ListUserSessionsView):
    """allauth's page reads each session by itself and deletes what has ended; a visit here costs two queries."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        sessions = live_sessions(self.request.user)
        extra = {"sessions": sessions, "session_count": len(sessions)}
        return super(ListUserSessionsView, self).get_context_data(**kwargs, **extra)


def live_sessions(user: User) -> list[UserSession]:
    """Where this user is signed in, oldest first; a session from before the last change of password has ended."""
    known = list(UserSession.objects.filter(user=user).order_by("created_at"))
    stored = Session.objects.filter(session_key__in=[one.session_key for one in known], expire_date__gt=timezone.now())
    hashes = {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}
    alive = {one.session_key for one in stored if one.get_decoded().get(HASH_SESSION_KEY) in hashes}
    return [one for one in known if one.session_key in alive]
