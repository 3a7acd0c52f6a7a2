"""The operators' pages: who enters, what can be done there, and that money and history cannot be edited."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts import keys, ledger, quotas
from accounts.errors import PriceUnknown
from accounts.models import ApiKey, Entry, LimitChange, Plan, Price, Quota, SiteLimits, Transfer, User
from tests import people

pytestmark = pytest.mark.django_db

CHANGELISTS = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for model in admin.site._registry
    if model._meta.app_label in ("accounts", "gallery", "generations", "admin", "auth")
]


def signed_in(user):
    """Somebody who has typed the password again just now, as granting asks for."""
    client = Client()
    client.force_login(user)
    session = client.session
    record = {"method": "password", "at": time.time(), "reauthenticated": True}
    session.update({"account_authentication_methods": [record], "account_authentication_methods_user": str(user.pk)})
    session.save()
    return client


@pytest.fixture
def root(db):
    user = people.make_person("root", is_staff=True)
    user.is_superuser = True
    user.save()
    return signed_in(user)


@pytest.fixture
def operator(staff):
    return signed_in(staff)


def words(response):
    return " ".join(response.content.decode().split())


# --- Who enters ---


@pytest.mark.parametrize("address", ["/admin/", *CHANGELISTS])
def test_who_is_not_signed_in_is_sent_to_the_one_sign_in_page(address, client):
    response = client.get(address, follow=True)
    assert response.redirect_chain[-1] == (f"/accounts/login/?next={address}", 302)


@pytest.mark.parametrize("address", ["/admin/", *CHANGELISTS])
def test_it_is_not_for_everybody(address, alice):
    response = signed_in(alice).get(address, follow=True)
    assert response.status_code == 403
    assert "not open to your account" in words(response)


def test_it_has_no_password_form_of_its_own(client, operator):
    assert client.post("/admin/login/", {"username": "a", "password": "b"}).url.startswith("/accounts/login/")
    assert operator.get("/admin/password_change/").url == "/accounts/password/change/"
    assert operator.post("/admin/logout/").url == "/accounts/logout/"


def test_in_production_an_operator_without_a_second_factor_is_sent_to_set_one_up(staff, operator, settings):
    settings.ENVIRONMENT = "production"
    response = operator.get("/admin/accounts/user/")
    assert operator.get(response.url).url == "/accounts/2fa/totp/activate/"
    Authenticator.objects.create(user=staff, type=Authenticator.Type.TOTP, data={})
    assert operator.get("/admin/accounts/user/").status_code == 200


def test_signing_in_leads_on_only_within_this_site(operator):
    assert operator.get("/admin/login/?next=/admin/accounts/user/").url == "/admin/accounts/user/"
    assert operator.get("/admin/login/?next=https://evil.example/").url == "/admin/"


@pytest.mark.parametrize("address", ["/admin/", *(path for path in CHANGELISTS if "/auth/" not in path)])
def test_an_operator_sees_every_list(address, operator):
    response = operator.get(address)
    assert response.status_code == 200
    assert "Plantain admin" in words(response)


def test_an_operator_does_not_see_the_groups(operator, root):
    assert operator.get("/admin/auth/group/").status_code == 403
    assert root.get("/admin/auth/group/").status_code == 200


def test_models_of_libraries_are_not_here():
    labels = {model._meta.app_label for model in admin.site._registry}
    assert labels == {"accounts", "gallery", "generations", "admin", "auth"}


@pytest.mark.parametrize(("is_emulated", "found"), [(True, 1), (False, 0)])
def test_the_notice_is_here_too(is_emulated, found, operator, settings):
    settings.EMULATOR = is_emulated
    assert words(operator.get("/admin/")).count("The emulator paints.") == found


# --- The group of operators ---


def test_a_staff_account_is_an_operator(staff, alice):
    assert [group.name for group in staff.groups.all()] == ["Operators"]
    assert not alice.groups.exists()
    assert staff.has_perms(["accounts.view_user", "accounts.add_transfer", "generations.view_generation"])
    assert not staff.has_perm("accounts.add_price")
    assert not staff.has_perm("accounts.change_plan")
    assert not staff.has_perm("auth.change_group")


def test_createsuperuser_makes_somebody_who_may_do_everything_here(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", people.PASSWORD)
    call_command("createsuperuser", interactive=False, email="Boss@example.com", verbosity=0)
    boss = User.objects.get(email="boss@example.com")
    assert (boss.plan.name, boss.is_staff, boss.check_password(people.PASSWORD)) == ("free", True, True)
    client = signed_in(boss)
    assert client.get("/admin/accounts/price/add/").status_code == 200
    assert client.post(f"/admin/accounts/user/{boss.pk}/grant/", grant_form()).status_code == 302
    assert ledger.balance_of(boss).available == 5_000_000


def test_what_a_superuser_made_of_the_group_stays(staff):
    Group.objects.get(name="Operators").permissions.clear()
    assert not people.make_person("second", is_staff=True).get_all_permissions()


# --- People ---


def test_the_list_shows_plan_and_balance(alice, operator):
    ledger.grant(user=alice, amount_micros=1_234_000, reason="more", key="more")
    page = words(operator.get("/admin/accounts/user/?q=alice@example.com"))
    assert '<td class="field-available">$2.234</td><td class="field-held">$0.00</td>' in page
    assert "free" in page


def test_a_list_costs_the_same_queries_however_long_it_is(root, alice, alice_key, django_assert_num_queries):
    for address in CHANGELISTS:
        with django_assert_num_queries(20, exact=False) as first:
            assert root.get(address).status_code == 200
        _more_of_everything()
        with django_assert_num_queries(len(first.captured_queries)):
            root.get(address)


def _more_of_everything():
    for _ in range(4):
        user = people.make_person(f"more-{uuid.uuid4().hex[:8]}")
        people.make_key(user)
        Plan.objects.create(name=uuid.uuid4().hex)
        Group.objects.create(name=uuid.uuid4().hex)


def test_an_account_can_be_looked_at(alice, operator):
    page = words(operator.get(f"/admin/accounts/user/{alice.pk}/change/"))
    assert str(alice.public_id) in page
    assert 'name="password"' not in page
    assert "argon2" not in page
    assert alice.password not in page


def quota_form(user, **fields):
    return {
        "plan": user.plan_id,
        "is_active": "on",
        "quota-TOTAL_FORMS": 1,
        "quota-INITIAL_FORMS": Quota.objects.filter(user=user).count(),
        "quota-MIN_NUM_FORMS": 0,
        "quota-MAX_NUM_FORMS": 1,
        "quota-0-id": getattr(Quota.objects.filter(user=user).first(), "pk", ""),
        "quota-0-user": user.pk,
        "quota-0-reason": "asked nicely",
        **fields,
    }


def test_an_operator_gives_somebody_limits_of_their_own(alice, operator, staff, root):
    address = f"/admin/accounts/user/{alice.pk}/change/"
    assert operator.post(address, quota_form(alice, **{"quota-0-images_per_day": 7})).status_code == 302
    assert quotas.limits_for(alice).images_per_day == 7
    assert quotas.limits_for(alice).concurrent == 4
    operator.post(address, quota_form(alice, **{"quota-0-images_per_day": 9, "quota-0-concurrent": 2}))
    assert (quotas.limits_for(alice).images_per_day, quotas.limits_for(alice).concurrent) == (9, 2)
    change = LimitChange.objects.latest("pk")
    assert (change.subject, change.actor) == (f"user:{alice.public_id}", str(staff.public_id))
    assert (change.reason, change.before) == ("asked nicely", {"images_per_day": 7})
    assert "asked nicely" in words(root.get("/admin/accounts/limitchange/"))
    assert LogEntry.objects.filter(object_id=str(alice.pk)).count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", ""),
        ("expires_at", "2020-01-01T00:00"),
        ("expires_at", "soon"),
        ("images_per_day", "-1"),
        ("concurrent", "1.5"),
        ("images_per_month", "99999999999"),
        ("storage_bytes", str(2**60)),
    ],
)
def test_limits_that_are_none_are_told_beside_their_field(alice, operator, field, value):
    wish = quota_form(alice, **{"quota-0-requests_per_minute": 9, f"quota-0-{field}": value})
    page = operator.post(f"/admin/accounts/user/{alice.pk}/change/", wish)
    assert page.status_code == 200
    assert field in page.context["inline_admin_formsets"][0].formset.errors[0]
    assert not Quota.objects.exists()
    assert not LimitChange.objects.exists()


def test_limits_with_an_end_are_written(alice, operator):
    wish = quota_form(alice, **{"quota-0-concurrent": 9, "quota-0-expires_at": "2999-01-31T12:00"})
    assert operator.post(f"/admin/accounts/user/{alice.pk}/change/", wish).status_code == 302
    assert Quota.objects.get().expires_at == datetime(2999, 1, 31, 12, tzinfo=UTC)


def test_an_exception_that_has_ended_does_not_keep_the_rest_of_the_page_from_being_saved(alice, operator):
    Quota.objects.create(user=alice, images_per_day=7, expires_at=timezone.now() - timedelta(days=1))
    address = f"/admin/accounts/user/{alice.pk}/change/"
    shown = operator.get(address).context["inline_admin_formsets"][0].formset.forms[0]
    same = {"quota-0-images_per_day": 7, "quota-0-reason": "", "quota-0-expires_at": shown["expires_at"].value()}
    standard = Plan.objects.get(name="standard")
    assert operator.post(address, quota_form(alice, plan=standard.pk, **same)).status_code == 302
    alice.refresh_from_db()
    assert (alice.plan, LimitChange.objects.count()) == (standard, 0)
    page = operator.post(address, quota_form(alice, **same | {"quota-0-images_per_day": 8}))
    assert set(page.context["inline_admin_formsets"][0].formset.errors[0]) == {"reason", "expires_at"}
    assert Quota.objects.get().images_per_day == 7


def test_an_operator_cannot_make_staff_nor_change_colleagues(alice, staff, operator):
    wish = {"is_staff": "on", "is_superuser": "on", "groups": Group.objects.get().pk, "email": "new@example.com"}
    operator.post(f"/admin/accounts/user/{alice.pk}/change/", quota_form(alice, **wish))
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser, alice.email) == (False, False, "alice@example.com")
    assert not alice.groups.exists()
    other = people.make_person("other", is_staff=True)
    for colleague in (other, staff):
        address = f"/admin/accounts/user/{colleague.pk}/change/"
        assert operator.post(address, {**quota_form(colleague), "is_active": ""}).status_code == 403
        colleague.refresh_from_db()
        assert colleague.is_active


def test_a_superuser_makes_staff(alice, root):
    assert root.post(f"/admin/accounts/user/{alice.pk}/change/", quota_form(alice, is_staff="on")).status_code == 302
    alice.refresh_from_db()
    assert alice.is_staff


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nobody_adds_or_deletes_an_account_here(path, alice, root):
    assert root.post(f"/admin/accounts/user/{path.format(pk=alice.pk)}", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


# --- Credit ---


def grant_form(amount="5.00", reason="for a broken picture", token=None):
    return {"amount": amount, "reason": reason, "token": token or uuid.uuid4()}


def test_credit_is_granted_with_a_reason_and_noted(alice, staff, operator):
    address = f"/admin/accounts/user/{alice.pk}/grant/"
    assert f"Grant credit to {alice.email}" in words(operator.get(address))
    before = ledger.balance_of(alice).available
    response = operator.post(address, grant_form())
    assert response.url == f"/admin/accounts/user/{alice.pk}/change/"
    assert ledger.balance_of(alice).available == before + 5_000_000
    transfer = Transfer.objects.get(key__startswith="admin:")
    assert (transfer.code, transfer.reason, transfer.actor) == ("grant", "for a broken picture", str(staff.public_id))
    note = LogEntry.objects.get()
    assert (note.user, note.object_id) == (staff, str(alice.pk))
    assert note.get_change_message() == "Granted $5.00: for a broken picture"


def test_a_double_click_grants_once(alice, operator):
    form = grant_form()
    before = ledger.balance_of(alice).available
    for _ in range(2):
        assert operator.post(f"/admin/accounts/user/{alice.pk}/grant/", form).status_code == 302
    assert ledger.balance_of(alice).available == before + 5_000_000
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (grant_form(amount="0"), "The amount must be from 1"),
        (grant_form(amount="-5"), "must not be negative"),
        (grant_form(amount="1.0000001"), "at most six decimal places"),
        (grant_form(amount="a lot"), "Enter an amount in USD"),
        (grant_form(amount="99999999999999999"), "The largest amount"),
        (grant_form(reason=""), "This field is required"),
        (grant_form(reason="x" * 201), "at most 200"),
        (grant_form(token="no token"), ""),
    ],
)
def test_a_refused_grant_moves_nothing(form, why, alice, operator):
    before = ledger.balance_of(alice)
    response = operator.post(f"/admin/accounts/user/{alice.pk}/grant/", form)
    assert response.status_code == 200
    assert why in words(response)
    assert ledger.balance_of(alice) == before
    assert LogEntry.objects.count() == 0


def test_one_token_is_one_amount(alice, operator):
    token = uuid.uuid4()
    operator.post(f"/admin/accounts/user/{alice.pk}/grant/", grant_form(token=token))
    before = ledger.balance_of(alice)
    response = operator.post(f"/admin/accounts/user/{alice.pk}/grant/", grant_form(amount="6", token=token))
    assert "This key was used before for another transfer." in words(response)
    assert ledger.balance_of(alice) == before


def test_granting_needs_its_permission_and_a_fresh_sign_in(alice, staff, operator):
    address = f"/admin/accounts/user/{alice.pk}/grant/"
    before = ledger.balance_of(alice)
    stale = Client()
    stale.force_login(staff)
    assert stale.post(address, grant_form()).url.startswith("/accounts/reauthenticate/")
    staff.groups.clear()
    assert operator.post(address, grant_form()).status_code == 403
    assert signed_in(alice).post(address, grant_form()).status_code == 302
    assert ledger.balance_of(alice) == before


def test_from_the_list_credit_goes_to_one_person(alice, bob, operator):
    chosen = {"action": "grant_to_selected", "_selected_action": [alice.pk]}
    assert operator.post("/admin/accounts/user/", chosen).url == f"/admin/accounts/user/{alice.pk}/grant/"
    chosen["_selected_action"] = [alice.pk, bob.pk]
    assert "one person at a time" in words(operator.post("/admin/accounts/user/", chosen, follow=True))


# --- Keys ---


def test_an_operator_ends_a_key_at_once(alice_key, operator):
    key = ApiKey.objects.get()
    assert people.client_with(alice_key).get("/api/v1/account").status_code == 200
    operator.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    assert people.client_with(alice_key).get("/api/v1/account").status_code == 401
    assert LogEntry.objects.get().get_change_message() == "Revoked"


def test_neither_a_keys_text_nor_its_hash_is_shown(alice_key, operator):
    key = ApiKey.objects.get()
    for address in ("/admin/accounts/apikey/", f"/admin/accounts/apikey/{key.pk}/change/"):
        page = words(operator.get(address))
        assert alice_key not in page
        assert key.secret_hash not in page
        assert key.last_four in page


def test_revoking_needs_its_permission(alice_key, staff, operator):
    staff.groups.get().permissions.remove(*staff.groups.get().permissions.filter(codename="change_apikey"))
    operator.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [ApiKey.objects.get().pk]})
    assert keys.authenticate(alice_key).revoked_at is None


# --- Prices and plans ---

FLASH = "gemini-3.1-flash-image-preview"


def price_form(**fields):
    form = {"sold": f"{FLASH} 1K image", "amount": "0.07", "cost": "0.03", **fields}
    starts = form.pop("valid_from", None)
    return form | ({"valid_from": f"{starts:%Y-%m-%dT%H:%M}"} if starts else {})


def test_a_superuser_sets_a_price_from_now_on(root):
    form = price_form()
    assert root.post("/admin/accounts/price/add/", form).status_code == 302
    price = ledger.current_price(model=FLASH, size="1K")
    assert (price.amount_micros, price.cost_micros, price.comparison_micros) == (70_000, 30_000, None)


def test_a_price_may_begin_later(root):
    before = ledger.current_price(model=FLASH, size="1K")
    starts = timezone.now() + timedelta(days=3)
    form = price_form(amount="0.09", comparison="0.10", valid_from=starts)
    assert root.post("/admin/accounts/price/add/", form).status_code == 302
    assert ledger.current_price(model=FLASH, size="1K") == before
    later = ledger.current_price(model=FLASH, size="1K", at=starts + timedelta(days=1))
    assert (later.amount_micros, later.comparison_micros) == (90_000, 100_000)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"amount": "0"}, "A price is more than nothing."),
        ({"amount": "free"}, "Enter an amount in USD"),
        ({"cost": "-1"}, "must not be negative"),
        ({"sold": "nano-apple 1K image"}, "Select a valid choice"),
        ({"sold": f"{FLASH} 9K image"}, "Select a valid choice"),
        ({"sold": ""}, "This field is required"),
        ({"valid_from": timezone.now() - timedelta(days=1)}, "choose a time to come"),
    ],
)
def test_a_bad_price_is_refused(fields, why, root):
    count = Price.objects.count()
    response = root.post("/admin/accounts/price/add/", price_form(**fields))
    assert response.status_code == 200
    assert why in words(response)
    assert Price.objects.count() == count


def test_a_second_price_from_the_same_moment_on_is_refused_by_its_field(root):
    form = price_form(valid_from=timezone.now() + timedelta(days=3))
    assert root.post("/admin/accounts/price/add/", form).status_code == 302
    count = Price.objects.count()
    page = root.post("/admin/accounts/price/add/", {**form, "amount": "0.09"})
    assert page.status_code == 200
    assert set(page.context["adminform"].form.errors) == {"valid_from"}
    assert Price.objects.count() == count


def test_a_price_is_neither_changed_nor_deleted(root):
    price = Price.objects.first()
    for path in ("change", "delete"):
        address = f"/admin/accounts/price/{price.pk}/{path}/"
        assert root.post(address, {"post": "yes", **price_form()}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [price.pk], "post": "yes"}
    root.post("/admin/accounts/price/", chosen)
    assert Price.objects.filter(pk=price.pk, amount_micros=price.amount_micros).exists()


def test_a_short_video_has_a_price_of_its_own(root):
    still = ledger.current_price(model=FLASH, size="1K")
    root.post("/admin/accounts/price/add/", price_form(sold=f"{FLASH} 720p video", amount="0.50"))
    assert ledger.current_price(model=FLASH, size="720p", unit="video").amount_micros == 500_000
    assert ledger.current_price(model=FLASH, size="1K") == still


def withdraw(client, *prices):
    form = {"action": "withdraw", "_selected_action": [price.pk for price in prices]}
    return client.post("/admin/accounts/price/", form)


def test_what_is_withdrawn_is_not_sold_until_a_later_price(root):
    price = ledger.current_price(model=FLASH, size="1K")
    withdraw(root, price)
    with pytest.raises(PriceUnknown):
        ledger.current_price(model=FLASH, size="1K")
    assert ledger.current_price(model=FLASH, size="2K")
    row = Price.objects.get(is_offered=False)
    assert (row.model, row.size, row.amount_micros, row.cost_micros) == (FLASH, "1K", 58_000, 58_000)
    log = LogEntry.objects.get(object_id=str(row.pk))
    assert "Withdrew gemini-3.1-flash-image-preview at 1K (image) from sale" in log.get_change_message()
    root.post("/admin/accounts/price/add/", price_form(amount="0.09"))
    assert ledger.current_price(model=FLASH, size="1K").amount_micros == 90_000


def test_withdrawing_twice_writes_one_row(root):
    price = ledger.current_price(model=FLASH, size="1K")
    withdraw(root, price, price)
    withdraw(root, price)
    assert Price.objects.filter(is_offered=False).count() == 1


def test_operators_withdraw_nothing(operator):
    withdraw(operator, Price.objects.first())
    assert not Price.objects.filter(is_offered=False).exists()


def test_operators_set_neither_prices_nor_plans(operator):
    plan = Plan.objects.get(name="free")
    assert operator.post("/admin/accounts/price/add/", price_form()).status_code == 403
    assert operator.post(f"/admin/accounts/plan/{plan.pk}/change/", {"name": "free"}).status_code == 403


def plan_form(**fields):
    return {"name": "free", "rank": 10, "requests_per_minute": 30, **fields}


def test_a_superuser_changes_a_plan(root, alice):
    form = plan_form(images_per_day=11, concurrent="", credit="2.50")
    root.post(f"/admin/accounts/plan/{alice.plan_id}/change/", form)
    assert (quotas.limits_for(alice).images_per_day, quotas.limits_for(alice).concurrent) == (11, None)
    assert Plan.objects.get(name="free").monthly_credit_micros == 2_500_000
    assert "$2.50" in words(root.get("/admin/accounts/plan/"))
    root.post(f"/admin/accounts/plan/{alice.plan_id}/change/", plan_form(credit=""))
    assert Plan.objects.get(name="free").monthly_credit_micros is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("credit", "-1"),
        ("credit", "0.0000001"),
        ("credit", "NaN"),
        ("credit", "1e9"),
        ("images_per_day", "-1"),
        ("storage_bytes", str(2**60)),
        ("rank", "-1"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(root, alice, field, value):
    page = root.post(f"/admin/accounts/plan/{alice.plan_id}/change/", plan_form(**{field: value}))
    assert page.status_code == 200
    assert field in page.context["adminform"].form.errors
    assert quotas.limits_for(alice).images_per_day == 40


def test_a_plan_in_use_is_not_deleted_and_says_by_whom(root, alice, bob):
    plan = Plan.objects.get(name="free")
    address = f"/admin/accounts/plan/{plan.pk}/delete/"
    chosen = {"action": "delete_selected", "_selected_action": [plan.pk], "post": "yes"}
    for page in (root.post(address, {"post": "yes"}), root.post("/admin/accounts/plan/", chosen)):
        assert page.status_code == 200
        assert "The free plan is that of 3 accounts: give them another one first." in words(page)
    assert Plan.objects.filter(pk=plan.pk).exists()
    unused = Plan.objects.create(name="unused")
    assert root.post(f"/admin/accounts/plan/{unused.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Plan.objects.filter(pk=unused.pk).exists()


def test_a_plan_that_somebody_gets_at_the_last_moment_is_not_deleted(root, alice, monkeypatch):
    plan = Plan.objects.get(name="free")
    monkeypatch.setattr("accounts.admin_limits._in_use", lambda plan: "")
    monkeypatch.setattr("accounts.admin_limits.PlanAdmin.get_deleted_objects", lambda *_: ([], {}, set(), []))
    page = root.post(f"/admin/accounts/plan/{plan.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Nothing was deleted" in words(page)
    chosen = {"action": "delete_selected", "_selected_action": [plan.pk], "post": "yes"}
    assert "Nothing was deleted" in words(root.post("/admin/accounts/plan/", chosen, follow=True))
    assert Plan.objects.filter(pk=plan.pk).exists()


def test_a_group_carries_a_plan(root, alice):
    group = Group.objects.create(name="class of 2026")
    standard = Plan.objects.get(name="standard")
    form = {
        "name": group.name,
        "group_plan-TOTAL_FORMS": 1,
        "group_plan-INITIAL_FORMS": 0,
        "group_plan-0-group": group.pk,
        "group_plan-0-plan": standard.pk,
    }
    assert root.post(f"/admin/auth/group/{group.pk}/change/", form).status_code == 302
    alice.groups.add(group)
    assert quotas.limits_for(alice).images_per_day == 500
    page = root.post(f"/admin/accounts/plan/{standard.pk}/delete/", {"post": "yes"})
    assert "The standard plan is that of 1 group: give them another one first." in words(page)


def test_a_superuser_limits_the_whole_site(root, operator):
    address = "/admin/accounts/sitelimits/1/change/"
    assert operator.post(address, {"images_per_day": 9, "reason": "budget"}).status_code == 403
    assert root.post(address, {"images_per_day": 9, "reason": ""}).status_code == 200
    assert not LimitChange.objects.exists()
    assert root.post(address, {"images_per_day": 9, "reason": "budget"}).status_code == 302
    assert SiteLimits.objects.get().images_per_day == 9
    assert LimitChange.objects.get().reason == "budget"
    for path in ("add/", "1/delete/"):
        assert root.post(f"/admin/accounts/sitelimits/{path}", {"post": "yes"}).status_code == 403


# --- The ledger and the log ---


@pytest.mark.parametrize("model", ["ledgeraccount", "transfer", "entry"])
def test_the_ledger_is_to_be_read_only(model, alice, root):
    row = {"ledgeraccount": alice.wallet, "transfer": Transfer.objects.first(), "entry": Entry.objects.first()}[model]
    base = f"/admin/accounts/{model}/"
    assert root.get(f"{base}{row.pk}/change/").status_code == 200
    assert root.get(f"{base}add/").status_code == 403
    for path in ("change", "delete"):
        assert root.post(f"{base}{row.pk}/{path}/", {"post": "yes"}).status_code == 403
    root.post(base, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert type(row).objects.filter(pk=row.pk).exists()


def test_money_is_shown_in_usd(alice, operator):
    transfer = Transfer.objects.get(credit=alice.wallet)
    assert "$1.000" in words(operator.get(f"/admin/accounts/transfer/{transfer.pk}/change/"))
    assert "$1.00" in words(operator.get(f"/admin/accounts/ledgeraccount/{alice.wallet.pk}/change/"))
    assert "1000000" not in words(operator.get("/admin/accounts/entry/"))


def test_the_statement_of_one_person_is_linked(alice, bob, operator):
    ledger.grant(user=bob, amount_micros=7_000_000, reason="for bob only", key="bob")
    page = words(operator.get(f"/admin/accounts/user/{alice.pk}/change/"))
    link = f"/admin/accounts/entry/?account__id__exact={alice.wallet.pk}"
    assert link in page
    statement = words(operator.get(link))
    assert "sign-up credit" in statement
    assert "for bob only" not in statement


def test_nobody_edits_the_log(alice, root):
    root.post(f"/admin/accounts/user/{alice.pk}/grant/", grant_form())
    note = LogEntry.objects.get()
    assert root.get(f"/admin/admin/logentry/{note.pk}/change/").status_code == 200
    for path in ("change", "delete"):
        assert root.post(f"/admin/admin/logentry/{note.pk}/{path}/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_names_are_text(text, operator):
    people.make_person("mallory", name=text)
    page = operator.get("/admin/accounts/user/").content.decode()
    assert text not in page
    assert "&lt;" in page
