"""The people of the tests, and the clients with which they come."""

from django.test import Client

from accounts import keys
from accounts.models import User
from accounts.users import create_account

PASSWORD = "correct horse battery"


def make_person(nick: str, **fields) -> User:
    return create_account(email=f"{nick}@example.com", password=PASSWORD, **fields)


def make_key(user: User, *scopes: str, **fields) -> str:
    """The text of a new key, by default with every scope that its owner may have."""
    return keys.create_key(user=user, scopes=scopes or keys.scopes_of_role(user), **fields).secret


def client_with(key: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {key}"})
