"""The shape of the money tables, and that their triggers survive every change of the schema."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import NotSupportedError, connection, migrations, models
from django.db.migrations.state import ProjectState

from accounts import triggers
from accounts.apps import guard_ledger
from accounts.checks import check_ledger_triggers
from accounts.models import LedgerAccount, Transfer
from tests.accounts.money import make_price

MONEY = ["LedgerAccount", "Transfer", "Entry", "Price", "Plan", "Quota", "Usage"]
GUARDED = ["LedgerAccount", "Transfer", "Entry", "Price"]


# --- L4, L17: what the columns are ---------------------------------------------------------------


@pytest.mark.parametrize("name", MONEY)
def test_no_column_of_money_or_limits_is_a_float_or_a_decimal(name):
    fields = apps.get_model("accounts", name)._meta.get_fields()
    assert not [field for field in fields if isinstance(field, models.FloatField | models.DecimalField)]


@pytest.mark.parametrize("name", GUARDED)
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
    assert not [field for field in Transfer._meta.concrete_fields if field.related_model is apps.get_model("accounts.User")]


@pytest.mark.django_db
def test_the_transfers_of_an_account_do_not_name_its_owner(alice):
    written = repr(list(Transfer.objects.values())) + repr(list(LedgerAccount.objects.values()))
    assert Transfer.objects.exists()
    assert "alice" not in written.lower()
    assert "example.com" not in written


# --- L5: the triggers ----------------------------------------------------------------------------


@pytest.fixture
def bare_database(transactional_db):
    """A test may change the schema of its database: it is made anew by the migrations afterwards."""
    yield
    for label in ("generations", "gallery", "accounts"):
        ...


def added(name: str) -> str:
    return apps.get_model("accounts", name)._meta.db_table


def schema_operations(name: str) -> dict[str, migrations.operations.base.Operation]:
    """Every operation that a migration can apply to a table that has rows, on one of its columns or a new one."""
    check = models.CheckConstraint(condition=models.Q(id__isnull=False), name=f"probe_check_{name.lower()}")
    unique = models.UniqueConstraint(fields=["id", "created_at"], name=f"probe_unique_{name.lower()}")
    index = models.Index(fields=["created_at"], name=f"probe_index_{name.lower()[:10]}")
    return {
        "add a column": migrations.AddField(name, "probe", models.IntegerField(null=True)),
        "add a column with a default": migrations.AddField(name, "probe_default", models.IntegerField(default=7)),
        "add a foreign key": migrations.AddField(
            name, "probe_key", models.ForeignKey("accounts.Plan", null=True, on_delete=models.PROTECT, related_name="+")
        ),
        "alter a column": migrations.AlterField(name, "probe_default", models.BigIntegerField(default=8)),
        "rename a column": migrations.RenameField(name, "probe_default", "probe_renamed"),
        "add an index": migrations.AddIndex(name, index),
        "rename an index": migrations.RenameIndex(name, new_name=f"{index.name}2", old_name=index.name),
        "remove an index": migrations.RemoveIndex(name, f"{index.name}2"),
        "add a check": migrations.AddConstraint(name, check),
        "add a unique constraint": migrations.AddConstraint(name, unique),
        "remove a check": migrations.RemoveConstraint(name, check.name),
        "remove a unique constraint": migrations.RemoveConstraint(name, unique.name),
        "unique together": migrations.AlterUniqueTogether(name, {("id", "created_at")}),
        "no unique together": migrations.AlterUniqueTogether(name, set()),
        "comment on the table": migrations.AlterModelTableComment(name, "money"),
        "remove a column": migrations.RemoveField(name, "probe_renamed"),
        "remove another column": migrations.RemoveField(name, "probe"),
        "remove a foreign key": migrations.RemoveField(name, "probe_key"),
        "rename the table": migrations.AlterModelTable(name, f"probe_{name.lower()}"),
        "rename the table back": migrations.AlterModelTable(name, added(name)),
        "rename the model": migrations.RenameModel(name, f"Probe{name}"),
        "rename the model back": migrations.RenameModel(f"Probe{name}", name),
    }
