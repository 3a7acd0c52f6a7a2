"""The shape of the money tables, and that their triggers survive every change of the schema."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import IntegrityError, NotSupportedError, connection, connections, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.utils import load_backend
from django.utils import timezone

from accounts import triggers
from accounts.apps import guard_ledger
from accounts.checks import check_ledger_triggers
from accounts.models import (
    Entry,
    KeyBudget,
    LedgerAccount,
    MoneyDecision,
    MoneyRequest,
    Plan,
    Price,
    Transfer,
    User,
)

GUARDED = ["LedgerAccount", "Transfer", "Entry", "Price", "KeyBudget", "MoneyRequest", "MoneyDecision"]
LIMITS = ["Plan", "Quota", "SiteLimits", "Usage", "KeyUsage", "SiteUsage", "StorageHold", "ApiKey"]
MONEY = [*GUARDED, *LIMITS]
AMOUNTS = [name for name in [*GUARDED, "ApiKey"] if name != "MoneyDecision"]


# --- L4, L17: what the columns are ---------------------------------------------------------------


@pytest.mark.parametrize("name", MONEY)
def test_no_column_of_money_or_limits_is_a_float_or_a_decimal(name):
    fields = apps.get_model("accounts", name)._meta.get_fields()
    assert not [field for field in fields if isinstance(field, models.FloatField | models.DecimalField)]


@pytest.mark.parametrize("name", AMOUNTS)
def test_every_amount_is_a_whole_number_of_64_bits(name):
    fields = apps.get_model("accounts", name)._meta.concrete_fields
    amounts = [f for f in fields if f.name.endswith(("_micros", "_posted", "_pending", "_delta", "_after", "floor"))]
    assert amounts
    assert {type(field) for field in amounts} == {models.BigIntegerField}


def test_a_transfer_has_no_place_for_a_person_or_a_prompt():
    texts = {
        field.name
        for field in Transfer._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField | models.JSONField)
    }
    # Ids and the operator's own words; `reason` is what a statement shows.
    assert texts == {"kind", "key", "code", "reference", "actor", "reason"}
    assert not [
        field for field in Transfer._meta.concrete_fields if field.related_model is apps.get_model("accounts.User")
    ]


@pytest.mark.django_db
def test_the_transfers_of_an_account_do_not_name_its_owner(alice):
    written = repr(list(Transfer.objects.values())) + repr(list(LedgerAccount.objects.values()))
    assert Transfer.objects.exists()
    assert "alice" not in written.lower()
    assert "example.com" not in written


# --- L5: the triggers through migrations ---------------------------------------------------------


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, django_db_setup, django_db_blocker):
    """A migrated SQLite database of its own, with a row in each guarded table; its schema may be changed."""
    values = {
        **connections.settings["default"],
        "ENGINE": "config.sqlite",
        "NAME": str(tmp_path_factory.mktemp("schema") / "schema.sqlite3"),
        "OPTIONS": {"init_command": "PRAGMA recursive_triggers=ON"},
    }
    wrapper = load_backend("config.sqlite").DatabaseWrapper(values, alias="embedded")
    connections["embedded"] = wrapper
    connections.settings["embedded"] = values
    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":  # a copy, because to migrate takes longer than all that follows
            connection.ensure_connection()
            wrapper.ensure_connection()
            connection.connection.backup(wrapper.connection)
        else:
            call_command("migrate", "accounts", database="embedded", verbosity=0)
        add_rows()
        yield wrapper
        wrapper.close()
    del connections["embedded"], connections.settings["embedded"]


def add_rows() -> None:
    amounts = dict.fromkeys(("posted_delta", "pending_delta", "posted_after", "pending_after"), 1)
    house, other = (LedgerAccount.objects.using("embedded").create(code=code, kind="revenue") for code in "ab")
    price = Price.objects.using("embedded").create(
        model="m", size="1K", amount_micros=1, cost_micros=1, valid_from=timezone.now()
    )
    transfer = Transfer.objects.using("embedded").create(
        kind="direct", debit=house, credit=other, amount_micros=1, key="k", code="grant", price=price
    )
    Entry.objects.using("embedded").create(transfer=transfer, account=house, version=1, **amounts)
    KeyBudget.objects.using("embedded").create(id="key:x:total", wallet=house)
    asked_by, decided_by = (
        User.objects.using("embedded").create(email=f"{nick}@example.com", plan=Plan.objects.using("embedded").first())
        for nick in ("a", "b")
    )
    request = MoneyRequest.objects.using("embedded").create(
        verb="grant", wallet=house, amount_micros=1, reason="x", asked_by=asked_by
    )
    MoneyDecision.objects.using("embedded").create(
        request=request, is_approved=True, asked_by=asked_by, decided_by=decided_by, reason="x"
    )


def schema_operations(name: str) -> dict[str, migrations.operations.base.Operation]:
    """Every operation on a table that Django's migrations have, in an order that ends where it began."""
    model = apps.get_model("accounts", name)
    check = models.CheckConstraint(condition=models.Q(id__isnull=False), name="probe_check")
    unique = models.UniqueConstraint(fields=["id", "created_at"], name="probe_unique")
    plan = models.ForeignKey("accounts.Plan", null=True, on_delete=models.PROTECT, related_name="+")
    return {
        "add a column that may be null": migrations.AddField(name, "probe", models.IntegerField(null=True)),
        "add a column with a default": migrations.AddField(name, "probe_default", models.IntegerField(default=7)),
        "add a foreign key": migrations.AddField(name, "probe_key", plan),
        "alter a column": migrations.AlterField(name, "probe_default", models.BigIntegerField(default=8)),
        "rename a column": migrations.RenameField(name, "probe_default", "probe_renamed"),
        "add an index": migrations.AddIndex(name, models.Index(fields=["created_at"], name="probe_index")),
        "rename an index": migrations.RenameIndex(name, new_name="probe_index2", old_name="probe_index"),
        "remove an index": migrations.RemoveIndex(name, "probe_index2"),
        "add a check": migrations.AddConstraint(name, check),
        "add a unique constraint": migrations.AddConstraint(name, unique),
        "remove a check": migrations.RemoveConstraint(name, check.name),
        "remove a unique constraint": migrations.RemoveConstraint(name, unique.name),
        "make columns unique together": migrations.AlterUniqueTogether(name, {("id", "created_at")}),
        "end unique together": migrations.AlterUniqueTogether(name, set()),
        "comment on the table": migrations.AlterModelTableComment(name, "money"),
        "remove a column": migrations.RemoveField(name, "probe_renamed"),
        "remove a column that may be null": migrations.RemoveField(name, "probe"),
        "remove a foreign key": migrations.RemoveField(name, "probe_key"),
        "rename the table": migrations.AlterModelTable(name, "probe_table"),
        "rename the table back": migrations.AlterModelTable(name, model._meta.db_table),
        "rename the model": migrations.RenameModel(name, "Probe"),
        "rename the model back": migrations.RenameModel("Probe", name),
    }


@pytest.fixture(scope="module")
def migrated(embedded):
    """The models as the migrations of accounts leave them; those of all apps would be built anew for each operation."""
    loader = MigrationLoader(embedded)
    return loader.project_state(loader.graph.leaf_nodes("accounts"))


# What makes Django remake a table is the same for each of them, so the whole list is for one.
REMAKES = (
    "add a column with a default",
    "alter a column",
    "remove a column",
    "rename the table",
    "rename the table back",
)


@pytest.mark.parametrize("name", GUARDED)
def test_every_operation_on_a_guarded_table_of_sqlite_ends_with_its_triggers(embedded, migrated, name):
    rows = apps.get_model("accounts", name).objects.using("embedded")
    before = list(rows.order_by("pk").values())
    state = migrated
    operations = schema_operations(name)
    if name != "Transfer":
        operations = {title: operations[title] for title in REMAKES}
        operations["remove a column"] = migrations.RemoveField(name, "probe_default")  # it was not renamed
    dropped_by = set()
    for title, operation in operations.items():
        changed = state.clone()
        operation.state_forwards("accounts", changed)
        with embedded.schema_editor() as editor:
            operation.database_forwards("accounts", editor, state, changed)
        state = changed
        missing = triggers.missing_triggers(embedded)
        problems = check_ledger_triggers(databases=["embedded"])
        assert [problem.id for problem in problems] == (["accounts.E001"] if missing else []), title
        assert all(trigger in problems[0].msg for trigger in missing), title
        if missing:
            dropped_by.add(title)
        guard_ledger(using="embedded")
        assert triggers.missing_triggers(embedded) == [], title
        assert check_ledger_triggers(databases=["embedded"]) == [], title
    # Were it empty the test would prove nothing: these are operations for which Django remakes a table.
    assert dropped_by >= {"add a column with a default", "alter a column", "add a check"} & set(operations)
    assert list(rows.order_by("pk").values()) == before
    with pytest.raises(IntegrityError):
        rows._raw_delete("embedded")


def test_the_guards_of_sqlite_name_no_table_but_their_own():
    """SQLite could not remake a table that a trigger of another table names."""
    tables = {apps.get_model("accounts", name)._meta.db_table for name in GUARDED}
    for guard in triggers.guards():
        assert not [table for table in tables - {guard.table} if table in guard.condition]


# --- L5: the watch -------------------------------------------------------------------------------


def test_every_guarded_table_refuses_every_event_that_would_change_history():
    events = {name: set() for name in GUARDED}
    for guard in triggers.guards():
        for name in GUARDED:
            if guard.table == apps.get_model("accounts", name)._meta.db_table:
                events[name].add(guard.event)
    assert all(found >= {"UPDATE", "DELETE", "TRUNCATE"} for found in events.values())


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def drop(name: str, table: str) -> None:
    sql(f"DROP TRIGGER {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))


@pytest.mark.django_db
def test_a_migrated_database_has_all_its_triggers():
    assert triggers.missing_triggers(connection) == []
    call_command("check", databases=["default"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("time", ["first", "second"])
def test_a_transactional_test_finds_the_seeded_rows_and_the_triggers_and_nothing_else(alice, time):
    """The second time shows what the first left behind."""
    assert Plan.objects.filter(name="free").exists()
    assert Price.objects.exists()
    assert triggers.missing_triggers(connection) == []
    assert Transfer.objects.count() == 1
    LedgerAccount.objects.create(code=f"left by the {time}", kind="revenue")
    assert LedgerAccount.objects.filter(code__startswith="left").count() == 1


@pytest.mark.django_db
def test_each_missing_trigger_is_named_and_put_back():
    names = list(triggers._engine(connection).expected())
    for guard in triggers._engine(connection).expected().values():
        drop(guard.name, guard.table)
    assert triggers.missing_triggers(connection) == names
    triggers.install_triggers(connection)
    assert triggers.missing_triggers(connection) == []


@pytest.mark.django_db
def test_the_check_refuses_an_unguarded_ledger_and_says_what_to_do():
    drop("accounts_transfer_append_only_update", "accounts_transfer")
    with pytest.raises(SystemCheckError, match=r"accounts\.E001") as refusal:
        call_command("check", databases=["default"])
    assert "accounts_transfer_append_only_update" in str(refusal.value)
    assert "migrate --skip-checks" in str(refusal.value)
    call_command("migrate", verbosity=0)
    assert check_ledger_triggers(databases=["default"]) == []


@pytest.mark.django_db
def test_the_check_reads_no_database_that_it_was_not_given():
    drop("accounts_transfer_append_only_update", "accounts_transfer")
    assert check_ledger_triggers(databases=None) == []
    assert check_ledger_triggers(databases=[]) == []


@pytest.mark.django_db
def test_a_trigger_that_was_altered_counts_as_missing():
    name, table = "accounts_entry_append_only_delete", "accounts_entry"
    if connection.vendor == "postgresql":
        sql(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$")
    else:
        drop(name, table)
        sql(f"CREATE TRIGGER {name} BEFORE DELETE ON {table} WHEN 0 BEGIN SELECT 1; END")
    assert triggers.missing_triggers(connection) == [name]
    triggers.install_triggers(connection)
    assert triggers.missing_triggers(connection) == []


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite cannot switch a trigger off")
@pytest.mark.parametrize("switch", ["DISABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
def test_a_trigger_that_is_switched_off_counts_as_missing(switch):
    name = "accounts_price_append_only_update"
    sql(f"ALTER TABLE accounts_price {switch} {name}")
    assert triggers.missing_triggers(connection) == [name]
    triggers.install_triggers(connection)
    assert triggers.missing_triggers(connection) == []


@pytest.mark.django_db
def test_another_app_can_have_a_table_of_its_own_guarded_by_name(monkeypatch):
    monkeypatch.setattr(triggers, "_append_only", dict(triggers._append_only))
    triggers.make_append_only("accounts.Plan")
    triggers.make_append_only("accounts.Plan")
    missing = triggers.missing_triggers(connection)
    assert missing[:2] == ["accounts_plan_append_only_update", "accounts_plan_append_only_delete"]
    assert len([name for name in missing if "truncate" not in name]) == 2
    assert "accounts_plan" in triggers.revoke_sql("web")


def test_another_engine_is_refused_and_not_left_unguarded():
    class Oracle:
        vendor = "oracle"

    with pytest.raises(NotSupportedError, match="oracle"):
        triggers.missing_triggers(Oracle())
