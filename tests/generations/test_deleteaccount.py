"""Deleting an account: what goes, what stays, and that the books are sound afterwards."""

import json
import os
from datetime import timedelta
from io import StringIO

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts import closing, keys, ledger
from accounts.errors import Forbidden, InsufficientCredit, NotAuthenticated
from accounts.models import Transfer, Usage, User
from gallery import storage
from gallery.models import Appeal, Blob, Image, Report, Review, ReviewStep, Statement
from gallery.review import decisions, owners, reports
from generations import erasure, services
from generations.audit import audit
from generations.models import Attempt, Generation, IdempotencyKey, Status
from generations.spec import GenerationSpec
from tests import people

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "zanzibar-quince-canary"
PROMPT = f"a fox, {CANARY}"


@pytest.fixture
def carol(db):
    return people.make_person("carol-canary", name="Carol Zanzibar-Canary")


@pytest.fixture
def picture(carol, submit, work, upstream):
    """A picture of Carol's with the canary in its prompt."""
    wish = GenerationSpec.parse({"prompt": PROMPT}, default_image_size="1K")
    work(submit(carol, wish=wish, key="carol-canary-key"))
    return Image.objects.get(owner=carol)


@pytest.fixture
def delete(capsys):
    def run(user, *args):
        call_command("deleteaccount", "--email", user.email, "--yes", *args)
        return capsys.readouterr().out

    return run


def refuse(picture, staff):
    """Published, reported, refused with a note, appealed against."""
    Image.objects.filter(pk=picture.pk).update(alt_text="a fox")
    owners.request_publication(owner=picture.owner, public_id=picture.public_id, visibility="public")
    version = Review.objects.get(image=picture).version
    decisions.reject(
        reviewer=staff, image_id=picture.public_id, version=version, reason="spam", note=f"it says {CANARY}"
    )
    owners.appeal(owner=picture.owner, public_id=picture.public_id, text=f"but {CANARY} is my cat")


def everything_in_the_database():
    """Every row of every table as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                cells = [bytes(cell) if isinstance(cell, memoryview) else cell for cell in row]
                found.append((table, repr(cells).lower()))
    return found


def everything_on_the_disk(data_dir):
    return [path for path in data_dir.rglob("*") if path.is_file() and b"canary" in path.read_bytes().lower()]


def verify_blobs():
    out = StringIO()
    call_command("verifyblobs", "--json", stdout=out)
    return json.loads(out.getvalue())


def test_nothing_of_the_person_is_left_anywhere_and_the_books_are_sound(
    carol, bob, staff, picture, submit, delete, settings
):
    client = Client(headers={"User-Agent": "Browser of Canary"})
    client.post("/accounts/login/", {"login": carol.email, "password": people.PASSWORD})
    assert UserSession.objects.get(user=carol).user_agent == "Browser of Canary"
    Authenticator.objects.create(user=carol, type="totp", data={"secret": "canary"})
    key = people.make_key(carol, name="canary key")
    refuse(picture, staff)
    waiting = submit(carol, wish=GenerationSpec.parse({"prompt": PROMPT + " again"}, default_image_size="1K"))
    settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True)
    attempt = Attempt.objects.get(generation__outputs__image=picture)
    Attempt.objects.filter(pk=attempt.pk).update(raw_answer="canary", thoughts="canary", text="canary", detail="canary")
    (settings.SPOOL_DIR / f"{attempt.public_id.hex}.reply").write_text("canary")
    assert any("canary" in text for _, text in everything_in_the_database())

    out = delete(carol)

    carol.refresh_from_db()
    assert out.splitlines()[0] == carol.email
    assert [row for row in everything_in_the_database() if "canary" in row[1]] == []
    assert everything_on_the_disk(settings.DATA_DIR) == []
    assert audit() == []
    found = verify_blobs()
    assert (found["missing"], found["corrupt"]) == ([], [])
    # The person
    assert carol.email.startswith("deleted-")
    assert carol.name == ""
    assert not carol.is_active
    assert not carol.has_usable_password()
    assert carol.erased_at is not None
    assert not EmailAddress.objects.filter(user=carol).exists()
    assert not UserSession.objects.filter(user=carol).exists()
    assert not Session.objects.exists()
    with pytest.raises(NotAuthenticated):
        keys.authenticate(key)
    # The job that waited gave its hold back, and what was left is forfeited.
    waiting.refresh_from_db()
    assert (waiting.status, waiting.prompt, waiting.spec) == (Status.CANCELED, "", {})
    balance = ledger.balance_of(carol)
    assert (balance.available, balance.held, balance.spent) == (0, 0, 58_000)
    forfeit = Transfer.objects.get(code="forfeit")
    assert (forfeit.amount_micros, forfeit.debit.owner) == (942_000, carol)
    # What was decided stays, with ids only.
    step = ReviewStep.objects.get(review__image=picture, verb="reject")
    assert (step.actor, step.reason.code, step.note) == (staff, "spam", "")
    assert Statement.objects.get(step=step).facts == ""
    assert Appeal.objects.get(decision=step).text == ""
    picture.refresh_from_db()
    assert (picture.blob_id, picture.prompt, picture.visibility) == (None, "", "private")
    assert picture.purged_at is not None
    assert Review.objects.get(image=picture).queued_at is None
    assert not IdempotencyKey.objects.filter(user=carol).exists()
    assert ledger.balance_of(bob).available == 1_000_000


def test_an_address_that_looks_like_a_pseudonym_is_one_like_others(db, delete):
    dora = people.make_person("deleted-dora")
    delete(dora)
    dora.refresh_from_db()
    assert "dora" not in dora.email
    assert dora.erased_at is not None


def test_the_address_is_free_again_and_belongs_to_somebody_new(carol, delete):
    delete(carol)
    again = people.make_person("carol-canary")
    assert again.pk != carol.pk
    assert ledger.balance_of(again).available == 1_000_000


def test_bytes_that_somebody_else_has_too_stay_and_the_others_go_with_purge(
    carol, bob, picture, submit, work, upstream, delete
):
    shared = Image.objects.create(owner=bob, blob=picture.blob, kind="image")
    alone = Blob.objects.create(
        sha256="0" * 64, byte_size=1, mime_type="image/png", width=1, height=1, dominant_colour="#000000"
    )
    Image.objects.create(owner=carol, blob=alone, kind="image")
    path = storage.path_to(alone.storage_name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    os.utime(path, (0, 0))

    out = delete(carol, "--purge")

    assert "1 files removed, 1 left to collectgarbage or to their other owners." in out
    assert not path.exists()
    assert not Blob.objects.filter(pk=alone.pk).exists()
    assert storage.size_of(shared.blob.storage_name) == shared.blob.byte_size
    found = verify_blobs()
    assert (found["missing"], found["corrupt"]) == ([], [])


def test_bytes_of_this_minute_are_spared_because_somebody_may_be_storing_the_same(picture, carol, delete):
    name = picture.blob.storage_name
    assert "0 files removed, 1 left" in delete(carol, "--purge")
    assert storage.size_of(name) is not None


def test_a_job_that_a_worker_is_at_ends_and_what_it_brings_later_is_not_kept(
    carol, submit, upstream, work, delete, monkeypatch
):
    generation = submit(carol)
    send = upstream.send

    def delete_meanwhile(*args, **kwargs):
        delete(carol)
        return send(*args, **kwargs)

    monkeypatch.setattr(upstream, "send", delete_meanwhile)
    work(generation, rounds=1)
    generation.refresh_from_db()
    assert generation.status == Status.CANCELED
    assert not Image.objects.filter(owner=carol).exists()
    assert ledger.balance_of(carol).held == 0
    assert audit() == []


def test_what_was_under_way_when_the_account_closed_is_refused_and_leaves_nothing(carol, submit):
    assert closing.close_account(User.objects.get(pk=carol.pk))
    with pytest.raises(Forbidden, match="closed"):
        submit(carol)
    assert not Generation.objects.filter(user=carol).exists()
    assert ledger.balance_of(carol).held == 0


def test_submits_race_with_the_deletion_and_nothing_is_left_running(carol, race, spec):
    def act(index):
        if index == 3:
            return erasure.erase_account(User.objects.get(pk=carol.pk))
        return services.submit(user=User.objects.get(pk=carol.pk), spec=spec, source="rest")

    outcomes = race(4, act)
    refusals = [each for each in outcomes if isinstance(each, Exception)]
    assert {type(each) for each in refusals} <= {Forbidden, InsufficientCredit}
    assert not Generation.objects.filter(user=carol).unfinished().exists()
    assert not Generation.objects.filter(user=carol).exclude(prompt="").exists()
    assert ledger.balance_of(carol).held == 0
    assert audit() == []


def test_two_processes_that_erase_the_same_account_do_it_once(carol, bob, picture, race):
    shared = Image.objects.create(owner=bob, blob=picture.blob)
    count = Usage.objects.filter(user=carol, name="storage_bytes")
    assert count.get().used == shared.blob.byte_size
    count.update(used=shared.blob.byte_size + 1000)  # so that bytes that are given back twice would show

    race(3, lambda index: erasure.erase_account(User.objects.get(pk=carol.pk), removes_bytes=True))

    assert count.get().used == 1000
    assert Transfer.objects.filter(code="forfeit").count() == 1
    assert ReviewStep.objects.count() == 0
    assert audit() == []


def test_a_report_keeps_its_reason_and_loses_its_words(carol, alice, staff, picture, delete):
    theirs = Image.objects.create(owner=alice, blob=picture.blob, alt_text="a fox")
    owners.request_publication(owner=alice, public_id=theirs.public_id, visibility="public")
    version = Review.objects.get(image=theirs).version
    decisions.approve(reviewer=staff, image_id=theirs.public_id, version=version)
    reports.report(viewer=carol, address="10.0.0.1", public_id=theirs.public_id, reason="spam", note="words of Carol")
    delete(carol)
    assert Report.objects.get().note == ""


def test_append_only_rows_lose_their_words_and_admit_no_other_change(picture, staff):
    refuse(picture, staff)
    steps = ReviewStep.objects.filter(verb="reject")
    for change in ({"note": "other words"}, {"note": "", "rule_hits": [], "verb": "approve"}, {"actor": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            steps.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        steps.delete()
    steps.update(note="", rule_hits=[])
    assert steps.get().note == ""


# --- The grace -----------------------------------------------------------------------------------


def test_the_sweeper_erases_when_the_grace_is_over_and_not_before(carol, picture):
    due = closing.request_deletion(user=carol, confirmation="Carol-Canary@example.com ")
    assert erasure.erase_due(due - timedelta(seconds=1)) == 0
    assert Image.objects.owned_by(carol).count() == 1
    assert erasure.erase_due(due) == 1
    assert erasure.erase_due(due) == 0
    carol.refresh_from_db()
    assert carol.email.startswith("deleted-")


def test_an_erasure_that_was_cut_off_is_finished_by_the_sweeper(carol, picture, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr("generations.account_exports.storage.delete", fail)
        patch.setattr("generations.erasure.account_exports.remove_of", fail)
        with pytest.raises(CommandError, match="goes on with it"):
            call_command("deleteaccount", "--email", carol.email, "--yes")
        assert erasure.erase_due() == 0
    assert erasure.erase_due() == 1
    carol.refresh_from_db()
    assert carol.erased_at is not None
    assert ledger.balance_of(carol).available == 0


def test_whoever_comes_back_at_the_last_moment_keeps_everything(carol, picture):
    closing.request_deletion(user=carol, confirmation=carol.email)
    assert closing.keep_account(carol)
    later = timezone.now() + timedelta(days=8)
    assert erasure.erase_account(User.objects.get(pk=carol.pk), due_by=later).is_kept
    assert Image.objects.owned_by(carol).get().prompt == PROMPT
    assert not closing.keep_account(carol)


def test_api_keys_rest_while_the_account_is_to_be_deleted(carol):
    key = people.make_key(carol)
    closing.request_deletion(user=carol, confirmation=carol.email)
    with pytest.raises(NotAuthenticated, match="to be deleted"):
        keys.authenticate(key)
    closing.keep_account(carol)
    assert keys.authenticate(key).user == carol


# --- The command ---------------------------------------------------------------------------------


def test_the_command_asks_for_the_address(carol, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda words: "bob@example.com")
    with pytest.raises(CommandError, match="Nothing was deleted"):
        call_command("deleteaccount", "--email", carol.email)
    carol.refresh_from_db()
    assert carol.is_active
    monkeypatch.setattr("builtins.input", lambda words: carol.email)
    call_command("deleteaccount", "--email", carol.email)
    assert "0 jobs cancelled, 0 pictures erased, 1.000000 USD forfeited." in capsys.readouterr().out


def test_an_unknown_address_is_refused(db):
    with pytest.raises(CommandError, match="no account"):
        call_command("deleteaccount", "--email", "nobody@example.com", "--yes")
