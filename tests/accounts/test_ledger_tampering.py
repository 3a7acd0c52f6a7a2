"""What the database refuses to whoever reaches past the verbs, with the ORM or with SQL."""

import uuid

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts import approvals, keys, ledger, triggers
from accounts.audit import audit_ledger
from accounts.models import Entry, KeyBudget, LedgerAccount, MoneyDecision, MoneyRequest, Price, Transfer
from tests import people
from tests.accounts.money import IMAGE, grant, make_price, refund, reserve

pytestmark = pytest.mark.django_db


class History:
    """A little of everything: a price, a grant, an open hold, a capture that is partly refunded, a release, a key's
    budget with a hold in it, and money that a second person approved."""

    def __init__(self, alice):
        self.price = make_price()
        self.grant = grant(alice, 5)
        self.hold = reserve(alice, self.price)
        self.post = ledger.capture(hold=reserve(alice, self.price))
        self.refund = refund(self.post, IMAGE // 2)
        self.void = ledger.release(hold=reserve(alice, self.price), reason="failed")
        key = keys.create_key(user=alice, budget_micros=3 * IMAGE).api_key
        self.budgeted = reserve(alice, self.price, api_key=key)
        ledger.capture(hold=reserve(alice, self.price, api_key=key))
        self.staff, self.colleague = (people.make_person(nick, is_staff=True) for nick in ("staff-1", "staff-2"))
        self.request, self.waiting = (self.ask(alice) for _ in range(2))
        approvals.decide(request=self.request, actor=self.colleague, is_approved=True, reason="yes")
        self.wallet = LedgerAccount.objects.get(owner=alice)
        self.revenue = LedgerAccount.objects.get(code="revenue")

    def ask(self, user) -> MoneyRequest:
        return approvals.grant(
            user=user, amount_micros=60_000_000, actor=self.staff, reason="prize", token=uuid.uuid4()
        )

    def decide(self, request, **fields) -> MoneyDecision:
        values = {"is_approved": True, "asked_by": self.staff, "decided_by": self.colleague, "reason": "x", **fields}
        return MoneyDecision.objects.create(request=request, **values)

    @property
    def budget(self):
        return KeyBudget.objects.filter(pk=self.budgeted.budget_id)

    def insert(self, **fields) -> Transfer:
        values = {
            "kind": "direct",
            "debit": self.revenue,
            "credit": self.wallet,
            "amount_micros": 1,
            "key": str(uuid.uuid4()),
            "code": "forged",
            **fields,
        }
        return Transfer.objects.create(**values)

    def resolve(self, hold: Transfer, **fields) -> Transfer:
        return self.insert(
            **{"kind": "post", "hold": hold, "debit": self.wallet, "credit": self.revenue, "amount_micros": 1, **fields}
        )


@pytest.fixture
def history(alice):
    return History(alice)


def sql(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def wallets(history):
    return LedgerAccount.objects.filter(pk=history.wallet.pk)


def replace_into(model, row):
    fields = model._meta.concrete_fields
    columns = ", ".join(field.column for field in fields)
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    sql(f"REPLACE INTO {model._meta.db_table} ({columns}) VALUES ({', '.join(['%s'] * len(fields))})", *values)


def upsert(row, unique_field, update_field):
    type(row).objects.bulk_create(
        [row], update_conflicts=True, unique_fields=[unique_field], update_fields=[update_field]
    )


def write_line(account, transfer):
    amounts = dict.fromkeys(("posted_delta", "pending_delta", "posted_after", "pending_after"), 0)
    Entry.objects.create(transfer=transfer, account=account, version=99, **amounts)


# What the refusal says, and the attempts that it answers.
ATTEMPTS = {
    r"is append-only": {
        "update transfers with the ORM": lambda h: Transfer.objects.update(amount_micros=1),
        "save a changed transfer": lambda h: setattr(h.grant, "amount_micros", 1) or h.grant.save(),
        "delete a transfer with the ORM": lambda h: Transfer.objects.filter(pk=h.grant.pk)._raw_delete("default"),
        "update transfers with SQL": lambda h: sql("UPDATE accounts_transfer SET reason = 'x'"),
        "delete transfers with SQL": lambda h: sql("DELETE FROM accounts_transfer"),
        "upsert a transfer": lambda h: upsert(h.grant, "key", "reason"),
        "update an entry": lambda h: Entry.objects.update(posted_delta=1),
        "delete an entry": lambda h: Entry.objects.all()._raw_delete("default"),
        "upsert an entry": lambda h: upsert(Entry.objects.first(), "id", "posted_after"),
        "edit a price": lambda h: Price.objects.update(amount_micros=1),
        "delete a price": lambda h: sql("DELETE FROM accounts_price"),
        "raise what was asked for": lambda h: MoneyRequest.objects.update(amount_micros=1),
        "take a request back": lambda h: MoneyRequest.objects.filter(pk=h.waiting.pk)._raw_delete("default"),
        "turn a decision round": lambda h: MoneyDecision.objects.update(is_approved=False),
        "put a decision down to another reason": lambda h: sql("UPDATE accounts_moneydecision SET reason = 'x'"),
        "delete a decision": lambda h: MoneyDecision.objects.all()._raw_delete("default"),
        "move a hold to another budget": lambda h: Transfer.objects.filter(pk=h.hold.pk).update(
            budget=h.budgeted.budget_id
        ),
    },
    r"only with the next version": {
        "edit a balance": lambda h: wallets(h).update(credits_posted=10**9),
        "edit what is held": lambda h: wallets(h).update(debits_pending=0),
        "edit the refunds": lambda h: wallets(h).update(refunds_posted=0),
        "skip a version": lambda h: wallets(h).update(version=F("version") + 2),
        "go back a version": lambda h: wallets(h).update(version=F("version") - 1),
        "give a budget its money back": lambda h: h.budget.update(spent_micros=0),
        "forget what a key holds": lambda h: h.budget.update(held_micros=0),
        "go back a version of a budget": lambda h: h.budget.update(version=F("version") - 1),
        "edit a balance and skip a version": lambda h: wallets(h).update(
            credits_posted=10**9, version=F("version") + 2
        ),
    },
    r"ledger_account_": {
        "overdraw with the right version": lambda h: wallets(h).update(debits_pending=10**9, version=F("version") + 1),
        "make a balance negative": lambda h: wallets(h).update(debits_posted=-1, version=F("version") + 1),
    },
    r"key_budget_not_negative": {
        "spend less than nothing of a budget": lambda h: h.budget.update(spent_micros=-1, version=F("version") + 1),
    },
    r"keeps its identity": {
        "give a budget to another wallet": lambda h: h.budget.update(wallet=h.revenue),
        "make a budget older": lambda h: h.budget.update(created_at=timezone.now()),
        "rename a budget": lambda h: sql("UPDATE accounts_keybudget SET id = 'key:other:total'"),
        "lift the floor": lambda h: wallets(h).update(floor=None),
        "lower the floor": lambda h: wallets(h).update(floor=-(10**9)),
        "give the wallet to another": lambda h: wallets(h).update(owner=None),
        "make the wallet another kind": lambda h: wallets(h).update(kind="revenue"),
        "stop tracking the wallet": lambda h: wallets(h).update(is_tracked=False),
    },
    r"an account is permanent": {
        "delete the wallet": lambda h: wallets(h)._raw_delete("default"),
    },
    r"a budget is permanent": {
        "delete a budget": lambda h: h.budget._raw_delete("default"),
    },
    r"begins with nothing": {
        "upsert the wallet": lambda h: upsert(
            LedgerAccount(code=h.wallet.code, kind="wallet", credits_posted=10**9), "code", "credits_posted"
        ),
        "begin a budget with money held in it": lambda h: KeyBudget.objects.create(
            id="x", wallet=h.wallet, held_micros=1
        ),
        "upsert a budget": lambda h: upsert(
            KeyBudget(id=h.budgeted.budget_id, wallet=h.wallet, held_micros=1), "id", "held_micros"
        ),
        "open an account with money in it": lambda h: LedgerAccount.objects.create(
            code="x", kind="wallet", credits_posted=10**9
        ),
    },
    r"transfer_between_two_accounts": {
        "move money from an account to itself": lambda h: h.insert(debit=h.wallet),
    },
    r"transfer_amount": {
        "move a negative amount": lambda h: h.insert(amount_micros=-1),
        "move nothing": lambda h: h.insert(amount_micros=0),
        "move more than JSON can count": lambda h: h.insert(amount_micros=2**53),
    },
    r"must match its open hold": {
        "post more than the hold": lambda h: h.resolve(h.hold, amount_micros=IMAGE + 1),
        "post to another account": lambda h: h.resolve(h.hold, debit=h.revenue, credit=h.wallet),
        "post a post": lambda h: h.resolve(h.post),
        "post a grant": lambda h: h.resolve(h.grant),
    },
    r"hold_id": {
        "post a hold that was captured": lambda h: h.resolve(h.post.hold),
        "void a hold that was captured": lambda h: h.resolve(h.post.hold, kind="void", amount_micros=0),
    },
    r"must match its open hold|transfer_resolves_a_hold": {
        "post without a hold": lambda h: h.insert(kind="post"),
        "direct with a hold": lambda h: h.resolve(h.hold, kind="direct"),
    },
    r"may not exceed what was captured": {
        "refund more than is left of a capture": lambda h: h.insert(refunds=h.post, amount_micros=IMAGE // 2 + 1),
        "refund a hold": lambda h: h.insert(refunds=h.hold),
        "refund a grant": lambda h: h.insert(refunds=h.grant),
        "refund to the house": lambda h: h.insert(refunds=h.post, debit=h.wallet, credit=h.revenue),
    },
    r"transfer_budget_of_a_hold": {
        "grant into a budget": lambda h: h.insert(budget_id=h.budgeted.budget_id),
    },
    r"(?i)foreign key": {
        "hold in a budget that is not there": lambda h: h.insert(
            kind="pending", debit=h.wallet, credit=h.revenue, budget_id="key:none:total"
        ),
    },
    r"money_decision_by_a_second_person": {
        "approve what one has asked for": lambda h: h.decide(h.waiting, decided_by=h.staff),
    },
    r"request_id": {
        "decide a second time": lambda h: h.decide(h.request, is_approved=False),
    },
    r"money_request_": {
        "ask for nothing": lambda h: MoneyRequest.objects.create(
            verb="grant", wallet=h.wallet, amount_micros=0, reason="x", asked_by=h.staff
        ),
        "ask for a refund of nothing": lambda h: MoneyRequest.objects.create(
            verb="refund", wallet=h.wallet, amount_micros=1, reason="x", asked_by=h.staff
        ),
    },
    r"accounts_transfer.key": {
        "use a key twice": lambda h: h.insert(key=h.grant.key),
    },
    r"entry_one_line_a_version|accounts_entry.version": {
        "write a second line for a version": lambda h: [
            write_line(h.revenue, transfer) for transfer in (h.hold, h.post)
        ],
    },
    r"entry_one_line_a_side|accounts_entry.transfer_id": {
        "write a second line for a transfer": lambda h: write_line(h.wallet, h.grant),
    },
}
SQLITE_ATTEMPTS = {
    "replace a transfer": lambda h: replace_into(Transfer, h.grant),
    "replace an entry": lambda h: replace_into(Entry, Entry.objects.first()),
    "replace a price": lambda h: replace_into(Price, h.price),
    "replace a budget": lambda h: replace_into(KeyBudget, KeyBudget(pk=h.budgeted.budget_id, wallet=h.wallet)),
    "replace a request": lambda h: replace_into(MoneyRequest, h.request),
    "replace a decision": lambda h: replace_into(MoneyDecision, MoneyDecision.objects.get()),
    "replace the wallet": lambda h: replace_into(LedgerAccount, LedgerAccount(pk=h.wallet.pk, code="x", kind="wallet")),
}
POSTGRESQL_ATTEMPTS = {
    f"truncate {table}": lambda h, table=table: sql(f"TRUNCATE accounts_{table} CASCADE")
    for table in ("transfer", "entry", "price", "ledgeraccount", "keybudget", "moneyrequest", "moneydecision")
}


def snapshot() -> list[list]:
    models = (LedgerAccount, Transfer, Entry, Price, KeyBudget, MoneyRequest, MoneyDecision)
    return [list(model.objects.order_by("pk").values()) for model in models]


def assert_refused(attempt, history, reason: str = "is append-only|is permanent") -> None:
    before = snapshot()

    def try_it():
        with transaction.atomic():
            attempt(history)
            connection.check_constraints()

    with pytest.raises(IntegrityError, match=reason):
        try_it()
    assert snapshot() == before
    assert list(audit_ledger()) == []


@pytest.mark.parametrize(
    ("reason", "attempt"), [(reason, name) for reason, group in ATTEMPTS.items() for name in group]
)
def test_an_attempt_to_tamper_is_refused_by_the_database(history, reason, attempt):
    assert_refused(ATTEMPTS[reason][attempt], history, reason)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="REPLACE INTO is SQLite's")
@pytest.mark.parametrize("attempt", SQLITE_ATTEMPTS)
def test_replacing_a_row_is_refused_by_sqlite(history, attempt):
    assert_refused(SQLITE_ATTEMPTS[attempt], history)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
@pytest.mark.parametrize("attempt", POSTGRESQL_ATTEMPTS)
def test_truncating_a_table_is_refused_by_postgresql(history, attempt):
    connection.check_constraints()  # PostgreSQL would refuse for the deferred ones, and the guard would not be tried
    assert_refused(POSTGRESQL_ATTEMPTS[attempt], history)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no roles")
def test_a_role_with_what_is_left_after_revoke_can_use_every_verb_and_change_no_history(history, alice):
    connection.check_constraints()
    role = f"plantain_{uuid.uuid4().hex[:8]}"
    sql(f"CREATE ROLE {role}")
    sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    sql(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
    sql(triggers.revoke_sql(role))
    sql(f"SET LOCAL ROLE {role}")
    post = ledger.capture(hold=reserve(alice, history.price))
    refund(post, 1)
    ledger.release(hold=history.hold, reason="failed")
    refund(ledger.capture(hold=history.budgeted), 1)
    approvals.decide(request=history.waiting, actor=history.colleague, is_approved=True, reason="yes")
    ledger.record_cost(amount_micros=1, reference="job", key="c", price=history.price, is_certain=True)
    connection.check_constraints()
    for statement in (
        "UPDATE accounts_transfer SET reason = 'x'",
        "DELETE FROM accounts_entry",
        "TRUNCATE accounts_price CASCADE",
        "DELETE FROM accounts_ledgeraccount",
        "DELETE FROM accounts_keybudget",
        "UPDATE accounts_moneydecision SET reason = 'x'",
        "ALTER TABLE accounts_transfer DISABLE TRIGGER ALL",
        "DROP TRIGGER accounts_transfer_append_only_update ON accounts_transfer",
    ):
        with pytest.raises(DatabaseError, match=r"permission denied|must be owner"), transaction.atomic():
            sql(statement)
    sql("RESET ROLE")


def test_prices_may_be_added(history):
    newer = Price.objects.create(
        model="m", size="1K", amount_micros=IMAGE * 2, cost_micros=1, valid_from=timezone.now()
    )
    assert ledger.current_price(model="m", size="1K") == newer
