"""What is no amount and no limit, at every door where one is entered: refused by its field, and nothing moves."""

import json
import uuid

import pytest

from accounts import keys, ledger, quotas
from accounts.errors import InvalidInput
from accounts.models import (
    ApiKey,
    Entry,
    GroupPlan,
    LedgerAccount,
    LimitChange,
    MoneyRequest,
    Plan,
    Price,
    Quota,
    SiteLimits,
    Transfer,
)
from tests import people
from tests.accounts.money import make_price, reserve
from tests.accounts.test_admin import price_form, signed_in
from tests.accounts.test_commands import run  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

MONEY = (Transfer, Entry, LedgerAccount, MoneyRequest, Price, Plan, GroupPlan, Quota, SiteLimits, LimitChange)
FLASH = "gemini-3.1-flash-image-preview"
SHORT = {"amount": 20, "credit": 20, "cost": 20, "comparison": 20}

NO_AMOUNTS = [
    *("NaN", "-NaN", "Infinity", "-inf", "1e3", "0x10", "1_000", "1,5", "$1", "5 USD", "--1", "+-1", ".", "-", "1.2.3"),
    *("٣", "１２", "½", "²", "\N{MINUS SIGN}1", "\0", "1\n2"),
    *("0.0000001", "1.0000000", "9007199254.740992", "9" * 19, "9" * 5000, "0." + "0" * 5000),
]
NOT_POSITIVE = ["-1", "-0.000001", "0", "0.000000", "-0"]
EMPTY = ["", " ", "\t"]
NO_LIMITS = [
    *("-1", "1.5", "1.0", "NaN", "Infinity", "1e3", "0x10", "1_000", "1,000", "1 000", "+5", "--1"),
    *("٣", "２", "½", "²", "\0", "9" * 20, "9" * 5000),
]


@pytest.fixture
def world(alice, staff, run):  # noqa: F811
    return World(alice, staff, run)


class World:
    """Somebody with money, a key and a charge; an operator who may do everything; and the doors."""

    def __init__(self, alice, staff, run):  # noqa: F811
        staff.is_superuser = True
        staff.save()
        Plan.objects.update(requests_per_minute=None)
        self.alice, self.run, self.root, self.browser = alice, run, signed_in(staff), signed_in(alice)
        self.secret = people.make_key(alice, "account")
        self.key = keys.create_key(user=alice, budget_micros=5_000_000, limits={"images_per_day": 7}).api_key
        self.capture = ledger.capture(hold=reserve(alice, make_price()))
        quotas.limit_site(images_per_day=9)

    def state(self):
        rows = [list(model.objects.order_by("pk").values()) for model in MONEY]
        return [
            *rows,
            list(ApiKey.objects.order_by("pk").values_list("pk", "name", "budget_micros", *keys.KEY_MEASURES)),
        ]

    # Each door returns the names of the fields that its answer complains of.

    def api(self, method, path, body):
        answer = getattr(people.client_with(self.secret), method)(
            path, json.dumps(body), content_type="application/json"
        )
        assert answer.status_code == 400, answer.content
        assert answer["Content-Type"] == "application/problem+json"
        return {error["field"] for error in answer.json()["errors"] if error["message"]}

    def page(self, client, path, form, status, context="form"):
        answer = client.post(path, form)
        assert answer.status_code == status, answer.content
        shown = answer.context[context]
        return set(getattr(shown, "form", shown).errors)

    def command(self, *words):
        code, out, err = self.run(*(word.replace("\0", "\\0") for word in words))  # no command line carries a NUL
        assert (code in (1, 2), out) == (True, ""), out
        return {word.lstrip("-").rstrip(":") for word in err.split() if word.startswith("--") and word.endswith(":")}

    def post_key(self, **fields):
        return self.api("post", "/api/v1/api-keys", {"name": "new", "scopes": ["account"], **fields})

    def patch_key(self, **fields):
        return self.api("patch", f"/api/v1/api-keys/{self.key.public_id}", fields)

    def keys_page(self, **fields):
        form = {"name": "new", "scopes": ["read"], "lifetime": "never", "budget_period": "total", **fields}
        return self.page(self.browser, "/account/keys/", form, 400)

    def key_page(self, **fields):
        form = {"name": "old", "budget_period": "total", **fields}
        return self.page(self.browser, f"/account/keys/{self.key.public_id}/", form, 400)

    def money_page(self, path, amount):
        form = {"amount": amount, "reason": "because", "token": str(uuid.uuid4())}
        return self.page(self.root, f"/admin/accounts/{path}/", form, 200)

    def plan_page(self, **fields):
        form = {"name": "free", "rank": 10, "requests_per_minute": 30, **fields}
        return self.page(self.root, f"/admin/accounts/plan/{self.alice.plan_id}/change/", form, 200, "adminform")

    def site_page(self, **fields):
        form = {"reason": "because", **fields}
        return self.page(self.root, "/admin/accounts/sitelimits/1/change/", form, 200, "adminform")

    def price_page(self, **fields):
        return self.page(self.root, "/admin/accounts/price/add/", price_form(**fields), 200, "adminform")

    def quota_page(self, **fields):
        form = {"plan": self.alice.plan_id, "is_active": "on", "quota-TOTAL_FORMS": 1, "quota-INITIAL_FORMS": 0}
        form |= {"quota-0-user": self.alice.pk, "quota-0-reason": "because"}
        form |= {f"quota-0-{name}": value for name, value in fields.items()}
        answer = self.root.post(f"/admin/accounts/user/{self.alice.pk}/change/", form)
        assert answer.status_code == 200, answer.content
        formsets = [inline.formset for inline in answer.context["inline_admin_formsets"]]
        return {name for formset in formsets for form in formset for name in form.errors}


AMOUNT_DOORS = {
    "REST, new key": ("budget", lambda world, text: world.post_key(budget=text)),
    "REST, change of a key": ("budget", lambda world, text: world.patch_key(budget=text)),
    "page of keys": ("budget", lambda world, text: world.keys_page(budget=text)),
    "page of a key": ("budget", lambda world, text: world.key_page(budget=text)),
    "grantcredit": (
        "amount",
        lambda world, text: world.command(
            "grantcredit", "--email", world.alice.email, "--reason", "gift", f"--amount={text}"
        ),
    ),
    "topup": (
        "amount",
        lambda world, text: world.command(
            "topup", "--email", world.alice.email, "--provider", "stripe", "--event-id", "e", f"--amount={text}"
        ),
    ),
    "createaccount": (
        "credit",
        lambda world, text: world.command(
            "createaccount", "--email", "new@example.com", "--password", people.PASSWORD, f"--credit={text}"
        ),
    ),
    "createapikey": (
        "budget-usd",
        lambda world, text: world.command("createapikey", "--email", world.alice.email, f"--budget-usd={text}"),
    ),
    "admin, grant": ("amount", lambda world, text: world.money_page(f"user/{world.alice.pk}/grant", text)),
    "admin, adjustment": ("amount", lambda world, text: world.money_page(f"user/{world.alice.pk}/adjust", text)),
    "admin, refund": ("amount", lambda world, text: world.money_page(f"transfer/{world.capture.pk}/refund", text)),
    "admin, credit of a plan": ("credit", lambda world, text: world.plan_page(credit=text)),
    "admin, price": ("amount", lambda world, text: world.price_page(amount=text)),
    "admin, cost of a price": ("cost", lambda world, text: world.price_page(cost=text)),
    "admin, list price": ("comparison", lambda world, text: world.price_page(comparison=text)),
}
# Where nothing, or less than nothing, is an amount too.
MAY_BE_ZERO = {"createaccount", "admin, credit of a plan", "admin, cost of a price", "admin, list price"}
MAY_BE_EMPTY = {"page of keys", "page of a key", "admin, credit of a plan", "admin, list price"}
LIMIT_DOORS = {
    "page of keys": lambda world, text: world.keys_page(images_per_day=text),
    "page of a key": lambda world, text: world.key_page(images_per_day=text),
    "setquota": lambda world, text: world.command("setquota", "--email", world.alice.email, f"--images-per-day={text}"),
    "createapikey": lambda world, text: world.command(
        "createapikey", "--email", world.alice.email, f"--images-per-day={text}"
    ),
    "admin, plan": lambda world, text: world.plan_page(images_per_day=text),
    "admin, exception": lambda world, text: world.quota_page(images_per_day=text),
    "admin, site": lambda world, text: world.site_page(images_per_day=text),
}
AT_LEAST_ONE = {"page of keys", "page of a key", "createapikey"}


@pytest.mark.parametrize("door", AMOUNT_DOORS)
def test_what_is_no_amount_is_refused_by_its_field_and_nothing_moves(door, world):
    field, enter = AMOUNT_DOORS[door]
    texts = [*NO_AMOUNTS]
    texts += [] if door in MAY_BE_EMPTY else EMPTY
    texts += [text for text in NOT_POSITIVE if not (door in MAY_BE_ZERO and text.strip("-0.") == "")]
    if door == "admin, adjustment":  # which may take away
        texts = [text for text in texts if text not in ("-1", "-0.000001")]
    before = world.state()
    wrong = {text[:20]: named for text in texts if (named := enter(world, text)) != {field}}
    assert wrong == {}
    assert world.state() == before


@pytest.mark.parametrize("door", LIMIT_DOORS)
def test_what_is_no_limit_is_refused_by_its_field_and_nothing_changes(door, world):
    texts = [*NO_LIMITS, str(2**31)] + (["0", str(2**31 - 1)] if door in AT_LEAST_ONE else [])
    before = world.state()
    names = ({"images_per_day"}, {"images-per-day"})
    wrong = {text[:20]: named for text in texts if (named := LIMIT_DOORS[door](world, text)) not in names}
    assert wrong == {}
    assert world.state() == before


@pytest.mark.parametrize("value", [-1, 0, 1.5, 1.0, "5", "", True, [1], {}, 2**31 - 1, 2**31, 10**30])
@pytest.mark.parametrize("verb", ["post_key", "patch_key"])
def test_a_limit_of_a_key_in_json_is_a_whole_number_and_nothing_else(verb, value, world):
    before = world.state()
    for name in keys.KEY_MEASURES:
        assert getattr(world, verb)(**{name: value}) == {name}
    assert world.state() == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_json_that_is_none_is_refused_whole(number, world):
    before = world.state()
    for path, method in (("/api/v1/api-keys", "post"), (f"/api/v1/api-keys/{world.key.public_id}", "patch")):
        answer = getattr(people.client_with(world.secret), method)(
            path, f'{{"images_per_day": {number}}}', content_type="application/json"
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert world.state() == before


@pytest.mark.parametrize("amount", [0, -1, 0.5, 1.0, float("nan"), float("inf"), "5", True, 2**53])
def test_a_budget_is_whole_micros_for_the_service_too(amount, alice):
    key = keys.create_key(user=alice, budget_micros=5).api_key
    for attempt in (
        lambda: keys.create_key(user=alice, budget_micros=amount),
        lambda: keys.update_key(user=alice, key_id=key.public_id, budget_micros=amount),
    ):
        with pytest.raises(InvalidInput) as refusal:
            attempt()
        assert [error.field for error in refusal.value.errors] == ["budget"]
    assert ApiKey.objects.get().budget_micros == 5
