"""GET and POST /studio/: what fills the form, what a wish costs, what is refused and what is kept."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import ledger, quotas
from accounts.models import Price, Transfer
from generations import catalog
from generations.models import Generation
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

STUDIO = "/studio/"
HX = {"HX-Request": "true"}
PRO = "gemini-3-pro-image-preview"
FLASH = "gemini-3.1-flash-image-preview"
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>"""


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


def wish(**fields):
    return {
        "prompt": "a fox",
        "model": FLASH,
        "aspect_ratio": "1:1",
        "image_size": "1K",
        "modalities": "IMAGE",
    } | fields


def chosen(page, name):
    """The value of the radio that is checked."""
    found = re.findall(rf'name="{name}" value="([^"]+)" checked', page.content.decode())
    assert len(found) == 1, found
    return found[0]


def typed(page):
    return re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page.content.decode(), re.DOTALL)[1]


def token_of(page):
    return re.search(r'id="token" value="([0-9a-f]{32})"', page.content.decode())[1]


def articles(page):
    return re.findall(r'<article class="run" id="run-([0-9a-f-]+)"', page.content.decode())


def nothing_was_held():
    return not Generation.objects.exists() and not Transfer.objects.holds().exists()


# --- What the page shows -------------------------------------------------------------------------


def test_the_fields_have_the_names_that_the_contract_gives_them(client):
    html = client.get(STUDIO).content.decode()
    assert '<label class="visually-hidden" for="prompt">Prompt</label>' in html
    for name in ("Model", "Aspect ratio", "Size"):
        labelled = re.search(rf'<legend class="label" id="([a-z-]+)">{name}</legend>', html)[1]
        assert f'<fieldset class="field" role="radiogroup" aria-labelledby="{labelled}">' in html
    assert '<fieldset class="field" role="group" aria-labelledby="legend-output">' in html
    assert '<section class="feed" aria-label="Results" aria-live="polite"' in html
    assert '<section class="history" aria-label="History">' in html


def test_a_first_visit_offers_prompts_and_the_operators_default_size(client, settings):
    settings.DEFAULT_IMAGE_SIZE = "2K"
    page = client.get(STUDIO)
    assert "Your first picture starts with a sentence" in page.content.decode()
    assert '<a class="chip" href="?prompt=Lemons+on+stoneware%2C+north+window+light">' in page.content.decode()
    assert (chosen(page, "model"), chosen(page, "aspect_ratio"), chosen(page, "image_size")) == (FLASH, "1:1", "2K")


def test_the_price_and_the_balance_are_told_before_the_click(client):
    html = client.get(f"{STUDIO}?model={PRO}&image_size=4K").content.decode()
    assert '<b id="price">$0.240</b>' in html
    assert "$1.00 available" in html
    Price.objects.create(
        model=PRO, size="4K", amount_micros=1_500_000, cost_micros=1, valid_from=timezone.now(), unit="image"
    )
    html = client.get(f"{STUDIO}?model={PRO}&image_size=4K").content.decode()
    assert '<p class="short">This needs $1.500, and $1.00 is available.</p>' in html


def test_the_address_fills_the_form(client):
    page = client.get(f"{STUDIO}?prompt=a+blue+fox&model=nano-banana-pro&aspect_ratio=21:9&image_size=2K")
    assert typed(page) == "a blue fox"
    assert (chosen(page, "model"), chosen(page, "aspect_ratio"), chosen(page, "image_size")) == (PRO, "21:9", "2K")


def test_what_the_address_names_but_nobody_makes_becomes_the_default(client):
    page = client.get(f"{STUDIO}?model=nonsense&aspect_ratio=7:5&image_size=9K")
    assert (chosen(page, "model"), chosen(page, "aspect_ratio"), chosen(page, "image_size")) == (FLASH, "1:1", "1K")


def test_without_an_address_the_last_settings_stand_but_not_its_prompt(client):
    client.post(STUDIO, wish(model=PRO, aspect_ratio="16:9", image_size="2K", modalities="TEXT,IMAGE"))
    page = client.get(STUDIO)
    assert (chosen(page, "model"), chosen(page, "aspect_ratio"), chosen(page, "image_size")) == (PRO, "16:9", "2K")
    assert chosen(page, "modalities") == "TEXT,IMAGE"
    assert typed(page) == ""


def test_use_again_brings_every_parameter_back(client, submit, alice):
    client.post(STUDIO, wish(prompt="first\nline", aspect_ratio="8:1", image_size="4K", seed="7"))
    made = Generation.objects.get()
    assert made.spec["seed"] == 7
    client.post(STUDIO, wish(prompt="second"))
    page = client.get(f"{STUDIO}?again={made.public_id}")
    assert typed(page) == "first\nline"
    assert (chosen(page, "aspect_ratio"), chosen(page, "image_size"), chosen(page, "seed")) == ("8:1", "4K", "7")


def test_nobody_uses_another_persons_run_again(client, bob, submit):
    assert client.get(f"{STUDIO}?again={submit(bob).public_id}").status_code == 404
    assert client.get(f"{STUDIO}?again=nonsense").status_code == 404


def test_the_feed_goes_on_from_run_to_run(client, alice, submit):
    quotas.override_limits(user=alice, concurrent=100)
    made = [str(submit(alice).public_id) for _ in range(12)]
    first = client.get(STUDIO)
    assert articles(first) == made[::-1][:10]
    address = re.search(r'href="\?before=([0-9a-f-]+)"', first.content.decode())[1]
    second = client.get(f"{STUDIO}?before={address}")
    assert articles(second) == made[::-1][10:]
    assert client.get(f"{STUDIO}?before=nonsense").status_code == 404


@pytest.mark.parametrize("kind", ["ready and failed", "waiting"])
def test_a_full_page_takes_eight_queries(client, alice, upstream, submit, work, kind, django_assert_max_num_queries):
    quotas.override_limits(user=alice, concurrent=100)
    ledger.grant(user=alice, amount_micros=10_000_000, reason="test", key="more")
    if kind == "waiting":
        for _ in range(12):
            submit(alice)
    else:
        upstream.says(
            *[reply(picture(png(colour))) for colour in ("teal", "tan", "navy")], error(400, "INVALID_ARGUMENT")
        )
        for _ in range(12):
            work(submit(alice))
    # With everything on sale that can be.
    for model in (model for model in catalog.MODELS.values() if model.is_optional):
        for size in model.sizes:
            Price.objects.create(
                model=model.id, size=size, amount_micros=70_000, cost_micros=0, valid_from=timezone.now()
            )
    client.get(STUDIO)  # the latency of a size is measured once in a while
    with django_assert_max_num_queries(8):
        page = client.get(STUDIO)
    assert len(articles(page)) == 10
    assert "Flux 2 Pro" in page.content.decode()
    assert len(page.content) <= 50 * 1024


# --- A wish ---------------------------------------------------------------------------------------


def test_a_wish_without_scripts_is_queued_and_stands_on_top(client, alice, money):
    answer = client.post(STUDIO, wish(aspect_ratio="3:2", image_size="2K", modalities="TEXT,IMAGE"))
    assert (answer.status_code, answer["Location"]) == (302, STUDIO)
    made = Generation.objects.get()
    assert (made.user, made.source, made.status, made.prompt) == (alice, "web", "queued", "a fox")
    assert (made.spec["aspect_ratio"], made.spec["image_size"]) == ("3:2", "2K")
    assert made.spec["modalities"] == ["TEXT", "IMAGE"]
    assert money(alice) == (942_000, 58_000, 0)
    assert articles(client.get(STUDIO)) == [str(made.public_id)]


def test_htmx_is_answered_with_the_card_the_balance_and_a_fresh_token(client):
    token = token_of(client.get(STUDIO))
    answer = client.post(STUDIO, wish(token=token), headers=HX)
    html = answer.content.decode()
    assert answer.status_code == 200
    assert articles(answer) == [str(Generation.objects.get().public_id)]
    assert token_of(answer) != token
    assert "$0.942 available <em>&middot; $0.058 held</em>" in html
    assert "<html" not in html


@pytest.mark.parametrize("headers", [{}, HX], ids=["plain", "htmx"])
def test_the_same_form_sent_twice_is_one_job(client, alice, money, headers):
    token = token_of(client.get(STUDIO))
    for _ in range(3):
        client.post(STUDIO, wish(token=token), headers=headers)
    assert Generation.objects.count() == 1
    assert money(alice)[1] == 58_000


def test_an_old_form_with_another_wish_makes_another_job(client):
    token = token_of(client.get(STUDIO))
    client.post(STUDIO, wish(token=token))
    client.post(STUDIO, wish(token=token, prompt="a hare"))
    assert sorted(Generation.objects.values_list("prompt", flat=True)) == ["a fox", "a hare"]


def test_two_tabs_with_the_same_wish_make_two_jobs(client):
    first, second = (token_of(client.get(STUDIO)) for _ in range(2))
    client.post(STUDIO, wish(token=first))
    client.post(STUDIO, wish(token=second))
    assert Generation.objects.count() == 2


def test_line_breaks_count_as_one_character(client):
    prompt = "\r\n".join(["x" * 39] * 100)  # 3,999 characters to people, 4,098 to a browser
    client.post(STUDIO, wish(prompt=prompt))
    assert len(Generation.objects.get().prompt) == 3_999


@pytest.mark.parametrize(
    "prompt", ["🍌" * 4000, "ردا على الشمس", "w" * 60], ids=["emoji", "right-to-left", "long word"]
)
def test_odd_texts_are_kept_as_they_are(client, prompt):
    assert client.post(STUDIO, wish(prompt=prompt)).status_code == 302
    assert Generation.objects.get().prompt == prompt


def test_a_hostile_prompt_is_text_everywhere(client, alice, upstream, work):
    client.post(STUDIO, wish(prompt=HOSTILE))
    for state in ("queued", "succeeded"):
        made = Generation.objects.get()
        assert made.status == state
        for path in (STUDIO, f"{STUDIO}?again={made.public_id}", "/generations/", f"/generations/{made.public_id}/"):
            html = client.get(path).content.decode()
            assert "<script>alert" not in html
            assert "<img src=x" not in html
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        work(made)


# --- What is refused -------------------------------------------------------------------------------

REFUSED = {
    "empty": ({"prompt": " "}, "Prompt is empty"),
    "too long": ({"prompt": "x" * 4001}, "Prompt has 4001 characters"),
    "a shape that Pro lacks": ({"model": PRO, "aspect_ratio": "8:1"}, "Aspect ratio &quot;8:1&quot; is not available"),
    "a size that Pro lacks": ({"model": PRO, "image_size": "0.5K"}, "Size &quot;0.5K&quot; is not available"),
    "an unknown model": ({"model": "gemini-4"}, "There is no model &quot;gemini-4&quot;"),
    "words only": ({"modalities": "TEXT"}, "Output [&quot;TEXT&quot;] is not available"),
    "a seed that is no number": ({"seed": "x"}, "Seed &quot;x&quot; is not valid"),
}


@pytest.mark.parametrize("headers", [{}, HX], ids=["plain", "htmx"])
@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_wish_is_refused_by_name_and_costs_nothing(client, fields, message, headers):
    answer = client.post(STUDIO, wish(**fields), headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 400
    assert message in html
    assert "You were not charged." in html
    assert nothing_was_held()
    if not headers:
        assert typed(answer).strip() == wish(**fields)["prompt"].strip()


@pytest.mark.parametrize("headers", [{}, HX], ids=["plain", "htmx"])
def test_an_account_without_money_is_told_so_and_keeps_its_words(penniless, headers):
    client = Client()
    client.force_login(penniless)
    assert "This needs $0.058, and $0.00 is available." in client.get(STUDIO).content.decode()
    token = token_of(client.get(STUDIO))
    answer = client.post(STUDIO, wish(prompt="unpaid", token=token), headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 402
    assert '<div class="callout callout-warn" role="alert">' in html
    assert "<b>This needs $0.058, and $0.00 is available.</b>" in html
    assert "Add credit, or wait for running work to finish" in html
    assert "You were not charged." in html
    assert nothing_was_held()
    assert token_of(answer) == token
    if not headers:
        assert typed(answer) == "unpaid"


def test_a_limit_is_told_with_the_time_after_which_to_come_again(client, alice):
    quotas.override_limits(user=alice, concurrent=1)
    client.post(STUDIO, wish())
    answer = client.post(STUDIO, wish(prompt="another"), headers=HX)
    assert (answer.status_code, answer["Retry-After"]) == (429, "5")
    assert "Wait for one of them to finish." in answer.content.decode()
    assert Generation.objects.count() == 1


def test_requests_a_minute_are_the_same_as_by_rest(client, alice):
    quotas.override_limits(user=alice, requests_per_minute=1)
    assert client.post(STUDIO, wish(), headers=HX).status_code == 200
    assert client.post(STUDIO, wish(prompt="another"), headers=HX).status_code == 429
    assert Generation.objects.count() == 1


def test_a_size_without_a_price_cannot_be_asked_for(client, guards_off):
    with guards_off():
        Price.objects.filter(model=FLASH, size="4K").delete()
    assert '<b id="price">No price</b>' in client.get(f"{STUDIO}?image_size=4K").content.decode()
    answer = client.post(STUDIO, wish(image_size="4K"), headers=HX)
    assert answer.status_code == 503
    assert "Choose another model or size, or ask the operator to set the price." in answer.content.decode()
    assert nothing_was_held()


def test_a_post_without_a_token_against_forgery_is_refused(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post(STUDIO, wish()).status_code == 403
    assert nothing_was_held()


# --- Without a session --------------------------------------------------------------------------------


def test_a_stranger_signs_in_and_finds_the_prompt_of_the_front_page(stranger):
    answer = stranger.get(f"{STUDIO}?prompt=a+fox&aspect_ratio=3:2")
    assert answer.status_code == 302
    target = urlsplit(answer["Location"])
    assert target.path == "/accounts/login/"
    assert parse_qs(target.query) == {"next": [f"{STUDIO}?prompt=a+fox&aspect_ratio=3:2"]}


@pytest.mark.parametrize("headers", [{}, HX], ids=["plain", "htmx"])
def test_what_was_typed_when_the_session_had_ended_is_there_after_signing_in(alice, stranger, headers):
    answer = stranger.post(STUDIO, wish(prompt="kept words", aspect_ratio="4:1"), headers=headers)
    assert answer.status_code == (401 if headers else 303)
    assert answer["HX-Redirect" if headers else "Location"] == f"/accounts/login/?next={STUDIO}"
    assert nothing_was_held()

    stranger.force_login(alice)
    page = stranger.get(STUDIO)
    assert typed(page) == "kept words"
    assert chosen(page, "aspect_ratio") == "4:1"
    assert typed(stranger.get(STUDIO)) == ""


def test_pages_of_a_person_are_not_kept_by_caches(client):
    assert "no-store" in client.get(STUDIO)["Cache-Control"]
    assert "private" in client.get(STUDIO)["Cache-Control"]
