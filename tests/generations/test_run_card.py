"""The card of a run in every state: what is said of its way, its picture, its trouble and its money."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from generations import cards, services
from generations.models import Attempt, Generation
from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

HX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def card_html(client):
    """The HTML of a generation's card, on one line."""

    def fetch(generation):
        answer = client.get(f"/generations/{generation.public_id}/card/")
        assert answer.status_code == 200
        return re.sub(r"\s+", " ", answer.content.decode())

    return fetch


@pytest.fixture
def painting(submit):
    """Somebody's job as it is while the upstream works on it."""

    def start(user, *, seconds=5, stage="painting"):
        generation = submit(user)
        now = timezone.now()
        Generation.objects.filter(pk=generation.pk).update(
            status="running",
            stage=stage,
            version=3,
            lease_owner="somebody",
            lease_expires_at=now + timedelta(seconds=60),
            queued_at=now - timedelta(seconds=seconds + 0.4),
            started_at=now - timedelta(seconds=seconds),
        )
        Attempt.objects.create(generation=generation, run=1, number=1, fence=1, upstream="wisgate", upstream_model="m")
        generation.refresh_from_db()
        return generation

    return start


def test_a_waiting_run_tells_its_place_what_is_held_and_can_be_cancelled(alice, bob, submit, card_html):
    submit(bob)
    html = card_html(submit(alice))
    assert "$0.058 held" in html
    assert "Place 2 in the queue, about 20 s left" in html
    assert ">A worker is about to take it.</p>" in html
    assert '<li aria-current="step"><span class="dot"></span>Waiting its turn</li>' in html
    assert 'data-status="queued"' in html
    assert "data-elapsed-ms" not in html
    assert ">Cancel</button>" in html


def test_a_run_that_is_painted_shows_its_way_and_how_far_it_is(alice, painting, card_html):
    html = card_html(painting(alice))
    assert "$0.058 held" in html
    assert "Queued 0.4 s" in html
    assert '</svg>Sent</li><li aria-current="step"><span class="dot"></span>Painting</li><li>Checking</li>' in html
    assert re.search(r'role="progressbar" aria-label="Painting: a fox"', html)
    assert re.search(r'aria-valuetext="5\.\d s of about 20\.0 s"', html)
    assert re.search(r'data-elapsed-ms="5\d\d\d" data-expected-ms="20000"', html)


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        ("starting", "Sending"),
        ("deciding", "Painting"),
        ("waiting_to_retry", "Waiting to try again"),
        ("recovering", "Picking up again"),
    ],
)
def test_each_stage_has_words(alice, painting, card_html, stage, word):
    assert f'<span class="dot"></span>{word}</li>' in card_html(painting(alice, stage=stage))


def test_a_run_that_is_asked_to_stop_says_what_follows(alice, painting, client, card_html):
    generation = painting(alice)
    answer = client.post(f"/generations/{generation.public_id}/cancel/", headers=HX)
    assert answer.status_code == 200
    for html in (answer.content.decode(), card_html(generation)):
        assert "Cancelling: no further attempt will be made." in html
        assert ">Cancel</button>" not in html


def test_a_cancelled_run_says_that_its_hold_is_released(alice, submit, card_html):
    generation = services.cancel(user=alice, public_id=submit(alice).public_id)
    html = card_html(generation)
    assert "Cancelled. The $0.058 hold is released. You were not charged." in html
    assert ">Try again</button>" in html


def test_a_finished_run_shows_the_picture_with_its_place_before_it_is_loaded(alice, upstream, submit, work, card_html):
    upstream.says(reply(picture(png("teal", (1024, 512)))))
    generation = work(submit(alice))
    image = generation.outputs.get().image
    html = card_html(generation)
    file = f"/api/v1/images/{image.public_id}/file"
    assert f'src="{file}?variant=640"' in html
    assert f'srcset="{file}?variant=320 320w, {file}?variant=640 640w, {file}?variant=1280 1024w"' in html
    assert 'width="1024" height="512"' in html
    assert f'style="background:{image.blob.dominant_colour}"' in html
    assert 'style="--ar:2.0"' in html
    assert f'href="{file}?download=1"' in html
    assert f'href="/images/{image.public_id}/"' in html
    assert f'href="/studio/?again={generation.public_id}"' in html
    assert "<span>$0.058</span>" in html
    assert "Another shape and size than asked" in html or "Another shape than asked" in html


def test_upright_copies_are_offered_by_their_true_width(alice, upstream, submit, work):
    upstream.says(reply(picture(png("teal", (384, 3072)))))
    work(submit(alice))
    (card,) = cards.make_cards(list(cards.runs_of(alice)))
    widths = [item.split()[1] for item in card.pictures[0].source_set.split(", ")]
    assert widths == ["40w", "80w", "160w"]
    assert card.pictures[0].ratio == 0.125


def test_a_small_picture_is_offered_once(alice, upstream, submit, work):
    work(submit(alice))
    (card,) = cards.make_cards(list(cards.runs_of(alice)))
    assert card.pictures[0].source_set == f"/api/v1/images/{card.pictures[0].id}/file?variant=320 16w"


def test_a_caption_stands_below_its_picture_as_text(alice, upstream, submit, work, card_html):
    upstream.says(reply({"text": "A <b>fox</b>"}, picture()))
    wish = GenerationSpec.parse({"prompt": "a fox", "modalities": ["TEXT", "IMAGE"]}, default_image_size="1K")
    html = card_html(work(submit(alice, wish=wish)))
    assert '<p class="run-caption" dir="auto">A &lt;b&gt;fox&lt;/b&gt;</p>' in html


def test_a_failed_run_says_what_happened_what_to_do_and_what_it_cost(alice, upstream, submit, work, card_html, money):
    before = money(alice)
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    html = card_html(generation)
    outcome = OUTCOMES["invalid"]
    assert f"<h3>{outcome.title}</h3>" in html
    assert outcome.message in html
    assert outcome.remedy in html
    assert "You were not charged. $0.058 is back in your balance." in html
    assert "1 attempt</summary>" in html
    assert "(invalid, HTTP 400, 7 ms, request upstream-1)" in html
    assert money(alice) == before


@pytest.mark.parametrize("name", [name for name, outcome in OUTCOMES.items() if not outcome.has_pictures])
def test_every_failure_has_a_title_and_never_says_it_twice(alice, submit, card_html, name):
    generation = services.cancel(user=alice, public_id=submit(alice).public_id)
    Generation.objects.filter(pk=generation.pk).update(status="failed", error_code=name)
    html = card_html(generation)
    title = OUTCOMES[name].title.replace("'", "&#x27;")
    assert f"<h3>{title}</h3>" in html
    assert f"<p>{title}." not in html
    assert "You were not charged." in html


def test_money_is_what_the_ledger_says_not_what_was_quoted(alice, upstream, submit, work, card_html):
    generation = work(submit(alice))
    Generation.objects.filter(pk=generation.pk).update(charged_micros=0, quoted_micros=1)
    assert "<span>$0.058</span>" in card_html(generation)


def test_trying_again_holds_anew_and_answers_with_the_waiting_card(alice, upstream, submit, work, client, money):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    answer = client.post(f"/generations/{generation.public_id}/retry/", headers=HX)
    assert answer.status_code == 200
    assert 'data-status="queued"' in answer.content.decode()
    assert 'id="balance" data-available="942000" hx-swap-oob="true"' in answer.content.decode()
    assert money(alice) == (942_000, 58_000, 0)


def test_what_cannot_be_done_is_said_on_the_card(alice, upstream, submit, work, client, money):
    generation = work(submit(alice))
    before = money(alice)
    answer = client.post(f"/generations/{generation.public_id}/cancel/", headers=HX)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "This generation has already succeeded." in html
    assert f'id="run-{generation.public_id}"' in html
    assert money(alice) == before


def test_trying_again_without_money_is_refused_on_the_card(rich_in_pictures, upstream, submit, work, money):
    user = rich_in_pictures(1)
    client = Client()
    client.force_login(user)
    upstream.says(error(400, "INVALID_ARGUMENT"))
    failed = work(submit(user))
    upstream.says(reply(picture()))
    work(submit(user))
    answer = client.post(f"/generations/{failed.public_id}/retry/", headers=HX)
    assert answer.status_code == 402
    assert "Add credit, or wait for running work to finish" in answer.content.decode()
    assert "You were not charged." in answer.content.decode()
    assert money(user) == (0, 0, 58_000)


def test_plain_forms_come_back_to_where_they_were(alice, submit, client):
    generation = submit(alice)
    address = f"/generations/{generation.public_id}/cancel/"
    assert client.post(address, {"next": "/studio/?before=1"})["Location"] == "/studio/?before=1"
    for foreign in ("", "https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"):
        assert client.post(address, {"next": foreign})["Location"] == f"/generations/{generation.public_id}/"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_nobody_acts_on_another_persons_run(alice, bob, submit, client, stranger, verb):
    generation = submit(bob)
    assert client.post(f"/generations/{generation.public_id}/{verb}/").status_code == 404
    assert client.post(f"/generations/{uuid4()}/{verb}/").status_code == 404
    assert client.get(f"/generations/{generation.public_id}/{verb}/").status_code == 405
    assert stranger.post(f"/generations/{generation.public_id}/{verb}/").status_code == 303
    assert stranger.post(f"/generations/{generation.public_id}/{verb}/", headers=HX).status_code == 401
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    assert strict.post(f"/generations/{generation.public_id}/{verb}/").status_code == 403
    generation.refresh_from_db()
    assert (generation.status, generation.version) == ("queued", 1)


def test_a_long_prompt_is_cut_on_the_card_and_whole_on_its_page(alice, submit, client, card_html):
    wish = GenerationSpec.parse({"prompt": "word " * 799 + "end"}, default_image_size="1K")
    generation = submit(alice, wish=wish)
    assert "end</a>" not in card_html(generation)
    assert "word…</a>" in card_html(generation)
    assert "word end</h2>" in client.get(f"/generations/{generation.public_id}/").content.decode()


def test_a_picture_in_the_trash_is_not_shown(alice, upstream, submit, work, card_html):
    generation = work(submit(alice))
    image = generation.outputs.get().image
    image.trashed_at = timezone.now()
    image.save()
    html = card_html(generation)
    assert "This picture is in the trash." in html
    assert "variant=640" not in html
