"""What people may ask for about their own data from the page: a copy of everything, and the end of it."""

from accounts.models import User
from generations import account_exports
from generations.models import AccountExport
from generations.tasks import make_export


def request_export(user: User) -> AccountExport:
    """Ask for a copy of everything that this person has here; the one under way if there is one."""
    export = account_exports.request(user)
    make_export.delay(export.pk)
    return export
