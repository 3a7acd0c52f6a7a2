"""What people may change about themselves."""

from accounts.errors import InvalidInput
from accounts.models import User
from accounts.users import MAX_NAME_CHARS


def save_profile(*, user: User, name: str, hears_of_approvals: bool) -> None:
    """Give the user another name, an empty one is none, and choose their mail. Raises InvalidInput."""
    name = " ".join(name.split())
    if len(name) > MAX_NAME_CHARS or "\0" in name:
        raise InvalidInput.of("name", f"A name has at most {MAX_NAME_CHARS} characters and no NUL.")
    user.name, user.hears_of_approvals = name, hears_of_approvals
    user.save(update_fields=["name", "hears_of_approvals"])
