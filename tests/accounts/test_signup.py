"""Signing up: the code in the mailbox, the first credit, and nothing learnt about who has an account."""

import importlib
import smtplib

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core.cache import cache
from django.test import Client

from accounts import ledger, users
from accounts.errors import ServiceUnavailable
from accounts.models import Transfer, User
from tests.accounts.door import (
    CONFIRM,
    LOGIN,
    SIGNUP,
    Clock,
    code_in,
    count_hashes,
    error_of,
    is_signed_in,
    say_who_you_are,
    sign_in,
    sign_up,
    signed_in,
    words,
)
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

NEW = "new@example.com"
STUDIO = "/studio/?prompt=A%20fox%20%26%20a%20hen"


@pytest.fixture(autouse=True)
def _no_limits_yet():
    cache.clear()


def credit_of(user):
    return ledger.balance_of(user).available


def confirm(client, code):
    return client.post(CONFIRM, {"code": code})


# --- The way in ---


def test_a_code_from_the_mailbox_opens_the_account_with_its_first_credit(client, mailoutbox, settings):
    settings.SIGNUP_CREDIT_USD = "2.50"
    answer = sign_up(client, " New@Example.com ")
    assert (answer.status_code, answer.url) == (302, CONFIRM)
    user = User.objects.get()
    assert (user.email, user.plan.name, user.is_staff) == (NEW, "free", False)
    assert user.check_password(PASSWORD)
    assert (credit_of(user), user.wallet.floor, is_signed_in(client)) == (0, 0, False)

    (mail,) = mailoutbox
    assert mail.to == [NEW]
    answer = confirm(client, code_in(mail))
    assert (answer.status_code, answer.url) == (302, "/studio/")
    assert is_signed_in(client)
    assert credit_of(user) == 2_500_000
    assert EmailAddress.objects.values_list("email", "verified", "primary").get() == (NEW, True, True)


def test_a_code_may_be_typed_in_lower_case_and_without_its_dash(client, mailoutbox):
    sign_up(client, NEW)
    assert confirm(client, code_in(mailoutbox[0]).lower().replace("-", " ")).url == "/studio/"


def test_a_prompt_survives_sign_in_sign_up_and_the_code(client, mailoutbox):
    answer = client.get(STUDIO)
    assert answer.status_code == 302
    page = client.get(answer.url)
    assert "Your prompt is kept." in words(page)
    link = page.context["signup_url"]
    assert f'href="{link}"' in page.content.decode()
    page = client.get(link)
    assert "Your prompt is kept." in words(page)
    sign_up(client, NEW, next=page.context["redirect_field_value"])
    assert confirm(client, code_in(mailoutbox[0])).url == STUDIO


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(client, mailoutbox, elsewhere):
    sign_up(client, NEW, next=elsewhere)
    assert confirm(client, code_in(mailoutbox[0])).url == "/studio/"


def test_the_page_says_what_an_account_has_to_start_with(client, settings):
    settings.SIGNUP_CREDIT_USD = "0.5"
    assert "$0.50 to start with, for 30 days, no card." in words(client.get(SIGNUP))
    settings.SIGNUP_CREDIT_DAYS = 0
    assert "$0.50 to start with, no card." in words(client.get(SIGNUP))
    settings.SIGNUP_CREDIT_USD = "0"
    assert "to start with" not in words(client.get(SIGNUP))


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        ({"password": "short"}, "password1", "This password is too short. It must contain at least 10 characters."),
        ({"password": "password123"}, "password1", "This password is too common."),
        ({"email": "nobody"}, "email", "Enter a valid email address."),
        ({"email": f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.com"}, "email", None),
    ],
)
def test_a_refusal_stands_beside_its_field_and_what_was_typed_stays(client, data, field, text, mailoutbox):
    answer = sign_up(client, **{"email": NEW, **data})
    assert answer.status_code == 200
    assert error_of(answer, field) == (text or "An email address has at most 254 characters.")
    assert f'value="{data.get("email", NEW)}"' in answer.content.decode()
    assert (User.objects.count(), mailoutbox) == (0, [])


# --- The code ---


def test_three_wrong_codes_end_it_and_nothing_is_granted(client, mailoutbox):
    sign_up(client, NEW)
    for _ in range(2):
        answer = confirm(client, "AAAA-AAAA")
        assert error_of(answer, "code") == "This code is not right."
    assert confirm(client, "AAAA-AAAA").url == LOGIN
    assert confirm(client, code_in(mailoutbox[0])).url == LOGIN  # the right one comes too late
    assert not is_signed_in(client)
    assert credit_of(User.objects.get()) == 0


def test_a_new_code_replaces_the_old_one(client, mailoutbox):
    sign_up(client, NEW)
    assert client.post(CONFIRM, {"action": "resend"}).url == CONFIRM
    assert "A new code is on its way to new@example.com." in words(client.get(CONFIRM))
    first, second = map(code_in, mailoutbox)
    assert error_of(confirm(client, first), "code") == "This code is not right."
    assert confirm(client, second).url == "/studio/"


def test_a_mailbox_gets_three_codes_in_three_minutes(client, mailoutbox, monkeypatch):
    clock = Clock(monkeypatch)
    sign_up(client, NEW)
    for _ in range(2):
        assert client.post(CONFIRM, {"action": "resend"}).url == CONFIRM
    sign_in(Client(), NEW)
    assert len(mailoutbox) == 3
    clock.forward(181)
    sign_in(Client(), NEW)
    assert len(mailoutbox) == 4


def test_whoever_comes_back_without_having_confirmed_is_asked_for_a_code(client, mailoutbox):
    sign_up(client, NEW)
    later = Client()
    assert sign_in(later, NEW).url == CONFIRM
    assert not is_signed_in(later)
    assert confirm(later, code_in(mailoutbox[1])).url == "/studio/"
    assert credit_of(User.objects.get()) == 1_000_000


def test_the_mail_is_short_and_in_our_words(client, mailoutbox, settings):
    settings.SITE_NAME = "The House"
    settings.SITE_URL = "https://house.example"
    sign_up(client, NEW)
    (mail,) = mailoutbox
    assert (mail.subject, mail.alternatives) == ("Your code for The House", [])
    assert mail.body.endswith("The House\nhttps://house.example")
    assert "{" not in mail.body
    assert len(mail.body) < 500


@pytest.mark.parametrize(("environment", "is_told"), [("development", True), ("production", False)])
def test_without_a_mail_server_the_page_says_where_the_mail_is(client, settings, environment, is_told):
    sign_up(client, NEW)
    settings.ENVIRONMENT = environment
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert ("printed where" in words(client.get(CONFIRM))) is is_told


def test_with_a_mail_server_the_page_does_not_talk_of_printing(client):
    sign_up(client, NEW)
    assert "printed where" not in words(client.get(CONFIRM))


def test_a_mail_server_that_takes_nothing_is_told_in_plain_words(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise smtplib.SMTPServerDisconnected

    monkeypatch.setattr("django.core.mail.EmailMessage.send", refuse)
    answer = sign_up(client, NEW)
    assert answer.status_code == 503
    assert "The email could not be sent." in words(answer)
    assert "Try again in a few minutes." in words(answer)


# --- The first credit, once ---


def test_another_address_later_brings_no_second_credit(client, mailoutbox):
    sign_up(client, NEW)
    confirm(client, code_in(mailoutbox[0]))
    say_who_you_are(client)
    client.post("/accounts/email/", {"action_add": "", "email": "other@example.com"})
    assert confirm(client, code_in(mailoutbox[-1])).url == "/accounts/email/"
    user = User.objects.get()
    assert (user.email, credit_of(user)) == ("other@example.com", 1_000_000)
    assert list(EmailAddress.objects.values_list("email", "verified")) == [("other@example.com", True)]


def test_an_account_made_without_credit_gets_none_by_changing_its_address(mailoutbox):
    user = users.create_account(email=NEW, password=PASSWORD, credit_micros=0)
    client = signed_in(user)
    say_who_you_are(client)
    client.post("/accounts/email/", {"action_add": "", "email": "other@example.com"})
    confirm(client, code_in(mailoutbox[-1]))
    user.refresh_from_db()
    assert (user.email, credit_of(user)) == ("other@example.com", 0)
    assert not Transfer.objects.exists()


def test_without_a_sign_up_credit_nothing_is_booked(client, mailoutbox, settings):
    settings.SIGNUP_CREDIT_USD = "0"
    sign_up(client, NEW)
    assert confirm(client, code_in(mailoutbox[0])).url == "/studio/"
    assert not Transfer.objects.exists()


def test_a_ledger_that_does_not_answer_leaves_the_address_unconfirmed(client, mailoutbox, monkeypatch):
    sign_up(client, NEW)

    def refuse(giveaway, **kwargs):
        raise ServiceUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "give", refuse)
        assert confirm(client, code_in(mailoutbox[0])).status_code == 503
    assert not EmailAddress.objects.get().verified
    again = Client()
    sign_in(again, NEW)
    assert confirm(again, code_in(mailoutbox[-1])).url == "/studio/"
    assert credit_of(User.objects.get()) == 1_000_000


@pytest.mark.django_db(transaction=True)
def test_two_browsers_that_confirm_at_once_bring_one_credit(race, mailoutbox):
    clients = [Client(), Client()]
    sign_up(clients[0], NEW)
    sign_in(clients[1], NEW)
    codes = [code_in(mail) for mail in mailoutbox]
    answers = race(2, lambda index: confirm(clients[index], codes[index]))
    assert all(answer.status_code == 302 for answer in answers)
    user = User.objects.get()
    assert credit_of(user) == 1_000_000
    assert Transfer.objects.filter(credit=user.wallet).count() == 1


# --- Taken addresses ---


def test_a_taken_address_is_answered_like_a_free_one(alice, mailoutbox):
    before = User.objects.count()
    answers, pages = [], []
    for email in (alice.email, "alicf@example.com"):
        client = Client()
        answer = sign_up(client, email)
        answers.append((answer.status_code, answer.url, answer.content))
        seen = [client.get(CONFIRM), confirm(client, "AAAA-AAAA"), confirm(client, "BBBB-BBBB")]
        end = confirm(client, "CCCC-CCCC")
        pages.append(
            [(page.status_code, words(page).replace(email, "EMAIL")) for page in seen] + [(end.status_code, end.url)]
        )
    assert answers[0] == answers[1]
    assert pages[0] == pages[1]
    assert User.objects.count() == before + 1
    told, welcomed = mailoutbox
    assert (told.to, told.subject) == ([alice.email], "You have an account already")
    assert "/accounts/password/reset/" in told.body
    assert welcomed.to == ["alicf@example.com"]


def test_a_taken_address_costs_as_many_hashes_as_a_free_one(alice, monkeypatch):
    hashes = count_hashes(monkeypatch)
    counts = []
    for email in (alice.email, "alicf@example.com"):
        sign_up(Client(), email)
        counts.append(len(hashes))
        hashes.clear()
    assert counts == [1, 1]


def test_a_taken_address_keeps_its_password_and_its_credit(alice, client):
    sign_up(client, alice.email.upper(), "some other password")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert credit_of(alice) == 1_000_000


@pytest.mark.django_db(transaction=True)
def test_the_same_address_at_once_makes_one_account_and_no_fault(race):
    answers = race(4, lambda _: sign_up(Client(), NEW))
    # The fourth mail to one mailbox within three minutes is too much; the rest is the same for all.
    assert {answer.status_code for answer in answers} <= {302, 429}
    assert User.objects.count() == 1


def test_whoever_owns_the_mailbox_gets_an_account_that_a_stranger_began(client, mailoutbox):
    sign_up(client, NEW, "the stranger's choice")
    owner = Client()
    owner.post("/accounts/password/reset/", {"email": NEW})
    owner.post("/accounts/password/reset/confirm/", {"code": code_in(mailoutbox[-1])})
    owner.post("/accounts/password/reset/complete/", {"password1": PASSWORD})
    assert is_signed_in(owner)
    user = User.objects.get()
    assert user.check_password(PASSWORD)
    assert credit_of(user) == 1_000_000
    assert EmailAddress.objects.get().verified
    assert not is_signed_in(client)


@pytest.mark.parametrize("is_found_late", [False, True])
def test_an_address_that_a_stranger_began_with_is_refused_and_no_fault(
    alice, client, mailoutbox, monkeypatch, is_found_late
):
    sign_up(client, NEW)
    hers = signed_in(alice)
    say_who_you_are(hers)
    hers.post("/accounts/email/", {"action_add": "", "email": NEW})
    if is_found_late:  # the stranger came after the form was checked, and before the address was stored
        monkeypatch.setattr("allauth.account.forms.email_already_exists", lambda email, **more: (email, False))
    answer = hers.post(CONFIRM, {"code": code_in(mailoutbox[-1])}, follow=True)
    assert "belongs to another account." in words(answer)
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert list(EmailAddress.objects.filter(user=alice).values_list("email", flat=True)) == ["alice@example.com"]


# --- Older databases ---


def test_accounts_from_before_go_on_signing_in(alice, bob):
    EmailAddress.objects.filter(user=alice).delete()
    migration = importlib.import_module("accounts.migrations.0004_confirmed_addresses")
    migration.confirm_addresses(apps, None)
    migration.confirm_addresses(apps, None)  # safe to repeat
    address = EmailAddress.objects.get(user=alice)
    assert (address.email, address.verified, address.primary) == (alice.email, True, True)
    assert EmailAddress.objects.count() == 2
    signed_in(alice)
