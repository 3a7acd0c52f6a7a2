"""The studio's page for wishes with several pictures, a search, thoughts and pictures that are brought along."""

import io
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from PIL import Image as PillowImage

from accounts.models import Transfer
from gallery import storage
from gallery.models import Image
from generations.models import Attempt, Evidence, Generation
from generations.spec import GenerationSpec
from tests.generations.fakes import picture, png, reply
from tests.generations.test_run_card import HX

pytestmark = pytest.mark.django_db(transaction=True)

STUDIO = "/studio/"
FLASH, PRO = "gemini-3.1-flash-image-preview", "gemini-3-pro-image-preview"
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>"""


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def made(upstream, submit, work):
    """Somebody's wish, worked on."""

    def make(user, **fields):
        wish = GenerationSpec.parse({"prompt": "a fox", **fields}, default_image_size="1K")
        return work(submit(user, wish=wish))

    return make


@pytest.fixture
def card_html(client):
    def fetch(generation):
        return re.sub(r"\s+", " ", client.get(f"/generations/{generation.public_id}/card/").content.decode())

    return fetch


def wish(**fields):
    return {"prompt": "a fox", "model": FLASH, "image_size": "1K", "modalities": "IMAGE"} | fields


def image_of(generation):
    return generation.outputs.filter(is_draft=False).first().image


def grounding(title="Foxes", uri="https://example.org/fox", rendered="<div>entry</div>"):
    return {
        "webSearchQueries": ["fox"],
        "groundingChunks": [{"web": {"uri": uri, "title": title, "domain": "example.org"}}],
        "searchEntryPoint": {"renderedContent": rendered},
    }


# --- The composer ----------------------------------------------------------------------------------


def test_the_new_fields_have_the_names_that_the_contract_gives_them(client):
    html = client.get(STUDIO).content.decode()
    for name in ("Images", "Thinking"):
        labelled = re.search(rf'<legend class="label" id="([a-z-]+)">{name}</legend>', html)[1]
        assert re.search(rf'<fieldset [^>]*role="radiogroup" aria-labelledby="{labelled}"', html)
    assert re.search(r'<input type="checkbox" role="switch" name="grounding" value="1" aria-label="Grounding"', html)


def test_a_form_with_everything_becomes_one_wish(client):
    sent = wish(count="2", styles=["ink", "", "x", ""], grounding="1", thinking="high", include_thoughts="1")
    assert client.post(STUDIO, sent).status_code == 302
    spec = GenerationSpec.from_canonical(Generation.objects.get().spec)
    assert (spec.count, spec.styles, spec.grounding) == (2, ("ink", ""), True)
    assert (spec.thinking, spec.include_thoughts) == ("high", True)
    assert Transfer.objects.holds().get().amount_micros == 116_000


def test_styles_without_a_word_are_none_and_off_says_nothing(client):
    client.post(STUDIO, wish(count="2", styles=["", " "], thinking="off", grounding=""))
    spec = GenerationSpec.from_canonical(Generation.objects.get().spec)
    assert (spec.styles, spec.thinking, spec.grounding) == ((), None, False)


def test_the_address_and_use_again_bring_them_back(client):
    client.post(STUDIO, wish(count="3", styles=[HOSTILE, "", "ink"], grounding="1", thinking="minimal"))
    made = Generation.objects.get()
    for address in (f"?again={made.public_id}", "?count=3&styles=%3Cscript%3E&styles=&styles=ink&grounding=1"):
        html = client.get(STUDIO + address).content.decode()
        assert 'name="count" value="3" checked' in html
        assert 'name="styles" value="ink"' in html
        assert re.search(r'name="grounding" value="1"[^>]* checked', html)
        assert "<script>" not in html
    assert 'name="thinking" value="minimal" checked' in client.get(f"{STUDIO}?again={made.public_id}").content.decode()


def test_the_price_of_several_is_told_before_the_click(client):
    html = client.get(f"{STUDIO}?count=2").content.decode()
    assert '<b id="price">$0.116</b> <span class="each" id="each">2 &times; $0.058</span>' in html


def test_a_model_that_always_thinks_offers_no_thinking(client):
    html = client.get(f"{STUDIO}?model={PRO}").content.decode()
    assert re.search(r'<fieldset class="field" id="thinking"[^>]* hidden disabled>', html)
    assert client.post(STUDIO, wish(model=PRO, thinking="off")).status_code == 302


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"count": "5"}, "count"),
        ({"count": "2", "styles": ["x" * 201, "y"]}, "styles"),
        ({"model": PRO, "thinking": "high"}, "thinking"),
        ({"references": [str(uuid4())]}, "references"),
        ({"references": ["nonsense"]}, "references"),
        ({"edit_of": str(uuid4())}, "edit_of"),
    ],
)
def test_a_refusal_stands_beside_its_field_and_nothing_is_held(client, fields, name):
    answer = client.post(STUDIO, wish(**fields), headers=HX)
    assert answer.status_code == 400
    html = answer.content.decode()
    told = re.search(rf'id="error-{name}" hx-swap-oob="true" role="alert">(.*?)</p>', html, re.DOTALL)[1]
    assert "You were not charged." in told
    assert re.search(rf'id="error-{name}" role="alert">', client.post(STUDIO, wish(**fields)).content.decode())
    assert not Generation.objects.exists()
    assert not Transfer.objects.holds().exists()


# --- The card --------------------------------------------------------------------------------------


def test_a_running_job_shows_a_tile_for_each_picture_and_what_is_ready(alice, submit, card_html):
    generation = submit(alice, wish=GenerationSpec.parse({"prompt": "a fox", "count": 3}, default_image_size="1K"))
    now = timezone.now()
    Generation.objects.filter(pk=generation.pk).update(
        status="running", stage="painting", lease_owner="x", lease_expires_at=now + timedelta(60), started_at=now
    )
    for slot, pictures in enumerate([[{"is_draft": False}], [{"is_draft": True}], []]):
        outcome = "ok" if slot == 0 else "sent"
        Attempt.objects.create(
            generation=generation, run=1, number=slot + 1, slot=slot, fence=1, upstream="wisgate", upstream_model="m",
            outcome=outcome, pictures=pictures,
        )  # fmt: skip
    html = card_html(generation)
    assert html.count('class="wet') == 3
    assert "Image 1 is ready" in html
    assert "Painting image 2" in html
    assert "Painting image 3" in html
    assert "1 of 3 is ready." in html


def test_several_pictures_stand_in_a_grid_each_with_its_caption(alice, upstream, made, card_html):
    colours = ("red", "green", "blue", "gold")
    upstream.says(*[reply({"text": f"{colour} {HOSTILE}"}, picture(png(colour))) for colour in colours])
    html = card_html(made(alice, count=4, modalities=["TEXT", "IMAGE"]))
    assert html.count('<figure class="shot"') == 4
    assert 'style="--cols:2"' in html
    assert html.count('<p class="run-caption"') == 4
    assert "<script>" not in html
    assert html.count("Shape and size as asked") <= 1


def test_what_is_missing_is_told_with_its_reason_and_its_price(alice, upstream, made, card_html):
    upstream.says(
        reply(picture(png("red"))), reply(picture(png("blue"))), {"promptFeedback": {"blockReason": "SAFETY"}}
    )
    generation = made(alice, count=3)
    html = card_html(generation)
    missing = ({0, 1, 2} - set(generation.outputs.values_list("attempt__slot", flat=True))).pop()
    assert f"2 of 3 arrived; the {('first', 'second', 'third')[missing]} was not charged." in html
    assert "The provider declined this prompt." in html
    assert "$0.116" in html


def test_thoughts_and_drafts_are_folded_and_are_text(alice, upstream, made, card_html):
    upstream.says(reply({"text": HOSTILE, "thought": True}, picture(png("grey"), thought=True), picture(png("red"))))
    html = card_html(made(alice, include_thoughts=True))
    assert '<details class="background"><summary data-control="thoughts">Thoughts</summary>' in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>" not in html
    assert html.count('alt="Draft 1"') == 1
    assert html.count('<figure class="shot"') == 1
    assert "Thoughts" not in card_html(made(alice))


def test_sources_are_links_that_give_nothing_away(alice, upstream, made, card_html):
    upstream.says(reply(picture(), groundingMetadata=grounding(title=HOSTILE)))
    html = card_html(made(alice, grounding=True))
    link = '<a href="https://example.org/fox" target="_blank" rel="noopener noreferrer nofollow" dir="auto">'
    assert link in html
    assert "<script>" not in html


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "//example.org", "file:///etc/passwd", "x"])
def test_an_address_that_is_none_of_the_web_is_no_link(alice, made, card_html, uri):
    generation = made(alice)
    sources = [{"uri": uri, "title": "t", "domain": "d"}]
    Evidence.objects.create(attempt=generation.attempts.get(), queries=["q"], sources=sources)
    html = card_html(generation)
    assert uri not in re.findall(r'href="([^"]*)"', html)
    assert "<iframe" not in html


# --- The search entry ------------------------------------------------------------------------------


def test_the_search_entry_comes_unmodified_in_a_sandbox_of_its_own(alice, upstream, made, client, card_html):
    rendered = '<style>a{color:red}</style><script>alert(1)</script><a href="https://example.org">fox</a>'
    upstream.says(reply(picture(), groundingMetadata=grounding(rendered=rendered)))
    generation = made(alice, grounding=True)
    address = f"/generations/{generation.public_id}/search/{generation.attempts.get().number}/"
    html = card_html(generation)
    assert f'<iframe class="search-entry" src="{address}" sandbox="allow-popups allow-popups-to-escape-sandbox"' in html
    answer = client.get(address)
    assert answer.content.decode() == rendered
    assert answer["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
        "sandbox allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'"
    )
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert answer["Cache-Control"] == "no-store"


def test_the_search_entry_is_its_owners_alone(alice, bob, upstream, made, client, stranger):
    upstream.says(reply(picture(), groundingMetadata=grounding()))
    generation = made(bob, grounding=True)
    address = f"/generations/{generation.public_id}/search/1/"
    assert client.get(address).status_code == 404
    assert stranger.get(address).status_code == 302
    assert client.post(address).status_code == 405
    mine = made(alice)
    Evidence.objects.filter(attempt=mine.attempts.get()).update(rendered_content="")
    assert client.get(f"/generations/{mine.public_id}/search/1/").status_code == 404
    assert client.get(f"/generations/{mine.public_id}/search/7/").status_code == 404


# --- Pictures that are brought along ---------------------------------------------------------------


def test_pictures_are_chosen_by_address_and_go_out_with_the_wish(alice, bob, made, client):
    mine, other = image_of(made(alice)), image_of(made(bob))
    html = client.get(f"{STUDIO}?references={mine.public_id},{other.public_id},nonsense").content.decode()
    assert re.search(rf'name="references" value="{mine.public_id}" checked', html)
    assert f'value="{other.public_id}"' not in html
    client.post(STUDIO, wish(prompt="more", references=[str(mine.public_id)], edit_of=str(mine.public_id)))
    spec = Generation.objects.first().spec
    assert (spec["references"], spec["edit_of"]) == ([str(mine.public_id)], str(mine.public_id))


def test_an_edit_begins_with_the_settings_of_its_picture(alice, bob, made, client):
    mine = image_of(made(alice, aspect_ratio="16:9", image_size="2K"))
    html = client.get(f"{STUDIO}?edit_of={mine.public_id}").content.decode()
    assert re.search(rf'name="edit_of" value="{mine.public_id}" checked', html)
    assert 'name="aspect_ratio" value="16:9" checked' in html
    assert 'name="image_size" value="2K" checked' in html
    assert client.get(f"{STUDIO}?edit_of={image_of(made(bob)).public_id}").status_code == 404


def test_the_picker_offers_the_latest_pictures_of_mine(alice, bob, made, client, stranger):
    upload = Image.objects.create(owner=alice, blob=image_of(made(bob)).blob, kind="upload")
    mine = image_of(made(alice))
    for headers in ({}, HX):
        html = client.get("/studio/references/", headers=headers).content.decode()
        assert re.findall(r'name="references" value="([^"]+)"', html) == [str(mine.public_id)]
        assert str(upload.public_id) not in html
    assert stranger.get("/studio/references/").status_code == 302


def photograph():
    exif = PillowImage.Exif()
    exif[0x010F] = "CANARY maker"
    buffer = io.BytesIO()
    PillowImage.new("RGB", (40, 20), "teal").save(buffer, "JPEG", exif=exif)
    return SimpleUploadedFile("a.jpg", buffer.getvalue())


def test_an_upload_becomes_a_tile_without_its_metadata(alice, client):
    answer = client.post("/images/upload/", {"uploads": photograph()}, headers=HX)
    image = Image.objects.get()
    assert answer.status_code == 200
    assert f'name="references" value="{image.public_id}" checked' in answer.content.decode()
    assert (image.owner, image.kind) == (alice, "upload")
    with storage.open_stored(image.blob.storage_name) as file:
        assert b"CANARY" not in file.read()
    plain = client.post("/images/upload/", {"uploads": photograph()})
    assert plain["Location"] == f"/studio/?references={Image.objects.first().public_id}"


def test_a_form_without_a_script_sends_files_and_wish_at_once(client):
    assert client.post(STUDIO, wish(uploads=photograph())).status_code == 302
    assert Generation.objects.get().spec["references"] == [str(Image.objects.get().public_id)]


def test_what_is_no_picture_is_refused_beside_its_field(client, stranger):
    bad = {"uploads": SimpleUploadedFile("a.png", b"<html>")}
    answer = client.post("/images/upload/", bad, headers=HX)
    assert answer.status_code == 422
    assert "Send one still picture as PNG, JPEG or WebP." in answer.content.decode()
    answer = client.post(STUDIO, wish(uploads=SimpleUploadedFile("a.png", b"<html>")), headers=HX)
    assert answer.status_code == 400
    assert re.search(r'id="error-references" hx-swap-oob="true" role="alert">', answer.content.decode())
    assert client.post("/images/upload/").status_code == 422
    assert stranger.post("/images/upload/", bad).status_code == 303
    assert not Image.objects.exists()
    assert not Generation.objects.exists()


def test_an_upload_needs_the_token_of_its_page(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/images/upload/", {"uploads": photograph()}).status_code == 403
    assert not Image.objects.exists()


def test_the_page_of_a_picture_tells_what_it_was_made_from(alice, made, client):
    first, second = image_of(made(alice)), image_of(made(alice))
    third = image_of(made(alice, edit_of=str(first.public_id), references=[str(second.public_id)]))
    html = client.get(f"/images/{third.public_id}/").content.decode()
    lineage = html[html.index('id="lineage-heading"') :]
    assert f'href="/images/{first.public_id}/"' in lineage
    assert "Worked on" in lineage
    assert f'href="/images/{second.public_id}/"' in lineage
    assert "Looked at" in lineage
    assert f'href="/studio/?edit_of={third.public_id}"' in html
    assert f'href="/studio/?references={third.public_id}"' in html
    assert 'id="lineage-heading"' not in client.get(f"/images/{first.public_id}/").content.decode()
