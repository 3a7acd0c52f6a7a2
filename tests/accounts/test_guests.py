"""Guests: what a day of them may cost, how a network is known, and how one becomes an account."""

from datetime import UTC, datetime, timedelta

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import guests, ledger, mail, networks, users
from accounts.audit import audit_ledger
from accounts.errors import AccountNeeded, InvalidInput, TrialFull
from accounts.models import GuestUsage, LedgerAccount, SiteUsage, Transfer, User
from accounts.signup_credit import Outcome
from tests.accounts.mmdb import write_mmdb
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

GRANT = 116_000  # two pictures at 0.058
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _trial(settings):
    settings.TRIAL_GENERATIONS = 2
    settings.TRIAL_DAILY_BUDGET_USD = "5.00"
    settings.TRIAL_GUESTS_PER_NETWORK = 20


def begin(number=0, *, at=NOON, grant=GRANT):
    """A guest from a network of its own."""
    return guests.start_guest(address=f"10.{number // 250}.{number % 250}.7", grant_micros=grant, at=at)


def given_away(at=NOON):
    return 5_000_000 - ledger.left_of_day(ledger.TRIAL, at, 5_000_000)


def test_a_guest_has_money_for_the_trial_and_no_way_to_sign_in():
    guest = begin()
    assert (guest.is_guest, guest.plan.name, guest.erase_at) == (True, "guest", NOON + guests.KEPT)
    assert not guest.has_usable_password()
    assert "@" not in guest.email
    assert ledger.balance_of(guest).available == GRANT
    assert given_away() == GRANT
    assert not audit_ledger()


def test_one_budget_is_spent_by_all_guests_of_a_day_and_not_passed(settings):
    settings.TRIAL_DAILY_BUDGET_USD = "0.40"
    for number in range(3):
        begin(number)
    with pytest.raises(TrialFull) as refusal:
        begin(3)
    assert refusal.value.retry_after == 12 * 3600 + 1
    assert User.objects.count() == 3
    # What is left is given to whoever asks for no more than that.
    begin(4, grant=52_000)
    assert ledger.left_of_day(ledger.TRIAL, NOON, 400_000) == 0
    assert not audit_ledger()


def test_the_next_day_in_utc_has_its_own_budget(settings):
    settings.TRIAL_DAILY_BUDGET_USD = "0.116"
    begin(0, at=datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(TrialFull):
        begin(1, at=datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC))
    begin(1, at=datetime(2026, 11, 28, tzinfo=UTC))
    assert {account.code for account in LedgerAccount.objects.filter(kind="grant")} == {
        "trial:2026-11-27",
        "trial:2026-11-28",
    }


def test_a_day_keeps_the_budget_it_began_with(settings):
    settings.TRIAL_DAILY_BUDGET_USD = "0.116"
    begin(0)
    settings.TRIAL_DAILY_BUDGET_USD = "5.00"
    with pytest.raises(TrialFull):
        begin(1)


@pytest.mark.parametrize(("generations", "budget"), [(0, "5.00"), (2, "0")])
def test_a_site_without_a_trial_makes_no_guest(settings, generations, budget):
    settings.TRIAL_GENERATIONS, settings.TRIAL_DAILY_BUDGET_USD = generations, budget
    assert not guests.is_trial_open()
    with pytest.raises(TrialFull):
        begin()
    assert not User.objects.exists()


def test_64_guests_at_once_get_exactly_what_the_day_has(race, settings):
    settings.TRIAL_DAILY_BUDGET_USD = "1.20"  # ten, and 0.04
    results = race(64, begin)
    assert sum(isinstance(result, User) for result in results) == 10
    assert {type(result) for result in results} == {User, TrialFull}
    assert ledger.left_of_day(ledger.TRIAL, NOON, 0) == 40_000
    assert User.objects.count() == 10
    assert Transfer.objects.filter(code="budget").count() == 1
    assert not audit_ledger()


def test_64_guests_of_one_network_are_as_many_as_a_network_has(race, settings):
    settings.TRIAL_GUESTS_PER_NETWORK = 5
    results = race(64, lambda number: guests.start_guest(address=f"192.0.2.{number}", grant_micros=58_000, at=NOON))
    assert sum(isinstance(result, User) for result in results) == 5
    assert {type(result) for result in results} == {User, TrialFull}


def test_a_provider_of_many_networks_has_its_part_of_the_day(settings, tmp_path):
    records = {f"10.0.{number}.0/24": {"autonomous_system_number": 64500} for number in range(3)}
    settings.ASN_DATABASE = str(write_mmdb(tmp_path / "asn.mmdb", records))
    settings.TRIAL_GUESTS_PER_ASN = 2
    begin(0)
    begin(1)
    with pytest.raises(TrialFull, match="from your network"):
        begin(2)
    begin(3)
    assert (User.objects.count(), given_away()) == (3, 3 * GRANT)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("2001:db8:1:1::1", "2001:db8:1:ffff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("", "unix", True),
    ],
)
def test_a_network_is_what_one_household_has(one, other, is_same):
    assert (networks.network_digest(one) == networks.network_digest(other)) is is_same


def test_no_address_is_kept():
    guests.start_guest(address="192.0.2.77", grant_micros=GRANT, at=NOON)
    row = GuestUsage.objects.get()
    assert "192" not in row.network
    assert len(row.network) == 32
    assert not SiteUsage.objects.exists()


def sign_up(guest, email):
    """As allauth's sign-up does it."""
    guest.email = email
    guest.set_password(PASSWORD)
    signed_up = guests.sign_up_guest(guest)
    EmailAddress.objects.create(user=guest, email=email, primary=True)
    return signed_up


def test_a_guest_who_signs_up_is_one_until_the_address_is_confirmed(settings):
    settings.SIGNUP_CREDIT_USD = "1.00"
    guest = begin()
    assert sign_up(guest, "new@example.com")
    guest.refresh_from_db()
    assert (guest.is_guest, guest.email, guest.erase_at) == (True, "new@example.com", NOON + guests.KEPT)
    assert users.welcome(guest, address="192.0.2.1") is Outcome.GIVEN
    guest.refresh_from_db()
    assert (guest.is_guest, guest.plan.name, guest.erase_at) == (False, "free", None)
    assert ledger.balance_of(guest).available == GRANT + 1_000_000
    assert not guests.welcome_guest(guest, users.default_plan())


def test_a_mistyped_address_is_replaced_by_the_next_one():
    guest = begin()
    sign_up(guest, "mistyped@example.com")
    sign_up(guest, "right@example.com")
    assert [address.email for address in EmailAddress.objects.filter(user=guest)] == ["right@example.com"]
    assert not User.objects.filter(email="mistyped@example.com").exists()


def test_a_taken_address_is_refused_and_the_guest_stays(alice):
    guest = begin()
    name = guest.email
    with pytest.raises(InvalidInput):
        sign_up(guest, alice.email)
    guest.refresh_from_db()
    assert (guest.email, guest.is_guest) == (name, True)


def test_one_who_is_gone_or_has_an_account_does_not_sign_up_again(alice):
    assert not guests.sign_up_guest(alice)
    guest = begin()
    User.objects.filter(pk=guest.pk).update(closed_at=NOON)
    assert not sign_up(guest, "late@example.com")


def test_only_a_guest_can_end_a_trial(alice):
    guests.end_guest(alice)
    alice.refresh_from_db()
    assert alice.erase_at is None
    guest = begin()
    guests.end_guest(guest)
    guest.refresh_from_db()
    assert abs(guest.erase_at - timezone.now()) < timedelta(minutes=5)


def test_what_only_accounts_have_is_refused_by_name(alice):
    guests.refuse_guest(alice, "No")
    with pytest.raises(AccountNeeded, match="No"):
        guests.refuse_guest(begin(), "No")


def test_nobody_writes_to_a_guest_nor_to_an_address_that_is_not_confirmed(alice):
    guest = begin()
    assert mail.is_reachable(alice)
    assert not mail.is_reachable(guest)
    sign_up(guest, "new@example.com")
    assert not mail.is_reachable(User.objects.get(pk=guest.pk))
