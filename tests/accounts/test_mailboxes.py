"""Which addresses are one mailbox, and which are nobody's for long."""

import pytest

from accounts.mailboxes import digests_of, is_disposable, mailbox_of


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("Ann.Lee@Example.com", "ann.lee@example.com"),
        ("ann+shop+2@example.com", "ann@example.com"),
        ("a.n.n+x@gmail.com", "ann@gmail.com"),
        ("A.nn@googlemail.com", "ann@gmail.com"),
        ("+tag@example.com", "+tag@example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@gmail.com.example", "ann@gmail.com.example"),
        ("a.nn@gmail.com.example", "a.nn@gmail.com.example"),
    ],
)
def test_a_mailbox_is_its_address_without_what_may_be_varied(email, mailbox):
    assert mailbox_of(email) == mailbox


def test_a_digest_is_keyed_and_the_former_key_still_finds_it(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a" * 50, []
    (digest,) = digests_of("ann@example.com")
    assert len(digest) == 64
    assert digests_of("Ann+1@example.com") == [digest]
    settings.SECRET_KEY = "b" * 50
    assert digests_of("ann@example.com") != [digest]
    settings.SECRET_KEY_FALLBACKS = ["a" * 50]
    assert digests_of("ann@example.com")[1:] == [digest]


@pytest.mark.parametrize(
    ("email", "is_one"),
    [
        ("ann@mailinator.com", True),
        ("ann@inbox.Mailinator.com", True),
        ("ann@notmailinator.example", False),
        ("ann@gmail.com", False),
        ("ann@temp.example", True),
        ("ann@x.temp.example", True),
        ("ann@mytemp.example", False),
        ("ann@localhost", False),
    ],
)
def test_a_domain_is_disposable_with_all_below_it(settings, email, is_one):
    settings.SIGNUP_NO_CREDIT_DOMAINS = ["Temp.example"]
    assert is_disposable(email) is is_one
