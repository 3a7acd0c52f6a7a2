import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command

from accounts import ledger, users
from accounts.errors import InvalidInput, NotFound
from accounts.models import Plan, Transfer, User
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db


def refusal(**fields):
    """The fields that create_account refuses, after a look that nothing was stored."""
    before = User.objects.count(), Transfer.objects.count(), EmailAddress.objects.count()
    with pytest.raises(InvalidInput) as refused:
        users.create_account(**{"email": "new@example.com", "password": PASSWORD, **fields})
    assert (User.objects.count(), Transfer.objects.count(), EmailAddress.objects.count()) == before
    return [error.field for error in refused.value.errors]


def test_a_new_account_has_the_free_plan_a_wallet_and_the_sign_up_credit(settings):
    settings.SIGNUP_CREDIT_USD = "2.50"
    user = users.create_account(email="new@example.com", password=PASSWORD, name=" New ")
    assert (user.name, user.plan.name, user.is_staff, user.is_active) == ("New", "free", False, True)
    assert user.check_password(PASSWORD)
    assert ledger.balance_of(user).available == 2_500_000


def test_its_address_is_confirmed_so_that_it_can_sign_in():
    user = users.create_account(email="New@example.com", password=PASSWORD)
    assert EmailAddress.objects.values_list("user", "email", "verified", "primary").get() == (
        user.pk,
        "new@example.com",
        True,
        True,
    )


def test_the_credit_is_exactly_the_given_one():
    user = users.create_account(email="new@example.com", password=PASSWORD, credit_micros=58_000)
    assert ledger.balance_of(user) == ledger.Balance(available=58_000, held=0, spent=0)


def test_no_credit_makes_no_grant():
    user = users.create_account(email="new@example.com", password=PASSWORD, credit_micros=0)
    assert ledger.balance_of(user).available == 0
    assert not Transfer.objects.exists()


def test_the_email_address_is_kept_in_lower_case_and_found_in_any():
    user = users.create_account(email=" New@Example.COM ", password=PASSWORD)
    assert user.email == "new@example.com"
    assert users.get_user(email="NEW@example.com") == user


def test_an_address_that_nobody_has_is_not_found():
    with pytest.raises(NotFound, match=r"nobody@example\.com"):
        users.get_user(email="nobody@example.com")


@pytest.mark.parametrize("email", ["", "new", "new@", "new@example", "a b@example.com", "new\0@example.com"])
def test_a_bad_email_address_is_refused(email):
    assert refusal(email=email) == ["email"]


def test_an_email_address_that_no_column_holds_is_refused():
    assert refusal(email=f"new@{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.com") == ["email"]


def test_an_address_that_is_taken_in_another_case_is_refused(alice):
    assert refusal(email="ALICE@Example.com") == ["email"]


@pytest.mark.parametrize("password", ["", "short", "password123"])
def test_a_weak_password_is_refused(password):
    assert refusal(password=password) == ["password"]


def test_a_negative_credit_and_a_long_name_are_refused_together():
    assert refusal(credit_micros=-1, name="n" * 151) == ["name", "credit"]


def test_the_same_address_at_once_makes_one_account(race):
    outcomes = race(8, lambda _: users.create_account(email="new@example.com", password=PASSWORD, credit_micros=1))
    made = [outcome for outcome in outcomes if isinstance(outcome, User)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, InvalidInput)]
    assert (len(made), len(refused)) == (1, 7)
    assert {error.errors[0].field for error in refused} == {"email"}
    assert ledger.balance_of(made[0]).available == 1


def test_the_seeded_plans_are_those_of_the_contract():
    plans = {plan.name: (plan.images_per_day, plan.concurrent, plan.requests_per_minute) for plan in Plan.objects.all()}
    assert plans == {
        "free": (40, 4, 30),
        "standard": (500, 16, 120),
        "unlimited": (None, None, None),
        "guest": (None, 1, 15),
    }


def test_the_default_plan_is_made_again_as_it_was_seeded():
    seeded = Plan.objects.values("images_per_day", "concurrent", "requests_per_minute").get(name="free")
    Plan.objects.all().delete()
    users.default_plan()
    assert Plan.objects.values("images_per_day", "concurrent", "requests_per_minute").get(name="free") == seeded


def test_the_migrations_are_complete():
    call_command("makemigrations", "accounts", check=True, dry_run=True, verbosity=0)


def test_the_token_for_upstreams_is_the_same_for_one_person_and_tells_nobody_who(alice, bob, settings):
    token = users.user_token(alice)
    assert token == users.user_token(User.objects.get(pk=alice.pk))
    assert token != users.user_token(bob)
    assert len(token) == 32
    for known in (alice.email, str(alice.public_id), alice.public_id.hex):
        assert known not in token
    settings.SECRET_KEY = "another-secret-key-of-fifty-characters-and-some-more"
    assert users.user_token(alice) != token  # without the key nobody can tell whose it is by trying
