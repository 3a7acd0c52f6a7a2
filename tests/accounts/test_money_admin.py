"""The operators' pages that move money, the list of what waits for a second person, and that no row can be edited."""

import uuid

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission

from accounts import approvals, keys, ledger
from accounts.audit import audit_ledger
from accounts.models import Entry, KeyBudget, LedgerAccount, MoneyDecision, MoneyRequest, Price, Transfer
from tests import people
from tests.accounts.money import IMAGE, columns, make_price, reserve
from tests.accounts.test_admin import grant_form, signed_in, words

pytestmark = pytest.mark.django_db

LEDGER = (LedgerAccount, Transfer, Entry, KeyBudget, MoneyRequest, MoneyDecision, Price)


@pytest.fixture
def operator(staff):
    return signed_in(staff)


@pytest.fixture
def colleague(db):
    return people.make_person("colleague", is_staff=True)


@pytest.fixture
def capture(alice):
    key = keys.create_key(user=alice, budget_micros=IMAGE).api_key
    return ledger.capture(hold=reserve(alice, make_price(), api_key=key))


@pytest.fixture
def waiting(alice, staff):
    return approvals.grant(user=alice, amount_micros=60_000_000, actor=staff, reason="prize", token=uuid.uuid4())


# --- Nothing is edited ---


def rows_of(model):
    return list(model.objects.order_by("pk").values())


@pytest.mark.parametrize("model", [model for model in LEDGER if admin.site.is_registered(model)])
def test_no_row_of_the_ledger_is_added_edited_or_deleted_here(model, capture, waiting, colleague):
    approvals.decide(request=waiting, actor=colleague, is_approved=True, reason="yes")
    colleague.is_superuser = True
    colleague.save()
    root, base, before = signed_in(colleague), f"/admin/accounts/{model._meta.model_name}/", rows_of(model)
    row = model.objects.first()
    assert root.get(f"{base}?state=approved" if model is MoneyRequest else base).status_code == 200
    assert root.get(f"{base}{row.pk}/change/").status_code == 200
    body = {"post": "yes", "amount_micros": 1, "reason": "edited", "held_micros": 0, "credits_posted": 9}
    for path in (f"{row.pk}/change/", f"{row.pk}/delete/"):
        assert root.post(base + path, body).status_code == 403
    if model is not Price:  # of which new rows are added
        assert root.post(f"{base}add/", body).status_code == 403
    root.post(base, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert rows_of(model) == before


def test_every_table_of_money_is_among_them():
    guarded = {"Transfer", "Entry", "Price", "MoneyRequest", "MoneyDecision", "LedgerAccount", "KeyBudget"}
    assert {model.__name__ for model in LEDGER} == guarded
    assert not admin.site.is_registered(MoneyDecision)  # it is shown with its request


# --- Refunds ---


def test_a_capture_is_refunded_in_parts_from_its_page(capture, alice, staff, operator):
    address = f"/admin/accounts/transfer/{capture.pk}/"
    assert "refund/" in words(operator.get(f"{address}change/"))
    form = words(operator.get(f"{address}refund/"))
    assert "alice@example.com paid $0.058, of which $0.000 is refunded." in form
    assert 'value="0.058000"' in form
    for amount in ("0.008", "0.05"):
        assert operator.post(f"{address}refund/", grant_form(amount)).url == f"{address}change/"
    assert (ledger.balance_of(alice).spent, KeyBudget.objects.get().spent_micros) == (0, 0)
    refunds = Transfer.objects.filter(refunds=capture)
    assert {(row.actor, row.reason) for row in refunds} == {(str(staff.public_id), "for a broken picture")}
    assert LogEntry.objects.filter(object_id=str(capture.pk)).count() == 2
    assert audit_ledger() == []


def test_more_than_is_left_of_a_capture_is_refused(capture, alice, operator):
    before = columns(alice)
    answer = operator.post(f"/admin/accounts/transfer/{capture.pk}/refund/", grant_form("0.058001"))
    assert "0.000000 USD is refunded already" in words(answer)
    assert (columns(alice), LogEntry.objects.count()) == (before, 0)


def test_only_a_capture_has_the_page(capture, operator):
    hold = capture.hold
    assert "refund/" not in words(operator.get(f"/admin/accounts/transfer/{hold.pk}/change/"))
    assert operator.get(f"/admin/accounts/transfer/{hold.pk}/refund/").status_code == 404


# --- Adjustments ---


def test_a_balance_is_adjusted_in_either_direction_and_nothing_is_spent_by_it(alice, operator):
    address = f"/admin/accounts/user/{alice.pk}/adjust/"
    assert "Adjust the balance of alice@example.com" in words(operator.get(address))
    operator.post(address, grant_form("-0.25", "was granted twice"))
    assert ledger.balance_of(alice) == ledger.Balance(available=750_000, held=0, spent=0)
    operator.post(address, grant_form("0.5", "too much was taken"))
    assert ledger.balance_of(alice) == ledger.Balance(available=1_250_000, held=0, spent=0)
    assert set(Transfer.objects.filter(code="adjustment").values_list("reason", flat=True)) == {
        "was granted twice",
        "too much was taken",
    }
    assert "Adjusted by -$0.25: was granted twice" in [note.get_change_message() for note in LogEntry.objects.all()]
    assert audit_ledger() == []


@pytest.mark.parametrize(
    ("amount", "why"),
    [("-1.000001", "1.000000 USD is available"), ("0", "from 1"), ("NaN", "Enter an amount"), ("-", "Enter an amount")],
)
def test_a_bad_adjustment_moves_nothing(alice, operator, amount, why):
    before = columns(alice)
    assert why in words(operator.post(f"/admin/accounts/user/{alice.pk}/adjust/", grant_form(amount)))
    assert (columns(alice), LogEntry.objects.count()) == (before, 0)


# --- The second person ---


def test_what_is_above_the_threshold_waits_in_a_list(alice, staff, operator):
    before = columns(alice)
    page = operator.post(f"/admin/accounts/user/{alice.pk}/grant/", grant_form("50.01"), follow=True)
    assert "waits for a second person" in words(page)
    assert columns(alice) == before
    listed = words(operator.get("/admin/accounts/moneyrequest/"))
    assert "$50.01" in listed
    assert "for a broken picture" in listed
    (note,) = LogEntry.objects.all()
    assert note.get_change_message() == "Asked for a second person: grant credit $50.01: for a broken picture"


def test_a_colleague_approves_and_it_leaves_the_list(alice, waiting, colleague):
    address = f"/admin/accounts/moneyrequest/{waiting.pk}/"
    client = signed_in(colleague)
    assert "Grant of $60.00 for alice@example.com" in words(client.get(f"{address}decide/"))
    answer = client.post(f"{address}decide/", {"decision": "approve", "reason": "agreed by mail"})
    assert answer.url == "/admin/accounts/moneyrequest/"
    assert "Approved: grant of $60.00 for alice@example.com." in words(client.get(answer.url))
    assert ledger.balance_of(alice).available == 61_000_000
    assert "$60.00" not in words(client.get("/admin/accounts/moneyrequest/"))
    assert "Approved by colleague@example.com" in words(client.get("/admin/accounts/moneyrequest/?state=approved"))
    assert "agreed by mail" in words(client.get(f"{address}change/"))
    assert "This is decided." in words(client.get(f"{address}decide/"))
    again = client.post(f"{address}decide/", {"decision": "decline", "reason": "no"})
    assert (again.status_code, MoneyDecision.objects.count()) == (200, 1)
    assert ledger.balance_of(alice).available == 61_000_000


def test_a_colleague_declines(alice, waiting, colleague):
    before = columns(alice)
    client = signed_in(colleague)
    client.post(f"/admin/accounts/moneyrequest/{waiting.pk}/decide/", {"decision": "decline", "reason": "too much"})
    assert (columns(alice), MoneyDecision.objects.get().is_approved) == (before, False)
    assert "too much" in words(client.get(f"/admin/accounts/moneyrequest/{waiting.pk}/change/"))


@pytest.mark.parametrize("body", [{"reason": "yes"}, {"decision": "approve"}, {"decision": "perhaps", "reason": "yes"}])
def test_a_decision_that_says_nothing_decides_nothing(waiting, colleague, body):
    client = signed_in(colleague)
    assert client.post(f"/admin/accounts/moneyrequest/{waiting.pk}/decide/", body).status_code == 200
    assert not MoneyDecision.objects.exists()


def test_who_asked_is_told_that_somebody_else_decides(alice, waiting, operator):
    before = columns(alice)
    address = f"/admin/accounts/moneyrequest/{waiting.pk}/decide/"
    assert "somebody else decides" in words(operator.get(address))
    assert "somebody else must decide" in words(operator.post(address, {"decision": "approve", "reason": "me"}))
    assert (columns(alice), MoneyDecision.objects.exists()) == (before, False)


def test_moving_money_needs_the_permission_and_a_fresh_sign_in(alice, waiting, capture, colleague):
    addresses = (
        f"/admin/accounts/user/{alice.pk}/adjust/",
        f"/admin/accounts/transfer/{capture.pk}/refund/",
        f"/admin/accounts/moneyrequest/{waiting.pk}/decide/",
    )
    before = columns(alice)
    stale = people.client_with("")
    stale.force_login(colleague)
    client = signed_in(colleague)
    colleague.groups.clear()
    colleague.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    form = {**grant_form("0.01"), "decision": "approve"}
    for address in addresses:
        assert stale.post(address, form).url.startswith("/accounts/reauthenticate/")
        assert client.post(address, form).status_code == 403
        assert signed_in(alice).post(address, form).status_code == 302
    assert (columns(alice), MoneyDecision.objects.exists()) == (before, False)
