"""The commands as an operator runs them: the result alone on stdout, problems on stderr, exit 0, 1 or 2."""

import re
import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import ManagementUtility
from django.db import connections

from accounts import keys, ledger, quotas
from accounts.models import ApiKey, LimitChange, Quota, Transfer, User
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

EMAIL = "alice@example.com"


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command line; returns its exit code, stdout and stderr."""
    monkeypatch.setattr(connections, "close_all", lambda: None)  # a command ends with it, but the test goes on

    def run_command(*words):
        code = 0
        try:
            ManagementUtility(["manage.py", *words]).execute()
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_command


@pytest.mark.parametrize("command", ["createaccount", "createapikey", "grantcredit", "setquota", "topup"])
def test_a_command_without_its_options_is_a_usage_error(run, command):
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert "--email" in err


@pytest.mark.parametrize(
    "words", [["createapikey"], ["grantcredit", "--amount", "1", "--reason", "gift"], ["setquota", "--concurrent", "1"]]
)
def test_an_unknown_account_is_told_on_stderr(run, words):
    code, out, err = run(*words, "--email", "nobody@example.com")
    assert (code, out) == (1, "")
    assert "There is no account with the address nobody@example.com." in err


def test_createaccount_prints_the_id(run):
    code, out, err = run("createaccount", "--email", EMAIL, "--password", PASSWORD, "--credit", "2.5", "--staff")
    user = User.objects.get()
    assert (code, out, err) == (0, f"{user.public_id}\n", "")
    assert str(uuid.UUID(out.strip())) == out.strip()
    assert (user.email, user.is_staff, ledger.balance_of(user).available) == (EMAIL, True, 2_500_000)


def test_createaccount_grants_the_sign_up_credit_by_default(run, settings):
    settings.SIGNUP_CREDIT_USD = "0.25"
    run("createaccount", "--email", EMAIL, "--password", PASSWORD)
    user = User.objects.get()
    assert (user.is_staff, ledger.balance_of(user).available) == (False, 250_000)


@pytest.mark.parametrize("credit", ["-1", "much", "0.0000001", "NaN"])
def test_createaccount_refuses_a_credit_that_is_no_amount(run, credit):
    code, out, err = run("createaccount", "--email", EMAIL, "--password", PASSWORD, f"--credit={credit}")
    assert (code, out) == (1, "")
    assert err
    assert not User.objects.exists()


def test_createaccount_refuses_an_address_that_is_taken(run, alice):
    code, out, err = run("createaccount", "--email", "Alice@example.com", "--password", PASSWORD)
    assert (code, out) == (1, "")
    assert "already an account" in err


def test_createapikey_prints_a_key_that_may_do_what_its_owner_may(run, alice, staff):
    code, out, err = run("createapikey", "--email", alice.email, "--name", "phone")
    assert (code, err) == (0, "")
    assert re.fullmatch(keys.KEY_PATTERN + "\n", out)
    api_key = keys.authenticate(out.strip())
    assert (api_key.user, api_key.name, api_key.expires_at) == (alice, "phone", None)
    assert api_key.scopes == ["generate", "read", "publish", "account"]
    out = run("createapikey", "--email", staff.email)[1]
    assert keys.authenticate(out.strip()).scopes == ["generate", "read", "publish", "review", "account"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2999-01-31", datetime(2999, 1, 31, tzinfo=UTC)),
        ("2999-01-31T12:30:00Z", datetime(2999, 1, 31, 12, 30, tzinfo=UTC)),
        ("2999-01-31T12:30:00+02:00", datetime(2999, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_createapikey_takes_scopes_and_an_end(run, alice, text, moment):
    code, out, _ = run("createapikey", "--email", alice.email, "--scopes", "read, account", "--expires", text)
    api_key = keys.authenticate(out.strip())
    assert (code, api_key.scopes, api_key.expires_at) == (0, ["read", "account"], moment)


def test_createapikey_takes_a_budget_and_limits(run, alice):
    words = ["--budget-usd", "2.50", "--budget-period", "month", "--images-per-day", "5", "--images-per-month", "50"]
    words += ["--concurrent", "2", "--requests-per-minute", "10"]
    code, out, _ = run("createapikey", "--email", alice.email, *words)
    api_key = keys.authenticate(out.strip())
    assert (code, api_key.budget_micros, api_key.budget_period) == (0, 2_500_000, "month")
    assert [getattr(api_key, name) for name in keys.KEY_MEASURES] == [5, 50, 2, 10]
    run("createapikey", "--email", alice.email, "--budget-usd", "1")
    assert ApiKey.objects.first().budget_period == "total"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--scopes", "read,admin"], 1, "'admin' is not a scope"),
        (["--scopes", ""], 1, "'' is not a scope"),
        (["--scopes", "review"], 1, "staff"),
        (["--expires", "2020-01-01"], 1, "--expires: The key would have expired already"),
        (["--budget-usd", "0"], 1, "--budget-usd: A budget is more than nothing"),
        (["--budget-period", "month"], 1, "--budget-period: There is no budget"),
        (["--budget-usd", "1", "--budget-period", "week"], 2, "argument --budget-period: invalid choice"),
        (["--concurrent", "0"], 1, "--concurrent: A limit is a whole number from 1"),
        (["--images-per-day", "many"], 2, "argument --images-per-day: 'many' is not a whole number"),
        (["--expires", "tomorrow"], 2, "is not a date"),
    ],
)
def test_createapikey_refuses(run, alice, words, code, said):
    result = run("createapikey", "--email", alice.email, *words)
    assert result[:2] == (code, "")
    assert said in result[2]
    assert not ApiKey.objects.exists()


def test_grantcredit_prints_the_new_balance_each_time(run, alice):
    words = ["grantcredit", "--email", alice.email, "--amount", "0.058", "--reason", "gift"]
    assert run(*words) == (0, "1.058000\n", "")
    assert run(*words) == (0, "1.116000\n", "")
    assert list(Transfer.objects.filter(reason="gift").values_list("amount_micros", flat=True)) == [58_000, 58_000]


@pytest.mark.parametrize("amount", ["0", "-1", "much", "0.0000001"])
def test_grantcredit_refuses_what_is_no_amount(run, alice, amount):
    code, out, err = run("grantcredit", "--email", alice.email, f"--amount={amount}", "--reason", "gift")
    assert (code, out) == (1, "")
    assert err
    assert ledger.balance_of(alice).available == 1_000_000


def test_grantcredit_needs_a_reason(run, alice):
    assert run("grantcredit", "--email", alice.email, "--amount", "1")[0] == 2
    assert run("grantcredit", "--email", alice.email, "--amount", "1", "--reason", " ")[:2] == (1, "")
    assert ledger.balance_of(alice).available == 1_000_000


def test_setquota_prints_the_limits_and_leaves_what_is_not_named(run, alice):
    first = run("setquota", "--email", alice.email, "--images-per-day", "1000", "--concurrent", "none")
    shown = {"images_per_day": "1000", "images_per_month": "none", "concurrent": "none", "requests_per_minute": "30"}

    def lines(**limits):
        return "".join(f"{name}={limit}\n" for name, limit in {**shown, "storage_bytes": 2 * 1024**3, **limits}.items())

    assert first == (0, lines(), "")
    second = run("setquota", "--email", alice.email, "--images-per-day", "plan", "--requests-per-minute", "0")
    assert second == (0, lines(images_per_day=40, requests_per_minute=0), "")
    assert run("setquota", "--email", alice.email)[1] == second[1]
    third = run("setquota", "--email", alice.email, "--images-per-month", "9", "--storage-bytes", "none")
    assert third == (0, lines(images_per_day=40, requests_per_minute=0, images_per_month=9, storage_bytes="none"), "")
    assert quotas.limits_for(alice) == quotas.Limits(images_per_day=40, images_per_month=9, requests_per_minute=0)


def test_setquota_keeps_the_reason_and_the_end(run, alice):
    words = ("setquota", "--email", alice.email, "--concurrent", "9", "--reason", "fair", "--expires", "2999-01-31")
    assert run(*words)[0] == 0
    change = LimitChange.objects.get()
    assert (change.actor, change.reason, change.before) == ("setquota", "fair", {})
    assert change.after == {"concurrent": 9, "expires_at": "2999-01-31T00:00:00+00:00"}
    assert run("setquota", "--email", alice.email, "--expires", "never")[0] == 0
    assert Quota.objects.get().expires_at is None


@pytest.mark.parametrize(("moment", "code"), [("2020-01-01", 1), ("soon", 2)])
def test_setquota_refuses_an_end_that_is_none(run, alice, moment, code):
    words = ("setquota", "--email", alice.email, "--concurrent", "9", "--expires", moment)
    assert run(*words)[:2] == (code, "")
    assert not Quota.objects.exists()


@pytest.mark.parametrize(("number", "code"), [("-1", 2), ("1.5", 2), ("many", 2), ("²", 2), ("99999999999", 1)])
def test_setquota_refuses_what_is_no_limit(run, alice, number, code):
    assert run("setquota", "--email", alice.email, f"--concurrent={number}")[:2] == (code, "")
    assert quotas.limits_for(alice).concurrent == 4


# --- topup ---


def test_topup_books_a_providers_event_once(run, alice):
    words = ("topup", "--email", EMAIL, "--amount", "5", "--provider", "stripe", "--event-id", "evt_1")
    for _ in range(2):
        assert run(*words) == (0, "6.000000\n", "")
    transfer = Transfer.objects.get(code="topup")
    assert (transfer.key, transfer.amount_micros) == ("topup:stripe:evt_1", 5_000_000)


def test_topup_refuses_an_event_with_another_amount(run, alice):
    words = ("topup", "--email", EMAIL, "--provider", "stripe", "--event-id", "evt_1", "--amount")
    run(*words, "5")
    code, out, err = run(*words, "6")
    assert (code, out) == (1, "")
    assert "used before for another transfer" in err
    assert ledger.balance_of(alice).available == 6_000_000
