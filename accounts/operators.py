"""What a staff account may do at /admin/ from the start: look at everything, and the verbs of a working day.

Plans, prices and who is staff stay with superusers. The group is an ordinary one: a superuser may change it.
"""

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from accounts.models import User

GROUP = "Operators"
APPS = ("accounts", "gallery", "generations")
# What the verbs ask for: a grant is a transfer, a revocation a changed key, an exception a changed quota.
VERBS = ("add_transfer", "change_apikey", "change_user", "add_quota", "change_quota")
REVIEW = "review_image"  # the review desk


def operators() -> Group:
    """The group, with its permissions when it is made; later changes to it are kept."""
    group, is_new = Group.objects.get_or_create(name=GROUP)
    if is_new:
        permissions = Permission.objects.filter(
            Q(content_type__app_label__in=APPS, codename__startswith="view_")
            | Q(content_type__app_label="accounts", codename__in=VERBS)
            | Q(content_type__app_label="gallery", codename=REVIEW)
            | Q(content_type__app_label="admin", codename="view_logentry")
        )
        group.permissions.set(permissions)
    return group


def make_operator(user: User) -> None:
    """Let this staff account work at /admin/."""
    with transaction.atomic():
        user.groups.add(operators())
