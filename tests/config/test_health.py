"""The probes tell a supervisor whether to restart the process, and whether to send it requests."""

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from config import health

READY = {"database": "ok", "migrations": "ok", "ledger": "ok", "storage": "ok"}
CLOSED_PORT = "redis://:canary-password@127.0.0.1:1/0"


def test_healthz_asks_nobody_and_is_not_kept(client):
    response = client.get("/healthz")  # without a database: this test has none
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response["Cache-Control"] == "no-store"
    assert response["X-Request-ID"]


@pytest.mark.django_db
def test_readyz_names_every_part_that_answers(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "checks": READY})
    assert response["Cache-Control"] == "no-store"


def test_the_probes_answer_whatever_the_host_header_says(client):
    assert client.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200


def test_the_probes_are_only_read(client):
    response = client.post("/healthz")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert client.head("/healthz").status_code == 200


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_makes_it_unready(client):
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]) == (503, READY | {"migrations": "1 not applied"})


@pytest.mark.django_db
def test_a_missing_guard_of_the_ledger_makes_it_unready(client, monkeypatch):
    monkeypatch.setattr(health, "missing_triggers", lambda connection: ["one", "two"])
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]) == (503, READY | {"ledger": "2 triggers missing"})


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["MEDIA_ROOT", "SPOOL_DIR"])
def test_a_directory_that_cannot_be_written_makes_it_unready(name, client, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    setattr(settings, name, tmp_path / "file")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]) == (503, READY | {"storage": "does not answer"})


@pytest.mark.django_db
def test_a_database_that_does_not_answer_hides_nothing_else(client, monkeypatch):
    def refuse():
        raise OperationalError("could not connect: password=canary-password")

    monkeypatch.setattr(connection, "cursor", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "failing",
        "checks": {
            "database": "does not answer",
            "migrations": "not checked: the database does not answer",
            "ledger": "not checked: the database does not answer",
            "storage": "ok",
        },
    }


@pytest.mark.django_db
def test_a_broker_that_does_not_answer_is_named_without_its_password(client, settings):
    settings.CELERY_BROKER_URL = CLOSED_PORT
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]) == (503, READY | {"broker": "does not answer"})
    assert b"canary" not in response.content


@pytest.mark.django_db
def test_a_broker_that_answers_is_named(client, settings):
    settings.CELERY_BROKER_URL = "memory://"
    assert client.get("/readyz").json() == {"status": "ok", "checks": READY | {"broker": "ok"}}
