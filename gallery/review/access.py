"""Who reviews, and how reviewers are called among themselves."""

from django.contrib.auth.models import AnonymousUser, Permission
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import staff
from accounts.models import User

PERMISSION = "review_image"


def is_reviewer(user: User | AnonymousUser) -> bool:
    """Whether this account may decide over pictures: of the staff, and with the permission; a superuser has it."""
    return isinstance(user, User) and staff.is_staff(user) and reviewers().filter(pk=user.pk).exists()


def reviewers() -> QuerySet[User]:
    """The accounts of which `is_reviewer` is true, in one query with whatever else is asked of them."""
    granted = Permission.objects.filter(
        Q(user=OuterRef("pk")) | Q(group__user=OuterRef("pk")),
        content_type__app_label="gallery",
        codename=PERMISSION,
    )
    return staff.those_who_may_enter().filter(Q(is_superuser=True) | Exists(granted))


def name_of_reviewer(user: User | None) -> str:
    """How a colleague is named to other reviewers; None is a rule of the site."""
    if user is None:
        return "a rule"
    return user.name or user.email.partition("@")[0]
