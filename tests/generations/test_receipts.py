"""The receipt of a picture: signed, without a prompt, and adding up to the ledger to the micro."""

import hashlib
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.test import Client

from accounts import ledger
from accounts.models import Transfer
from gallery import storage
from gallery.models import Image
from generations import receipts
from generations.models import Output
from generations.spec import GenerationSpec
from tests.accounts import money
from tests.generations.fakes import error, picture, png, reply
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make(alice, submit, work, upstream):
    """The pictures of one job of Alice's."""

    def make_all(prompt="a secret fox", *, says=None, **wish):
        upstream.says(*(says or [reply(picture(png()))]))
        spec = GenerationSpec.parse({"prompt": prompt, **wish}, default_image_size="1K")
        generation = work(submit(alice, wish=spec))
        return [output.image for output in generation.outputs.filter(is_draft=False)]

    return make_all


@pytest.fixture
def api(alice_key):
    return client_with(alice_key)


def fetch(api, image):
    response = api.get(f"/api/v1/images/{image.public_id}/receipt")
    assert response.status_code == 200, response.content
    return response


def capture_of(image):
    return Transfer.objects.get(code="capture", reference=image.source_reference)


def check(tmp_path, document):
    """The exit code of the command and what it says."""
    path = tmp_path / "receipt.json"
    path.write_bytes(document)
    out = StringIO()
    try:
        call_command("verifyreceipt", str(path), stdout=out)
    except CommandError as refusal:
        return refusal.returncode, str(refusal)
    return 0, out.getvalue().strip()


def test_it_tells_what_was_asked_what_came_and_every_movement(api, alice, make):
    [image] = make(says=[error(503, "UNAVAILABLE"), reply(picture(png()))], aspect_ratio="3:2", seed=7)
    document = fetch(api, image).json()
    receipt, signature = document["receipt"], document["signature"]
    generation = image.output.generation
    assert (receipt["type"], receipt["account"]) == ("plantain.receipt/1", str(alice.public_id))
    assert receipt["image"]["sha256"] == hashlib.sha256(png()).hexdigest()
    asked = receipt["asked"]
    assert (asked["aspect_ratio"], asked["image_size"], asked["seed"], asked["count"]) == ("3:2", "1K", 7, 1)
    assert receipt["honoured"] == {"aspect_ratio": False, "image_size": False}
    assert [(call["outcome"], call["http_status"], call["elapsed_ms"]) for call in receipt["attempts"]] == [
        ("unavailable", 503, 7),
        ("ok", 200, 7),
    ]
    assert receipt["attempts"][1]["upstream_request_id"] == image.output.attempt.upstream_request_id != ""
    assert receipt["delivered_by"] == 2
    assert receipt["price"]["id"] == generation.price_id
    assert [(move["code"], move["amount_micros"]) for move in receipt["transfers"]] == [
        ("hold", 58_000),
        ("capture", 58_000),
    ]
    assert receipt["cost"] == {
        "charged": "0.058000",
        "refunded": "0.000000",
        "net": "0.058000",
        "charged_micros": 58_000,
        "refunded_micros": 0,
        "net_micros": 58_000,
        "currency": "USD",
    }
    assert (signature["algorithm"], len(signature["value"])) == ("HMAC-SHA256", 64)


def test_it_has_the_digest_of_the_prompt_and_no_word_of_it(api, make):
    prompt = "a secret fox in the snow"
    [image, _] = make(prompt, count=2, styles=["hush-hush ink", "silent chalk"])
    text = fetch(api, image).content.decode()
    for word in ("secret", "fox", "hush", "silent", "alice@"):
        assert word not in text
    asked = json.loads(text)["receipt"]["asked"]
    assert asked["prompt_sha256"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert asked["styles_sha256"][0] == hashlib.sha256(b"hush-hush ink").hexdigest()


def test_receipts_add_up_to_captures_less_refunds(api, alice, make):
    pictures = [*make(count=3), *make("another"), *make("a third", count=2)]
    money.refund(capture_of(pictures[0]), 100_001)
    money.refund(capture_of(pictures[0]), 1)
    money.refund(capture_of(pictures[-1]), 58_001)
    costs = [fetch(api, image).json()["receipt"]["cost"]["net_micros"] for image in pictures]
    assert costs == [24_666, 24_666, 24_666, 58_000, 28_999, 29_000]
    total = {
        code: Transfer.objects.filter(code=code).aggregate(sum=Sum("amount_micros"))["sum"]
        for code in ("capture", "refund")
    }
    assert sum(costs) == total["capture"] - total["refund"] == ledger.balance_of(alice).spent


def test_a_draft_costs_nothing(api, make):
    [image] = make()
    Output.objects.filter(image=image).update(is_draft=True)
    assert fetch(api, image).json()["receipt"]["cost"]["net_micros"] == 0


def test_it_is_for_its_owner_alone(make, bob_key, staff_key, alice, stranger):
    [image] = make()
    path = f"/api/v1/images/{image.public_id}/receipt"
    assert client_with(bob_key).get(path).status_code == 404
    assert client_with(staff_key).get(path).status_code == 404
    assert stranger.get(path).status_code == 401
    assert client_with(make_key(alice, "read", "generate")).get(path).status_code == 403


def test_what_no_job_made_has_none(api, alice, make):
    image = Image.objects.create(owner=alice, blob=make()[0].blob)
    assert api.get(f"/api/v1/images/{image.public_id}/receipt").status_code == 404


def test_the_page_leads_to_it(alice, make):
    [image] = make()
    client = Client()
    client.force_login(alice)
    page = client.get(f"/images/{image.public_id}/").content.decode()
    address = f"/api/v1/images/{image.public_id}/receipt?download=1"
    assert f'href="{address}"' in page
    assert f"price {image.output.generation.price_id}, in force since" in page
    response = client.get(address)
    assert response["Content-Disposition"] == f'attachment; filename="receipt-{image.public_id}.json"'
    assert client.get(f"/api/v1/images/{image.public_id}/receipt?colour=red").status_code == 400


def test_the_page_tells_one_pictures_part_and_what_came_back(alice, make):
    images = make(count=2)
    client = Client()
    client.force_login(alice)
    show = lambda: client.get(f"/images/{images[1].public_id}/").content.decode()  # noqa: E731
    assert '<dd class="num">$0.058 <span class="faint">the price of one 1K image' in show()
    money.refund(capture_of(images[1]), 20_000)
    assert '<dd class="num">$0.048 <span class="faint">$0.058 less $0.010 refunded' in show()


def test_a_genuine_one_is_told_so_and_a_later_refund_is_news(api, make, tmp_path):
    [image] = make()
    document = fetch(api, image).content
    code, said = check(tmp_path, document)
    assert (code, said[:8]) == (0, "Genuine:")
    assert "cost 0.058000 USD" in said
    money.refund(capture_of(image), 8_000)
    code, said = check(tmp_path, document)
    assert (code, "Since then: refund of 0.008000 USD" in said) == (0, True)
    assert check(tmp_path, json.dumps(json.loads(document)).encode())[0] == 0  # white space is free


CHANGES = (
    lambda document: document["receipt"]["cost"].update(net="0.000001"),
    lambda document: document["receipt"]["image"].update(sha256="0" * 64),
    lambda document: document["receipt"].update(extra=1),
    lambda document: document["receipt"]["transfers"].pop(),
    lambda document: document["signature"].update(value="0" * 64),
    lambda document: document["signature"].update(value="é" * 64),
)


def test_a_changed_one_is_refused(api, make, tmp_path):
    content = fetch(api, make()[0]).content
    for change in CHANGES:
        document = json.loads(content)
        change(document)
        code, said = check(tmp_path, json.dumps(document).encode())
        assert (code, said) == (1, "The signature is wrong: this is not what was issued.")


def test_what_is_no_receipt_is_told_so(tmp_path):
    for content in (b"", b"[]", b"{}", b"\xff", b'{"receipt": [], "signature": {}}', b"null"):
        assert check(tmp_path, content) == (1, "This file is not a receipt.")


def test_a_file_that_cannot_be_read_is_told_so(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("verifyreceipt", str(tmp_path / "nowhere"))


def test_after_a_rotation_old_receipts_are_still_verified(api, make, tmp_path, settings):
    [image] = make()
    old = fetch(api, image).content
    settings.RECEIPT_SIGNING_KEYS = {"next": "n" * 40, **settings.RECEIPT_SIGNING_KEYS}
    new = fetch(api, image)
    assert new.json()["signature"]["key_id"] == "next"
    assert (check(tmp_path, old)[0], check(tmp_path, new.content)[0]) == (0, 0)
    settings.RECEIPT_SIGNING_KEYS = {"next": "n" * 40}
    code, said = check(tmp_path, old)
    assert (code, "not in RECEIPT_SIGNING_KEYS" in said) == (1, True)
    swapped = json.loads(old)
    swapped["signature"]["key_id"] = "next"
    assert check(tmp_path, json.dumps(swapped).encode())[0] == 1


def test_a_genuine_one_that_no_longer_agrees_is_named(api, make, tmp_path, guards_off):
    [image] = make()
    document = fetch(api, image).content
    capture = capture_of(image)
    with guards_off():
        Transfer.objects.filter(pk=capture.pk).update(amount_micros=57_000)
    code, said = check(tmp_path, document)
    assert (code, said) == (2, f"The ledger does not have the capture {capture.pk} as the receipt tells it.")
    with guards_off():
        Transfer.objects.filter(pk=capture.pk).update(amount_micros=58_000)
    storage.path_to(image.blob.storage_name).write_bytes(b"other bytes")
    code, said = check(tmp_path, document)
    assert (code, said) == (2, "The picture's file is missing, or not the one that was delivered.")


def test_a_movement_that_a_receipt_hides_is_found(make, tmp_path, alice):
    [image] = make()
    receipt = receipts.describe(alice, image)
    receipt["transfers"] = receipt["transfers"][:1]
    receipt["issued_at"] = "2999-01-01T00:00:00Z"
    code, said = check(tmp_path, receipts.sign(receipt))
    assert (code, said) == (2, f"The ledger has a capture {capture_of(image).pk} that the receipt does not tell.")
