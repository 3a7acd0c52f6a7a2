"""The credit of a sign-up: once for each mailbox, out of the day's budget, and for a while (TRUST S15)."""

import importlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts import closing, guests, ledger, signup_credit, users
from accounts.audit import audit_ledger
from accounts.models import SignupCredit, Transfer, User
from accounts.signup_credit import Outcome
from tests.accounts.door import CONFIRM, SIGNUP, code_in, sign_up, words
from tests.accounts.mmdb import write_mmdb
from tests.accounts.money import make_price, refund, reserve
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CREDIT = 1_000_000


@pytest.fixture(autouse=True)
def _offer(settings):
    cache.clear()
    settings.SIGNUP_CREDIT_USD = "1.00"
    settings.SIGNUP_DAILY_BUDGET_USD = "20.00"
    settings.SIGNUP_CREDIT_DAYS = 30
    settings.SIGNUP_CREDITS_PER_NETWORK = 5
    settings.SIGNUP_CREDITS_PER_ASN = 50


def newcomer(email):
    """Somebody who has confirmed nothing yet."""
    user = User(email=email)
    user.set_password(PASSWORD)
    users.open_account(user)
    return user


def claim(email_or_user, *, number=0, at=NOON, address=""):
    """The outcome for one newcomer, who comes from a network of their own."""
    user = email_or_user if isinstance(email_or_user, User) else newcomer(email_or_user)
    with transaction.atomic():
        return signup_credit.claim(user, address=address or f"10.{number // 250}.{number % 250}.7", at=at)


def credit_of(email):
    return ledger.balance_of(User.objects.get(email=email)).available


def given_away(at=NOON):
    return 20_000_000 - ledger.left_of_day(ledger.SIGNUP, at, 20_000_000)


# --- Once for each mailbox ---


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ann@example.com", "ann+2@example.com"),
        ("ann@gmail.com", "a.n.n+x@googlemail.com"),
    ],
)
def test_two_addresses_of_one_mailbox_bring_one_credit(first, second):
    assert claim(first) is Outcome.GIVEN
    assert claim(second, number=1) is Outcome.HAD_BEFORE
    assert (credit_of(first), credit_of(second), given_away()) == (CREDIT, 0, CREDIT)
    assert not audit_ledger()


def test_dots_count_where_the_provider_does_not_ignore_them():
    assert [claim(email) for email in ("ann.lee@example.com", "annlee@example.com")] == [Outcome.GIVEN] * 2


def test_deleting_the_account_does_not_bring_it_again(settings):
    claim("ann@example.com")
    closing.close_account(User.objects.get(email="ann@example.com"))
    row = SignupCredit.objects.get()
    assert (row.user, row.grant, row.expires_at) == (None, None, None)
    assert "ann" not in row.mailbox
    assert claim("ann@example.com") is Outcome.HAD_BEFORE
    assert credit_of("ann@example.com") == 0


def test_deleting_an_account_that_never_got_it_leaves_nothing(settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "1.00"
    claim("first@example.com")
    assert claim("ann@example.com", number=1) is Outcome.WAITING
    closing.close_account(User.objects.get(email="ann@example.com"))
    assert SignupCredit.objects.count() == 1
    assert signup_credit.give_waiting(NOON + DAY) == 0
    assert claim("ann@example.com", number=2, at=NOON + DAY) is Outcome.GIVEN


def test_what_an_operator_gave_counts_and_neither_expires_nor_comes_out_of_the_budget():
    user = users.create_account(email="ann@example.com", password=PASSWORD, credit_micros=5_000_000)
    assert claim("ann+1@example.com") is Outcome.HAD_BEFORE
    assert given_away() == 0
    assert signup_credit.expire_due(NOON + 365 * DAY) == 0
    assert ledger.balance_of(user).available == 5_000_000


def test_an_account_made_by_an_operator_without_credit_does_not_use_up_its_mailbox():
    users.create_account(email="ann@example.com", password=PASSWORD, credit_micros=0)
    assert claim("ann+1@example.com") is Outcome.GIVEN


def test_accounts_from_before_keep_what_they_have_and_bring_no_second_credit(alice):
    SignupCredit.objects.all().delete()
    EmailAddress.objects.create(user=newcomer("unconfirmed@example.com"), email="unconfirmed@example.com")
    migration = importlib.import_module("accounts.migrations.0015_signup_credit")
    migration.note_mailboxes(apps, None)
    migration.note_mailboxes(apps, None)  # safe to repeat
    assert SignupCredit.objects.count() == 1
    assert signup_credit.give_waiting(NOON) == signup_credit.expire_due(NOON + 365 * DAY) == 0
    assert credit_of("alice@example.com") == CREDIT
    assert claim("alice+1@example.com") is Outcome.HAD_BEFORE
    assert claim("unconfirmed+1@example.com") is Outcome.GIVEN


# --- Not for everybody ---


def test_a_disposable_address_gets_an_account_and_no_credit(settings):
    settings.SIGNUP_NO_CREDIT_DOMAINS = ["temp.example"]
    assert claim("ann@mailinator.com") is Outcome.DISPOSABLE
    assert claim("ann@x.temp.example") is Outcome.DISPOSABLE
    assert not SignupCredit.objects.exists()
    assert not Transfer.objects.exists()


def test_a_network_has_its_part_of_the_day(settings):
    settings.SIGNUP_CREDITS_PER_NETWORK = 2
    outcomes = [claim(f"p{n}@example.com", address=f"192.0.2.{n}") for n in range(3)]
    assert outcomes == [Outcome.GIVEN, Outcome.GIVEN, Outcome.NETWORK_FULL]
    assert claim("q@example.com", address="198.51.100.1") is Outcome.GIVEN
    assert claim("r@example.com", address="192.0.2.9", at=NOON + DAY) is Outcome.GIVEN
    assert SignupCredit.objects.count() == 4
    assert not audit_ledger()


def test_a_provider_has_its_part_of_the_day(settings, tmp_path):
    records = {f"10.0.{n}.0/24": {"autonomous_system_number": 64500} for n in range(3)}
    settings.ASN_DATABASE = str(write_mmdb(tmp_path / "asn.mmdb", records))
    settings.SIGNUP_CREDITS_PER_ASN = 2
    outcomes = [claim(f"p{n}@example.com", number=n) for n in range(4)]
    assert outcomes == [Outcome.GIVEN, Outcome.GIVEN, Outcome.NETWORK_FULL, Outcome.GIVEN]


@pytest.mark.parametrize(("credit", "budget"), [("0", "20.00"), ("1.00", "0")])
def test_a_site_that_gives_none_writes_nothing_down(settings, credit, budget):
    settings.SIGNUP_CREDIT_USD, settings.SIGNUP_DAILY_BUDGET_USD = credit, budget
    assert claim("ann@example.com") is Outcome.NOT_OFFERED
    assert "to start with" not in words(Client().get(SIGNUP))
    assert not SignupCredit.objects.exists()


# --- The day's budget ---


def test_whoever_comes_after_the_budget_gets_it_on_a_later_day_first_come_first_served(settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "2.50"
    outcomes = [claim(f"p{n}@example.com", number=n) for n in range(7)]
    assert outcomes == [Outcome.GIVEN] * 2 + [Outcome.WAITING] * 5
    assert signup_credit.give_waiting(NOON + timedelta(hours=11)) == 0
    assert signup_credit.give_waiting(NOON + DAY) == 2
    assert signup_credit.give_waiting(NOON + DAY) == 0
    assert [credit_of(f"p{n}@example.com") for n in range(7)] == [CREDIT] * 4 + [0] * 3
    assert signup_credit.give_waiting(NOON + 2 * DAY) == 2
    assert signup_credit.give_waiting(NOON + 3 * DAY) == 1
    assert SignupCredit.objects.waiting().count() == 0
    assert SignupCredit.objects.get(user__email="p6@example.com").expires_at == NOON + 33 * DAY
    assert not audit_ledger()


def test_somebody_who_is_leaving_or_switched_off_does_not_hold_up_the_others(settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "1.00"
    for n in range(4):
        claim(f"p{n}@example.com", number=n)
    User.objects.filter(email="p1@example.com").update(is_active=False)
    User.objects.filter(email="p2@example.com").update(erase_at=NOON + 7 * DAY)
    assert signup_credit.give_waiting(NOON + DAY) == 1
    assert [credit_of(f"p{n}@example.com") for n in range(4)] == [CREDIT, 0, 0, CREDIT]


def test_the_trial_and_the_credit_have_budgets_of_their_own(settings):
    settings.TRIAL_DAILY_BUDGET_USD, settings.TRIAL_GENERATIONS = "5.00", 2
    guest = guests.start_guest(address="192.0.2.1", grant_micros=116_000, at=NOON)
    User.objects.filter(pk=guest.pk).update(email="guest@example.com")
    guest.refresh_from_db()
    guests.welcome_guest(guest, users.default_plan())
    assert claim(guest) is Outcome.GIVEN
    assert ledger.balance_of(guest).available == CREDIT + 116_000
    assert given_away() == CREDIT
    assert ledger.left_of_day(ledger.TRIAL, NOON, 0) == 5_000_000 - 116_000


@pytest.mark.slow
def test_64_sign_ups_at_once_get_exactly_what_the_day_has(race, settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "10.50"
    people = [newcomer(f"p{n}@example.com") for n in range(64)]
    results = race(64, lambda n: claim(people[n], number=n))
    assert sorted(result.value for result in results) == ["given"] * 10 + ["waiting"] * 54
    assert ledger.left_of_day(ledger.SIGNUP, NOON, 0) == 500_000
    assert Transfer.objects.filter(code="budget").count() == 1
    assert not audit_ledger()
    # Nor do sweepers that meet give more than the next day has, or anybody a second one.
    assert sum(race(8, lambda _: signup_credit.give_waiting(NOON + DAY))) == 10
    assert Transfer.objects.filter(code="grant").count() == 20
    assert not audit_ledger()


@pytest.mark.slow
def test_64_accounts_of_one_mailbox_at_once_get_one_credit(race):
    people = [newcomer(f"ann+{n}@example.com") for n in range(64)]
    results = race(64, lambda n: claim(people[n], number=n))
    assert sorted(result.value for result in results) == ["given"] + ["had_before"] * 63
    assert (given_away(), SignupCredit.objects.count()) == (CREDIT, 1)


@pytest.mark.slow
def test_64_sign_ups_of_one_network_at_once_are_as_many_as_it_has(race):
    people = [newcomer(f"p{n}@example.com") for n in range(64)]
    results = race(64, lambda n: claim(people[n], address=f"192.0.2.{n}"))
    assert sorted(result.value for result in results) == ["given"] * 5 + ["network_full"] * 59
    assert given_away() == 5 * CREDIT


# --- Through the door ---


def come(email, mailoutbox, *, number=0):
    """Sign up and confirm as a browser does, from a network of its own; the page that follows."""
    browser = Client(REMOTE_ADDR=f"10.{number // 250}.{number % 250}.7")
    assert sign_up(browser, email).status_code == 302
    page = browser.post(CONFIRM, {"code": code_in(mailoutbox[-1])}, follow=True)
    assert page.redirect_chain == [("/studio/", 302)]
    return browser, page


@pytest.mark.slow
def test_a_farm_of_100_sign_ups_costs_no_more_than_the_day_has(mailoutbox, settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "5.00"
    for number in range(100):
        # Every other one is the same mailbox by another name.
        email = f"far.mer+{number}@gmail.com" if number % 2 else f"farmer{number}@example.com"
        come(email, mailoutbox, number=number)
    given = Transfer.objects.filter(code="grant")
    assert (User.objects.count(), given.count()) == (100, 5)
    assert {transfer.amount_micros for transfer in given} == {CREDIT}
    assert SignupCredit.objects.waiting().count() == 46  # 51 mailboxes
    assert not audit_ledger()


def test_whoever_gets_none_is_told_why_once(mailoutbox, settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "1.00"
    browser, page = come("ann@example.com", mailoutbox)
    assert not re.search(r'<div class="toast".*?credit.*?</div>', words(page))
    for number, (email, text) in enumerate(
        [
            ("ann+1@example.com", "this mailbox has had it before."),
            ("ann@mailinator.com", "your address is a disposable one."),
            ("bob@example.com", "Yours comes by itself on one of the next days."),
        ]
    ):
        browser, page = come(email, mailoutbox, number=number + 1)
        assert text in words(page)
        assert text not in words(browser.get("/studio/"))
    settings.SIGNUP_CREDITS_PER_NETWORK = 1
    _, page = come("carol@example.com", mailoutbox)
    assert "many accounts came from your network today." in words(page)


def test_the_page_of_the_sign_up_says_that_today_s_credits_are_given_out(mailoutbox, settings):
    settings.SIGNUP_DAILY_BUDGET_USD = "1.00"
    page = words(Client().get(SIGNUP))
    assert "$1.00 to start with, for 30 days, no card." in page
    assert "given out" not in page
    come("ann@example.com", mailoutbox)
    page = words(Client().get(SIGNUP))
    assert "Today's credits are all given out: yours comes on one of the next days." in page


def test_the_balance_says_what_is_left_of_it_and_until_when(mailoutbox, settings, django_assert_max_num_queries):
    settings.SIGNUP_DAILY_BUDGET_USD = "1.00"
    browser, _ = come("ann@example.com", mailoutbox)
    row = SignupCredit.objects.get()
    with django_assert_max_num_queries(8):
        page = words(browser.get("/account/"))
    assert "$1.000 of it is your sign-up credit. It is spent first, and what is left of it expires on" in page
    assert f"{row.expires_at:%b %Y}" in page
    waiting, _ = come("bob@example.com", mailoutbox, number=1)
    assert "Your sign-up credit comes on one of the next days." in words(waiting.get("/account/"))
    ledger.adjust(user=row.user, amount_micros=-CREDIT, actor="staff", reason="mistake", key="mistake")
    assert "sign-up credit" not in words(browser.get("/account/"))


# --- The end of it ---


@pytest.fixture
def ann():
    """Somebody with a sign-up credit of now."""
    claim("ann@example.com")
    return User.objects.get(email="ann@example.com")


def expire(at=NOON + 30 * DAY):
    assert signup_credit.expire_due(at - timedelta(seconds=1)) == 0
    return signup_credit.expire_due(at)


def spend(user, price):
    return ledger.capture(hold=reserve(user, price))


def test_what_nobody_spent_goes_back_on_its_day(ann):
    assert expire() == 1
    assert ledger.balance_of(ann) == ledger.Balance(available=0, held=0, spent=0)
    transfer = Transfer.objects.get(code="expiry")
    assert (transfer.debit, transfer.credit.code, transfer.amount_micros) == (ann.wallet, "external", CREDIT)
    row = SignupCredit.objects.get()
    assert (row.user, row.grant, row.expires_at) == (None, None, None)
    assert signup_credit.expire_due(NOON + 60 * DAY) == 0
    assert claim("ann+1@example.com", number=1, at=NOON + 60 * DAY) is Outcome.HAD_BEFORE
    assert not audit_ledger()


def test_it_is_spent_before_what_was_bought(ann):
    price = make_price()
    ledger.top_up(user=ann, amount_micros=5_000_000, provider="bank", event_id="1")
    spent = [spend(ann, price).amount_micros for _ in range(3)]
    left = CREDIT - sum(spent)
    assert signup_credit.standing_of(ann).left == left
    expire()
    assert Transfer.objects.get(code="expiry").amount_micros == left
    assert ledger.balance_of(ann).available == 5_000_000
    assert not audit_ledger()


def test_of_what_was_bought_nothing_goes_when_the_credit_is_spent(ann):
    price = make_price()
    ledger.top_up(user=ann, amount_micros=5_000_000, provider="bank", event_id="1")
    while ledger.balance_of(ann).available > 5_000_000:
        spend(ann, price)
    before = ledger.balance_of(ann)
    assert signup_credit.standing_of(ann) is None
    assert expire() == 1
    assert ledger.balance_of(ann) == before
    assert not Transfer.objects.filter(code="expiry").exists()


def test_what_was_refunded_is_there_again_and_goes_with_the_rest(ann):
    price = make_price()
    captured = spend(ann, price)
    refund(captured, captured.amount_micros)
    expire()
    assert Transfer.objects.get(code="expiry").amount_micros == CREDIT


def test_a_refund_of_what_was_paid_before_the_credit_came_is_no_part_of_it(settings):
    settings.TRIAL_DAILY_BUDGET_USD, settings.TRIAL_GENERATIONS = "5.00", 2
    price = make_price()
    guest = guests.start_guest(address="192.0.2.1", grant_micros=price.amount_micros, at=NOON)
    captured = spend(guest, price)
    User.objects.filter(pk=guest.pk).update(email="guest@example.com", is_guest=False)
    guest.refresh_from_db()
    claim(guest)
    spent = spend(guest, price)
    refund(captured, captured.amount_micros)
    expire()
    assert Transfer.objects.get(code="expiry").amount_micros == CREDIT - spent.amount_micros
    assert ledger.balance_of(guest).available == captured.amount_micros


def test_what_is_held_counts_as_spent_and_may_come_back_for_good(ann):
    price = make_price()
    hold = reserve(ann, price)
    expire()
    assert Transfer.objects.get(code="expiry").amount_micros == CREDIT - hold.amount_micros
    ledger.release(hold=hold, reason="failed")
    assert ledger.balance_of(ann).available == hold.amount_micros
    assert signup_credit.expire_due(NOON + 60 * DAY) == 0
    assert not audit_ledger()


def test_what_the_staff_took_back_is_not_taken_twice(ann):
    ledger.adjust(user=ann, amount_micros=-CREDIT, actor="staff", reason="mistake", key="mistake")
    ledger.top_up(user=ann, amount_micros=5_000_000, provider="bank", event_id="1")
    expire()
    assert ledger.balance_of(ann).available == 5_000_000


def test_without_days_it_never_expires(settings):
    settings.SIGNUP_CREDIT_DAYS = 0
    claim("ann@example.com")
    assert signup_credit.expire_due(NOON + 3650 * DAY) == 0
    row = SignupCredit.objects.get()
    assert (row.user, row.grant) == (None, None)
    assert credit_of("ann@example.com") == CREDIT
    assert claim("ann+1@example.com", number=1) is Outcome.HAD_BEFORE


@pytest.mark.slow
def test_an_end_that_meets_spending_takes_neither_too_much_nor_too_little(race, ann):
    price = make_price()
    ledger.top_up(user=ann, amount_micros=5_000_000, provider="bank", event_id="1")

    def act(index):
        if index % 8 == 0:
            return signup_credit.expire_due(NOON + 30 * DAY)
        return spend(ann, price)

    results = race(32, act)
    spent = [result.amount_micros for result in results if isinstance(result, Transfer)]
    assert (len(spent), sum(result for result in results if isinstance(result, int))) == (28, 1)
    expiry = Transfer.objects.filter(code="expiry").first()
    taken = expiry.amount_micros if expiry else 0
    holds = Transfer.objects.filter(code="hold", created_at__lt=expiry.created_at if expiry else timezone.now())
    before = sum(holds.values_list("amount_micros", flat=True))
    assert taken == max(0, CREDIT - before)
    assert ledger.balance_of(ann).available == 6_000_000 - sum(spent) - taken
    assert not audit_ledger()


def test_a_row_that_neither_waits_nor_expires_names_nobody(ann, guards_off):
    with pytest.raises(IntegrityError), transaction.atomic():
        SignupCredit.objects.update(user=None)
