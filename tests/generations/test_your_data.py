"""The page "Your data": the export made by a task, its link for a week, and deleting the account."""

import io
import zipfile
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from gallery import storage
from generations import account_exports, sweeper
from generations.models import AccountExport
from generations.tasks import make_export
from tests.accounts import door

pytestmark = pytest.mark.django_db

PAGE = "/account/data/"
EXPORT = "/account/data/export/"
DELETE = "/account/data/delete/"


@pytest.fixture
def client(alice):
    """Alice's browser, in which she has just said once more who she is."""
    client = door.signed_in(alice)
    door.say_who_you_are(client)
    return client


@pytest.fixture
def ready(alice):
    export = account_exports.request(alice)
    make_export(export.pk)
    export.refresh_from_db()
    return export


def address(export):
    return f"{EXPORT}{export.public_id}.zip"


def read(answer):
    return b"".join(answer.streaming_content)


# --- The export ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # the end of a streamed answer ends the connection
def test_it_is_asked_for_made_and_downloaded(client, alice):
    answer = client.post(EXPORT)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    export = AccountExport.objects.get(user=alice)
    assert "Being made" in client.get(PAGE).content.decode()
    make_export(export.pk)
    assert address(export) in client.get(PAGE).content.decode()

    answer = client.get(address(export))

    assert answer["Content-Type"] == "application/zip"
    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))
    assert answer["Content-Disposition"].startswith('attachment; filename="export-')
    body = read(answer)
    assert len(body) == int(answer["Content-Length"])
    assert "profile.json" in zipfile.ZipFile(io.BytesIO(body)).namelist()


def test_asking_twice_makes_one(client, alice, race):
    client.post(EXPORT)
    client.post(EXPORT)
    assert AccountExport.objects.count() == 1
    AccountExport.objects.all().delete()
    made = race(4, lambda index: account_exports.request(alice).pk)
    assert len(set(made)) == 1


def test_of_two_tasks_one_makes_it_and_a_new_export_takes_the_place_of_the_old(alice, ready):
    make_export(ready.pk)
    ready.refresh_from_db()
    assert (ready.state, ready.tries) == ("ready", 1)
    AccountExport.objects.update(created_at=timezone.now() - account_exports.EVERY)
    account_exports.request(alice)
    assert storage.size_of(ready.storage_name) is None
    assert AccountExport.objects.get(user=alice).state == "waiting"


def test_one_an_hour_is_enough(client, alice, ready):
    answer = client.post(EXPORT)
    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600
    assert AccountExport.objects.get() == ready
    assert "A new one can be made an hour after" in client.get(PAGE).content.decode()


@pytest.mark.usefixtures("bucket")
def test_with_a_bucket_it_is_kept_there(alice, ready):
    export, file = account_exports.open_export(alice, ready.public_id)
    assert zipfile.ZipFile(io.BytesIO(file.read())).testzip() is None
    account_exports.remove_of(alice)
    assert storage.size_of(export.storage_name) is None


def test_nobody_else_and_nobody_unasked_gets_the_file(bob, stranger, ready):
    another = door.signed_in(bob)
    door.say_who_you_are(another)
    assert another.get(address(ready)).status_code == 404
    assert stranger.get(address(ready))["Location"].startswith("/accounts/login/")
    unasked = door.signed_in(ready.user).get(address(ready))
    assert unasked["Location"].startswith("/accounts/reauthenticate/")


def test_after_a_week_it_is_gone(client, ready):
    AccountExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(address(ready)).status_code == 404
    assert address(ready) not in client.get(PAGE).content.decode()
    assert sweeper.sweep().exports_removed == 1
    assert storage.size_of(ready.storage_name) is None
    assert not AccountExport.objects.exists()


def test_what_fails_is_tried_again_by_the_sweeper_and_given_up_in_the_end(alice, client, monkeypatch):
    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr("generations.archives.write_archive", fail)
    export = account_exports.request(alice)
    for _ in range(account_exports.MAX_TRIES):
        assert AccountExport.objects.get().state == "waiting"
        due = account_exports.due(timezone.now() + timedelta(hours=1), resend_after=timedelta(minutes=2))
        assert due == [export.pk]
        AccountExport.objects.update(woken_at=export.woken_at)
        make_export(export.pk)
    assert AccountExport.objects.get().state == "failed"
    assert "It could not be made." in client.get(PAGE).content.decode()
    assert not list((storage.path_to("staging")).glob("*"))


def test_one_of_a_dead_process_is_made_by_another(alice):
    export = account_exports.request(alice)
    AccountExport.objects.update(state="running", started_at=timezone.now() - account_exports.GIVEN_UP_AFTER)
    make_export(export.pk)
    assert AccountExport.objects.get().state == "ready"


# --- Deleting ------------------------------------------------------------------------------------


def test_deleting_takes_the_address_signs_out_everywhere_tells_by_mail_and_begins_the_grace(
    client, alice, mailoutbox, django_capture_on_commit_callbacks
):
    elsewhere = door.signed_in(alice)
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(DELETE, {"confirmation": "alice@example.com"})
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert "Sign in before then to keep it." in client.get("/accounts/login/").content.decode()
    (mail,) = [each for each in mailoutbox if each.subject == "Your account is going to be deleted"]
    assert mail.to == ["alice@example.com"]
    assert "To keep it, sign in before then." in mail.body
    alice.refresh_from_db()
    assert timedelta(days=6, hours=23) < alice.erase_at - timezone.now() <= timedelta(days=7)
    assert alice.is_active
    for browser in (client, elsewhere):
        assert browser.get(PAGE).status_code == 302


def test_signing_in_keeps_the_account(client, alice):
    client.post(DELETE, {"confirmation": "alice@example.com"})
    door.sign_in(client, alice.email)
    assert "your account is not deleted" in client.get(PAGE).content.decode()
    assert User.objects.get(pk=alice.pk).erase_at is None


def test_another_address_deletes_nothing(client, alice):
    page = client.post(DELETE, {"confirmation": "bob@example.com"})
    assert page.status_code == 400
    assert "This is not the address of your account." in page.content.decode()
    assert User.objects.get(pk=alice.pk).erase_at is None


def test_deleting_asks_once_more_who_it_is(alice):
    answer = door.signed_in(alice).post(DELETE, {"confirmation": "alice@example.com"})
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert User.objects.get(pk=alice.pk).erase_at is None


def test_a_stranger_is_sent_to_sign_in(stranger):
    for path in (PAGE, EXPORT, DELETE):
        answer = stranger.get(path) if path == PAGE else stranger.post(path)
        assert answer["Location"].startswith("/accounts/login/")
    assert not AccountExport.objects.exists()
