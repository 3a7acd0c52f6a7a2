"""How a guest is known: by the session of its browser, and only to views that say that they are open to guests.

Everywhere else a guest is somebody who is not signed in, so a page that nobody has thought of shows them nothing and
asks them to sign up.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from accounts.models import User

SESSION_KEY = "guest"
MARK = "is_open_to_guests"
View = TypeVar("View", bound=Callable[..., Any])


def open_to_guests(view: View) -> View:
    """Mark a view for which a guest is request.user; above decorators that ask who is signed in."""
    setattr(view, MARK, True)
    return view


def bind_guest(request: HttpRequest, guest: User) -> None:
    """From now on this browser is the guest. Its session gets a new key: nobody can have planted the old one."""
    request.session.cycle_key()
    request.session[SESSION_KEY] = str(guest.public_id)


def forget_guest(session: SessionBase) -> None:
    session.pop(SESSION_KEY, None)


def guest_of(session: SessionBase) -> User | None:
    """The guest of this session; None when there is none, it was erased, or it has an account by now."""
    try:
        public_id = UUID(session.get(SESSION_KEY, ""))
    except (ValueError, TypeError, AttributeError):
        return None
    return User.objects.filter(public_id=public_id, is_guest=True, is_active=True, closed_at=None).first()


class GuestMiddleware(MiddlewareMixin):
    """Makes a guest request.user of the views that are open to guests; costs other requests nothing."""

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object) -> None:
        if not getattr(view, MARK, False) or request.user.is_authenticated:
            return
        if guest := guest_of(request.session):
            # The second name is where the log and request.user's laziness look.
            request.user = request._cached_user = guest  # type: ignore[attr-defined]


def on_login(sender: object, request: HttpRequest, **facts: object) -> None:
    """Receiver of user_logged_in: whoever signs in is that person, not a guest any more."""
    if hasattr(request, "session"):
        forget_guest(request.session)
