"""The ZIP of an account: what is in it, what is not, and the command that writes it."""

import hashlib
import io
import json
import zipfile

import pytest
from django.core.management import CommandError, call_command

from gallery import collections, storage
from gallery.models import Image, Review
from gallery.review import decisions, owners
from gallery.services import edit_image
from generations.archives import write_archive
from generations.models import Attempt, Evidence
from tests import people

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def picture(alice, submit, work, upstream):
    work(submit(alice))
    return Image.objects.get(owner=alice)


@pytest.fixture
def contents():
    def read(user):
        file = io.BytesIO()
        write_archive(user, file)
        archive = zipfile.ZipFile(file)
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}

    return read


def test_everything_is_in_it_under_stable_names(alice, picture, contents):
    people.make_key(alice, name="laptop")
    edit_image(owner=alice, public_id=picture.public_id, favourite=True)
    collections.add(collection=collections.create(owner=alice, name="Foxes"), images=[picture])
    found = contents(alice)
    name = f"images/{picture.public_id}.png"
    assert sorted(found) == sorted(
        [
            *("export.json", "generations.json", name, "images.json", "keys.json", "profile.json"),
            *(f"receipts/{picture.public_id}.json", "reports.json", "reviews.json", "statement.csv", "statement.json"),
        ]
    )
    assert hashlib.sha256(found[name]).hexdigest() == picture.blob.sha256
    head = json.loads(found["export.json"])
    assert (head["format"], head["images"], head["generations"], head["receipts"]) == ("plantain.export/1", 1, 1, 1)
    assert head["missing_files"] == []
    profile = json.loads(found["profile.json"])
    assert (profile["email"], profile["name"], profile["plan"]) == ("alice@example.com", "Alice", "free")
    assert profile["email_addresses"] == [{"email": "alice@example.com", "verified": True, "primary": True}]
    (generation,) = json.loads(found["generations.json"])
    assert (generation["prompt"], generation["status"], generation["charged"]) == ("a fox", "succeeded", "0.058000")
    assert generation["images"] == [{"id": str(picture.public_id), "is_draft": False}]
    (image,) = json.loads(found["images.json"])
    assert (image["favourite"], image["collections"], image["share_links"]) == (True, ["Foxes"], [])
    assert (image["file"], image["sha256"], image["prompt"]) == (name, picture.blob.sha256, "a fox")
    (key,) = json.loads(found["keys.json"])
    assert key["name"] == "laptop"
    assert "secret" not in found["keys.json"].decode()
    assert [line["kind"] for line in json.loads(found["statement.json"])["lines"]] == ["grant", "hold", "capture"]
    assert json.loads(found[f"receipts/{picture.public_id}.json"])["receipt"]["cost"]["net"] == "0.058000"


def test_nothing_of_anybody_else_and_nothing_that_a_search_brought_is_in_it(
    alice, bob, staff, picture, submit, work, contents
):
    work(submit(bob))
    attempt = Attempt.objects.get(generation__user=alice)
    Evidence.objects.create(attempt=attempt, queries=["a search"], rendered_content="<b>third party</b>")
    Image.objects.filter(pk=picture.pk).update(alt_text="a fox")
    owners.request_publication(owner=alice, public_id=picture.public_id, visibility="public")
    version = Review.objects.get(image=picture).version
    decisions.reject(reviewer=staff, image_id=picture.public_id, version=version, reason="spam", note="an advert")
    owners.appeal(owner=alice, public_id=picture.public_id, text="it is a fox")

    found = contents(alice)

    text = b"".join(found.values())
    for other in (staff.email, str(staff.public_id), str(bob.public_id), bob.email, "third party", "a search"):
        assert other.encode() not in text
    rejected = next(each for each in json.loads(found["reviews.json"]) if each["what"] == "reject")
    assert (rejected["reason"], rejected["review_status"]) == ("spam", "rejected")
    assert 'The reviewer wrote: "an advert"' in rejected["statement"]["facts"]
    assert rejected["your_appeal"]["text"] == "it is a fox"


def test_somebody_without_anything_gets_empty_lists(bob, contents):
    found = contents(bob)
    assert [json.loads(found[name]) for name in ("generations.json", "images.json", "keys.json")] == [[], [], []]


def test_a_file_that_is_missing_in_the_storage_is_named_and_the_rest_is_there(alice, picture, contents):
    storage.delete(picture.blob.storage_name)
    found = contents(alice)
    assert json.loads(found["export.json"])["missing_files"] == [f"images/{picture.public_id}.png"]
    assert json.loads(found["images.json"])[0]["prompt"] == "a fox"


def test_the_command_writes_a_file_that_only_its_owner_may_read(alice, picture, tmp_path, capsys):
    path = tmp_path / "alice.zip"
    call_command("exportaccount", "--email", "Alice@example.com", "--out", str(path))
    assert capsys.readouterr().out == f"{path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"images/{picture.public_id}.png" in zipfile.ZipFile(path).namelist()
    assert not path.with_name("alice.zip.part").exists()


def test_the_command_refuses_an_unknown_address_and_a_directory_that_is_not_there(alice, tmp_path):
    with pytest.raises(CommandError, match="no account"):
        call_command("exportaccount", "--email", "nobody@example.com", "--out", str(tmp_path / "x.zip"))
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("exportaccount", "--email", alice.email, "--out", str(tmp_path / "none" / "x.zip"))
    assert not list(tmp_path.glob("*.zip*"))
