"""Who reviews, and how reviewers are called among themselves."""

from django.contrib.auth.models import AnonymousUser

from accounts import staff
from accounts.models import User

PERMISSION = "gallery.review_image"


def is_reviewer(user: User | AnonymousUser) -> bool:
    """Whether this account may decide over pictures: of the staff, and with the permission; a superuser has it."""
    return staff.may_enter(user) and user.has_perm(PERMISSION)


def name_of_reviewer(user: User | None) -> str:
    """How a colleague is named to other reviewers; None is a rule of the site."""
    if user is None:
        return "a rule"
    return user.name or user.email.partition("@")[0]
