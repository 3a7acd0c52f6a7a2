"""Short videos on the pages: offered only at a price, played where they are shown, never by themselves."""

import html
import re

import pytest

from accounts import ledger
from accounts.errors import PriceUnknown
from accounts.models import Price
from generations.forms import Composer
from generations.models import Generation
from tests import people
from tests.gallery import clips
from tests.gallery.pictures import keep_clip

pytestmark = pytest.mark.django_db

MP4, GIF = clips.clip(frames=20), clips.gif(frames=20)


@pytest.fixture
def page(client, alice):
    """A page as alice sees it."""
    client.force_login(alice)

    def fetch(address):
        answer = client.get(address)
        assert answer.status_code == 200
        return " ".join(answer.content.decode().split())

    return fetch


@pytest.fixture
def keep(alice, tmp_path):
    """A clip in alice's library."""
    return lambda data: keep_clip(alice, tmp_path, data)


def without_clip_prices(guards_off):
    with guards_off():
        Price.objects.filter(unit="video").delete()


def tags(page, name, having=""):
    """The opening tags of one name that hold some text."""
    return [html.unescape(tag) for tag in re.findall(rf"<{name}\b[^>]*>", page) if having in tag]


def text_of(page, identity):
    """The text of the element with this id, which holds no other."""
    return re.search(rf'id="{identity}"[^>]*>([^<]*)<', page)[1]


def chosen(page, name):
    """The radios of a group that are checked."""
    return [re.search('value="([^"]*)"', tag)[1] for tag in tags(page, "input", f'name="{name}"') if " checked" in tag]


def test_the_studio_offers_short_videos_with_their_price(page):
    studio = page("/studio/?kind=video&aspect_ratio=3:2&count=3")
    assert len(tags(studio, "input", 'name="kind"')) == 2
    assert chosen(studio, "kind") == ["video"]
    assert (text_of(studio, "price"), text_of(studio, "each")) == ("$0.300", "")
    assert chosen(studio, "aspect_ratio") == ["1:1"]
    assert re.findall('class="price">([^<]*)<', studio) == ["$0.300 a video"] * 2
    for_clips = re.findall('<label class="ratio"><input type="radio" name="aspect_ratio" value="([^"]*)"', studio)
    assert for_clips == ["1:1", "9:16", "16:9"]


def test_a_picture_is_what_the_studio_asks_for_first(page):
    studio = page("/studio/")
    assert chosen(studio, "kind") == ["image"]
    assert text_of(studio, "price") == "$0.058"


@pytest.mark.django_db(transaction=True)
def test_without_a_price_no_short_video_is_offered(page, guards_off):
    without_clip_prices(guards_off)
    studio = page("/studio/")
    assert tags(studio, "input", 'name="kind"') == []
    assert text_of(studio, "price") == "$0.058"


@pytest.mark.django_db(transaction=True)
def test_without_a_price_a_wish_for_one_is_refused(client, alice, guards_off):
    without_clip_prices(guards_off)
    client.force_login(alice)
    answer = client.post("/studio/", {"prompt": "a fox", "kind": "video"})
    assert answer.status_code == PriceUnknown.status
    assert b"No price is set for gemini-3.1-flash-image-preview at 720p" in answer.content
    assert not Generation.objects.exists()


@pytest.fixture
def no_chat(settings):
    """One upstream that speaks the native protocol only, which carries no clip."""
    settings.EMULATOR, settings.WISDOM_GATE_KEYS = False, ["key"]
    settings.WISDOM_GATE_NATIVE_URL, settings.WISDOM_GATE_CHAT_URL = "https://native.example/v1beta", ""


def test_no_short_video_is_offered_where_no_address_carries_one(page, no_chat, client):
    assert tags(page("/studio/?kind=video"), "input", 'name="kind"') == []
    assert "$0.300" not in page("/models/")
    for model in client.get("/api/v1/models").json()["results"]:
        assert model["kinds"] == ["image"]
        assert {price["unit"] for price in model["prices"]} == {"image"}


def test_a_wish_for_one_is_refused_there_before_anything_is_held(no_chat, client, alice, alice_key):
    body = {"prompt": "a fox", "kind": "video"}
    answer = people.client_with(alice_key).post("/api/v1/generations", body, content_type="application/json")
    assert answer.status_code == 400
    message = 'kind "video" has no upstream on this server; allowed: "image".'
    assert answer.json()["errors"] == [{"field": "kind", "message": message}]
    assert not Generation.objects.exists()
    assert ledger.balance_of(alice).held == 0


def test_with_an_address_of_chat_alone_it_is_offered(page, no_chat, settings):
    settings.WISDOM_GATE_NATIVE_URL, settings.WISDOM_GATE_CHAT_URL = "", "https://chat.example/v1"
    assert len(tags(page("/studio/"), "input", 'name="kind"')) == 2


def test_the_form_asks_for_a_clip_alone_whatever_else_is_chosen(client, alice):
    client.force_login(alice)
    hidden = {"image_size": "4K", "count": "3", "grounding": "1", "thinking": "high", "modalities": "TEXT,IMAGE"}
    wish = {"prompt": "a fox", "kind": "video", "aspect_ratio": "9:16", **hidden}
    assert client.post("/studio/", wish).status_code == 302
    generation = Generation.objects.get()
    assert (generation.kind, generation.quoted_micros) == ("video", 300_000)
    assert generation.spec["image_size"] == "720p"
    assert (generation.spec["count"], generation.spec["aspect_ratio"]) == (1, "9:16")
    assert Composer.from_generation(generation).kind == "video"


def test_a_shape_that_no_clip_has_is_refused_by_name(client, alice):
    client.force_login(alice)
    answer = client.post("/studio/", {"prompt": "a fox", "kind": "video", "aspect_ratio": "3:2"})
    assert answer.status_code == 400
    assert b"allowed: 1:1, 16:9, 9:16." in answer.content


def test_the_page_of_an_mp4_plays_it_when_asked(page, keep):
    image = keep(MP4)
    [video] = tags(page(f"/images/{image.public_id}/"), "video")
    address = f"/api/v1/images/{image.public_id}/file"
    assert f' src="{address}" poster="{address}?variant=1280" controls muted playsinline preload="none" ' in video
    assert ' width="64" height="64" ' in video
    assert "autoplay" not in video


def test_the_prompt_of_a_clip_is_text(page, keep):
    shown = page(f"/images/{keep(MP4).public_id}/")
    assert 'aria-label="Short video: a red &lt;ball&gt;"' in shown
    assert "<ball>" not in shown


def test_the_page_of_a_gif_shows_its_poster_until_it_is_played(page, keep):
    image = keep(GIF)
    shown = page(f"/images/{image.public_id}/")
    address = f"/api/v1/images/{image.public_id}/file"
    assert tags(shown, "video") == []
    assert len(tags(shown, "img", f'src="{address}?variant=1280"')) == 1
    assert tags(shown, "img", f'src="{address}"') == []
    [button] = tags(shown, "button", "clip-play")
    assert f'data-clip="{address}" aria-pressed="false" aria-label="Play: a red ' in button


@pytest.mark.parametrize(("data", "file_type"), [(MP4, "MP4"), (GIF, "GIF")], ids=["MP4", "GIF"])
def test_the_page_says_what_came_and_offers_it_for_saving(data, file_type, page, keep):
    shown = page(f"/images/{keep(data).public_id}/")
    assert "<td>720p</td>" in shown
    assert "Differs: </span>64 × 64</td>" in shown
    assert '<th scope="row">Length</th><td>2 s</td><td>2.0 s</td>' in shown
    assert f"<td>Any</td><td>{file_type}, " in shown
    menu = shown[shown.index('id="save"') : shown.index('class="stage-pic"')]
    labels = re.findall("</svg>([^<]*) <small>", menu)
    assert labels == ["Original, as it came", *(f"Still picture, {name}" for name in ("PNG", "JPEG", "WebP"))]
    assert "data-full" not in shown


@pytest.mark.parametrize(("data", "is_film"), [(MP4, True), (GIF, False)], ids=["MP4", "GIF"])
def test_a_tile_of_the_library_can_be_played(data, is_film, page, keep):
    image = keep(data)
    library = page("/library/")
    address = f"/api/v1/images/{image.public_id}/file"
    assert len(tags(library, "img", f'src="{address}?variant=320"')) == 1
    [button] = tags(library, "button", "clip-play")
    assert f'data-clip="{address}"' in button
    assert ("data-film" in button) is is_film
    assert "2.0 s</button>" in library


def test_models_and_prices_name_short_videos(page):
    assert page("/models/").count("Short video, 720p") == 2
