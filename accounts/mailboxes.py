"""Which addresses reach one mailbox, and which mailboxes anybody gets for ten minutes. Knows no database."""

from collections.abc import Iterator

from disposable_email_domains import blocklist
from django.conf import settings
from django.utils.crypto import salted_hmac

# Dots in the name mean nothing there, and these domains are one.
WITHOUT_DOTS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def mailbox_of(email: str) -> str:
    """The address without what its owner may vary: case, the tag after a plus, the dots that its provider ignores."""
    name, _, domain = email.strip().lower().rpartition("@")
    domain = _ascii(domain)
    untagged = name.partition("+")[0] or name
    if domain in WITHOUT_DOTS:
        return f"{untagged.replace('.', '')}@{WITHOUT_DOTS[domain]}"
    return f"{untagged}@{domain}"


def digests_of(email: str) -> list[str]:
    """Keyed digests of the mailbox: the one to keep first, then those that a former SECRET_KEY has made."""
    mailbox = mailbox_of(email)
    return [
        salted_hmac("accounts.mailbox", mailbox, secret=secret, algorithm="sha256").hexdigest()
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]


def is_disposable(email: str) -> bool:
    """Whether the domain, or one that it belongs to, gives addresses away that nobody keeps."""
    own = {_ascii(domain) for domain in settings.SIGNUP_NO_CREDIT_DOMAINS}
    return any(domain in blocklist or domain in own for domain in _domains(email))


def _domains(email: str) -> Iterator[str]:
    """The domain of the address and those above it, without the last label alone: b.a.example, a.example."""
    labels = _ascii(email.rpartition("@")[2]).split(".")
    for first in range(len(labels) - 1):
        yield ".".join(labels[first:])


def _ascii(domain: str) -> str:
    try:
        return domain.strip().lower().encode("idna").decode()
    except UnicodeError:
        return domain.strip().lower()
