"""Short clips, from the wish to the bytes that are played: exact calls, charges and holds for every end."""

import hashlib
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import ledger
from accounts.errors import InvalidInput, PriceUnknown
from accounts.models import Price, Usage
from gallery import storage
from gallery.decode_pool import verifier
from gallery.imaging import verify_image
from gallery.models import Blob, Image
from gallery.tasks import make_renditions
from generations import reading, services
from generations.audit import audit
from generations.models import Generation, Status
from generations.providers import current
from generations.spec import GenerationSpec
from generations.tasks import run_generation
from tests.people import client_with, make_key
from tests.upstream import chat, trouble
from tests.upstream.pictures import HTML, clip, gif, png, still

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 300_000
MP4, GIF = clip(width=128, height=72), gif(64, 36)


def balance(user):
    found = ledger.balance_of(user)
    return found.available, found.held, found.spent


def answer_of(data, mime_type="video/mp4"):
    return chat.by_json(chat.picture(data, mime_type))


@pytest.fixture
def wish(make):
    return lambda **fields: make(kind="video", aspect_ratio="16:9", **fields)


@pytest.fixture
def made(served_by, wish):
    """A clip that somebody has made."""

    def make_clip(data, mime_type="video/mp4"):
        served_by("chat").answers(answer_of(data, mime_type))
        wish()
        return Image.objects.select_related("blob").get()

    return make_clip


@pytest.fixture
def reader(alice):
    return client_with(make_key(alice))


def body_of(response):
    return b"".join(response.streaming_content)


FORMS = {
    "MP4": (MP4, "video/mp4", "video/mp4", (128, 72), 2000),
    "GIF": (GIF, "image/gif", "image/gif", (64, 36), 2000),
    "GIF called a video": (GIF, "video/gif", "image/gif", (64, 36), 2000),
    "MP4 called a picture": (MP4, "image/png", "video/mp4", (128, 72), 2000),
}


@pytest.mark.parametrize(("data", "claimed", "mime_type", "size", "duration_ms"), FORMS.values(), ids=FORMS)
def test_a_clip_is_kept_as_it_came_and_charged_once(
    data, claimed, mime_type, size, duration_ms, alice, served_by, wish
):
    upstream = served_by("chat")
    upstream.answers(answer_of(data, claimed))
    available = balance(alice)[0]
    generation = wish()
    assert (generation.status, generation.kind) == (Status.SUCCEEDED, "video")
    assert list(generation.attempts.values_list("outcome", flat=True)) == ["ok"]
    assert balance(alice) == (available - PRICE, 0, PRICE)
    assert Usage.objects.get(user=alice, name="images_per_day").used == 1
    [image] = Image.objects.select_related("blob__poster")
    blob = image.blob
    assert (image.kind, image.image_size, image.aspect_ratio) == ("video", "720p", "16:9")
    assert (image.honours_aspect_ratio, image.honours_image_size) == (True, False)
    assert (blob.mime_type, (blob.width, blob.height), blob.duration_ms) == (mime_type, size, duration_ms)
    assert storage.path_to(blob.storage_name).read_bytes() == data
    assert (blob.poster.mime_type, (blob.poster.width, blob.poster.height)) == ("image/png", size)
    assert verifier.run(verify_image, storage.path_to(blob.poster.storage_name)).sha256 == blob.poster.sha256
    assert audit() == []


def test_the_wish_goes_out_in_the_words_of_the_articles(served_by, wish):
    upstream = served_by("chat")
    upstream.answers(answer_of(MP4))
    wish()
    [request] = upstream.requests
    system, user = request.json["messages"]
    assert system["content"] == "Return only compact JSON with mime_type and b64 for a single short video (2–3s)."
    assert user["content"] == "Text to video: a fox\n\nAspect ratio 16:9, 2 seconds, 720p MP4."


def test_only_the_chat_protocol_is_asked_for_a_clip():
    spec = GenerationSpec.parse({"prompt": "a fox", "kind": "video"}, default_image_size="2K")
    assert (spec.image_size, spec.aspect_ratio) == ("720p", "1:1")
    assert [provider.name for provider in current.providers_for(spec)] == ["wisgate-chat"]


TROUBLES = {
    "cut MP4": (answer_of(MP4[:-200]), "truncated", 2),
    "cut GIF": (answer_of(GIF[:-200]), "truncated", 2),
    "too long MP4": (answer_of(clip(seconds=6)), "too_large", 1),
    "too long GIF": (answer_of(gif(frames=60)), "too_large", 1),
    "many frames": (answer_of(clip(seconds=2, rate=200)), "too_large", 1),
    "HTML": (answer_of(HTML), "not_an_image", 1),
    "still PNG": (answer_of(png(64, 36)), "not_an_image", 1),
    "still GIF": (answer_of(still("GIF")), "not_an_image", 1),
    "Matroska": (answer_of(clip("matroska")), "not_an_image", 1),
    "WebM": (answer_of(clip("webm")), "not_an_image", 1),
    "noise behind ftyp": (answer_of(MP4[:64] + bytes(range(256)) * 40), "truncated", 2),
    "no base64": (answer_of("!!!"), "truncated", 2),
    "words": (chat.says("I cannot film."), "text_only", 1),
    "filtered": (chat.filtered(), "blocked", 1),
    "empty": (trouble.empty(), "malformed", 2),
}


@pytest.mark.parametrize(("answer", "outcome", "calls"), TROUBLES.values(), ids=TROUBLES)
def test_what_is_no_clip_costs_nothing_and_leaves_nothing(answer, outcome, calls, alice, served_by, wish, settings):
    upstream, before = served_by("chat"), balance(alice)
    upstream.answers(answer)
    generation = wish()
    assert (generation.status, generation.error_code) == (Status.FAILED, outcome)
    assert len(upstream.requests) == calls
    assert balance(alice) == before
    assert Usage.objects.get(user=alice, name="images_per_day").used == 0
    assert not Blob.objects.exists()
    assert list(storage.stored_names(storage.ORIGINALS)) == []
    assert list(settings.SPOOL_DIR.glob("*")) == []
    assert audit() == []


def test_damaged_clips_never_end_the_worker(alice, served_by, make, settings):
    """Bytes of a good clip that were overwritten in places: kept as a clip or refused, and the books are right."""
    upstream = served_by("chat")
    settings.UPSTREAM_MAX_PAID_ATTEMPTS = 1
    ledger.grant(user=alice, amount_micros=20 * PRICE, reason="for many clips", key="clips")
    charged = 0
    for place in range(32, len(MP4), len(MP4) // 12):
        damaged = bytes(byte ^ 0x5A for byte in MP4[place : place + 24])
        upstream.answers(answer_of(MP4[:place] + damaged + MP4[place + 24 :]))
        generation = make(kind="video", prompt=f"a fox at {place}")
        assert generation.status in (Status.SUCCEEDED, Status.FAILED)
        charged += PRICE * (generation.status == Status.SUCCEEDED)
        assert generation.error_code in ("", "not_an_image", "truncated", "too_large")
    assert balance(alice)[1:] == (0, charged)
    assert audit() == []


def test_a_clip_for_a_picture_is_no_picture(alice, served_by, make):
    upstream, before = served_by("chat"), balance(alice)
    upstream.answers(answer_of(MP4))
    assert make().error_code == "not_an_image"
    assert balance(alice) == before


def test_without_a_price_nothing_is_asked(alice, served_by, wish, guards_off):
    upstream, before = served_by("chat"), balance(alice)
    with guards_off():
        Price.objects.filter(unit="video").delete()
    with pytest.raises(PriceUnknown):
        wish()
    assert upstream.requests == []
    assert not Generation.objects.exists()
    assert balance(alice) == before


REFUSED = {
    "count": 2,
    "styles": ["ink"],
    "modalities": ["TEXT", "IMAGE"],
    "grounding": True,
    "thinking": "high",
    "include_thoughts": True,
    "references": ["0b0c9f3e-0000-4000-8000-000000000000"],
    "edit_of": "0b0c9f3e-0000-4000-8000-000000000000",
    "seed": 7,
    "aspect_ratio": "3:2",
    "image_size": "2K",
}


@pytest.mark.parametrize(("field", "value"), REFUSED.items(), ids=REFUSED)
def test_what_a_clip_cannot_have_is_refused_by_name(field, value):
    with pytest.raises(InvalidInput) as refusal:
        GenerationSpec.parse({"prompt": "a fox", "kind": "video", field: value}, default_image_size="1K")
    assert [error.field for error in refusal.value.errors] == [field]


def test_a_wish_that_cannot_be_met_says_what_can():
    with pytest.raises(InvalidInput) as refusal:
        GenerationSpec.parse({"prompt": "a fox", "kind": "video", "count": 3, "seed": 7}, default_image_size="1K")
    assert [error.message for error in refusal.value.errors] == [
        "count 3 is not possible for a video; allowed: 1.",
        "seed 7 is not possible for a video; allowed: null.",
    ]


def test_a_crash_behind_the_answer_pays_no_second_time(alice, served_by, monkeypatch):
    upstream = served_by("chat")
    upstream.answers(answer_of(MP4))
    spec = GenerationSpec.parse({"prompt": "a fox", "kind": "video"}, default_image_size="1K")
    generation = services.submit(user=alice, spec=spec, source="rest").generation

    class Killed(BaseException):
        pass

    def die(**_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(reading.gallery, "keep_clip", die)
        with pytest.raises(Killed):
            run_generation.run(generation.pk)
    Generation.objects.update(lease_owner="", lease_expires_at=None, status=Status.QUEUED)
    run_generation.run(generation.pk)
    generation.refresh_from_db()
    assert generation.status == Status.SUCCEEDED
    assert len(upstream.requests) == 1
    assert balance(alice)[1:] == (0, PRICE)
    assert storage.path_to(generation.outputs.get().image.blob.storage_name).read_bytes() == MP4
    assert audit() == []


def test_the_body_of_a_clip_says_how_long_it_is(made, reader):
    image = made(MP4)
    body = reader.get(f"/api/v1/images/{image.public_id}").json()
    assert (body["kind"], body["mime_type"], body["duration_ms"]) == ("video", "video/mp4", 2000)
    assert (body["width"], body["height"], body["byte_size"]) == (128, 72, len(MP4))
    assert body["sha256"] == hashlib.sha256(MP4).hexdigest()
    assert [each["id"] for each in reader.get("/api/v1/images?kind=video").json()["results"]] == [body["id"]]
    [generation] = reader.get("/api/v1/generations?kind=video").json()["results"]
    assert generation["images"] == [body]
    assert generation["cost"]["charged"] == "0.300000"


@pytest.mark.parametrize(
    ("data", "claimed", "extension"), [(MP4, "video/mp4", "mp4"), (GIF, "image/gif", "gif")], ids=["MP4", "GIF"]
)
def test_a_clip_can_be_sought_in_and_saved(data, claimed, extension, made, reader):
    image = made(data, claimed)
    address = f"/api/v1/images/{image.public_id}/file"
    whole = reader.get(address)
    assert (whole.status_code, whole["Content-Type"], whole["Accept-Ranges"]) == (200, claimed, "bytes")
    assert body_of(whole) == data
    part = reader.get(address, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part["Content-Range"]) == (206, f"bytes 100-199/{len(data)}")
    assert body_of(part) == data[100:200]
    saved = reader.get(f"{address}?download=1")
    assert saved["Content-Disposition"] == f'attachment; filename="plantain-{image.public_id.hex[:8]}.{extension}"'
    saved.close()


@pytest.mark.parametrize(
    ("query", "mime_type", "name", "size"),
    [
        ("variant=320", "image/webp", "-320.webp", (128, 72)),
        ("variant=640", "image/webp", "-640.webp", (128, 72)),
        ("format=png", "image/png", ".png", (128, 72)),
        ("format=jpeg", "image/jpeg", ".jpg", (128, 72)),
        ("format=webp", "image/webp", ".webp", (128, 72)),
    ],
)
def test_sizes_and_formats_of_a_clip_are_those_of_its_poster(query, mime_type, name, size, made, reader, tmp_path):
    image = made(MP4)
    answer = reader.get(f"/api/v1/images/{image.public_id}/file?{query}&download=1")
    assert (answer.status_code, answer["Content-Type"]) == (200, mime_type)
    assert answer["Content-Disposition"].endswith(f'plantain-{image.public_id.hex[:8]}{name}"')
    path = tmp_path / "copy"
    path.write_bytes(body_of(answer))
    facts = verifier.run(verify_image, path)
    assert ((facts.width, facts.height), facts.mime_type) == (size, mime_type)


def test_small_copies_are_made_ahead_of_the_first_request(made):
    image = made(MP4)
    make_renditions.run(image.blob_id)
    poster = image.blob.poster
    assert sorted(poster.renditions.values_list("variant", "format")) == [("320", "webp"), ("640", "webp")]
    assert not image.blob.renditions.exists()


def test_two_wishes_with_the_same_clip_share_its_bytes(served_by, make, alice):
    served_by("chat").answers(answer_of(MP4))
    make(kind="video")
    make(kind="video", prompt="another fox")
    assert Image.objects.count() == 2
    assert Blob.objects.count() == 2  # the clip and its poster
    assert balance(alice)[1:] == (0, 2 * PRICE)


def test_somebody_elses_clip_is_not_there(made, bob):
    image = made(MP4)
    stranger = Client()
    stranger.force_login(bob)
    assert stranger.get(f"/api/v1/images/{image.public_id}/file").status_code == 404


def test_the_price_list_names_clips(reader):
    default = reader.get("/api/v1/models").json()["results"][0]
    assert default["kinds"] == ["image", "video"]
    assert [price for price in default["prices"] if price["unit"] == "video"] == [
        {
            "unit": "video",
            "size": "720p",
            "amount": "0.300000",
            "amount_micros": 300_000,
            "comparison": None,
            "is_placeholder": True,
        }
    ]


def test_verifyblobs_finds_clips_and_posters_whole(made, capsys):
    image = made(MP4)
    call_command("verifyblobs")
    assert "2 originals checked: 0 missing, 0 corrupt, 0 orphaned." in capsys.readouterr().out
    storage.path_to(image.blob.storage_name).write_bytes(b"other")
    with pytest.raises(CommandError, match="missing or corrupt"):
        call_command("verifyblobs")


def test_a_stored_wish_for_a_clip_reads_back():
    spec = GenerationSpec.parse({"prompt": "a fox", "kind": "video"}, default_image_size="1K")
    assert GenerationSpec.from_canonical(spec.canonical()) == spec
    assert replace(spec, kind="image").fingerprint != spec.fingerprint
