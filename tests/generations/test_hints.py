"""Hints in the studio: what a rule marks while one types, and personal data that is masked or sent on purpose."""

import html
import json
import re

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import Usage
from generations.models import Generation
from generations.views import hints

pytestmark = pytest.mark.django_db(transaction=True)

HINTS = "/studio/hints/"
STUDIO = "/studio/"
PERSONAL = "A card for a.person@example.com"


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def browser(alice):
    client = Client()
    client.force_login(alice)
    return client


def wish(prompt, **fields):
    return {"prompt": prompt, "aspect_ratio": "1:1", "image_size": "1K", "modalities": "IMAGE", "count": "1", **fields}


def seen_in(page):
    return re.search(r'name="seen" value="([0-9a-f]{32})"', page)[1]


# --- While one types ------------------------------------------------------------------------------


def test_nothing_is_said_of_an_ordinary_prompt(browser):
    assert browser.post(HINTS, wish("a fox in the snow")).content.decode().strip() == ""


def test_a_phrase_is_told_with_its_category(browser):
    said = browser.post(HINTS, wish("A NUDE, and nudify <b>")).content.decode()
    assert "<mark>NUDE</mark> <b>Sexual content</b>: made, and looked at before others may see it." in said
    assert "<mark>nudify</mark> <b>Real person</b>: this is not made here." in said
    assert said.index("nudify") < said.index("NUDE")
    assert "Mask" not in said


def test_personal_data_comes_with_the_words_that_mask_it(browser):
    said = browser.post(HINTS, wish(PERSONAL, count="2", styles=["call 0171 2345678", ""])).content.decode()
    assert "<mark>a.person@example.com</mark> <b>Email address</b>: the provider would read it." in said
    masked = json.loads(html.unescape(re.search(r'data-mask="([^"]+)"', said)[1]))
    assert masked == {"prompt": "A card for [email]", "styles": ["call [phone number]", "", "", ""]}


def test_what_is_typed_is_shown_as_text(browser):
    said = browser.post(HINTS, wish("""write to x"><script>@example.com or "a'b"@x.example.com""")).content.decode()
    assert "<script>" not in said


def test_asking_stores_nothing_and_costs_no_request(browser, alice, django_assert_num_queries):
    browser.post(HINTS, wish("a fox"))
    with django_assert_num_queries(3):  # session, person, edition of the rules
        browser.post(HINTS, wish("a fox"))
    assert not Usage.objects.exists()
    assert not Generation.objects.exists()


def test_only_somebody_signed_in_asks_and_by_post_with_a_token(browser, stranger, alice):
    assert stranger.post(HINTS, wish("a fox")).status_code in (302, 303)
    assert browser.get(HINTS).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(HINTS, wish("a fox")).status_code == 403


def test_nobody_asks_without_end(browser, bob, monkeypatch):
    monkeypatch.setattr(hints, "PER_MINUTE", 2)
    monkeypatch.setattr(hints.time, "time", lambda: 6000.0)
    assert [browser.post(HINTS, wish("a fox")).status_code for _ in range(3)] == [200, 200, 429]
    refused = browser.post(HINTS, wish("a fox"))
    assert refused["Retry-After"] == "60"
    other = Client()
    other.force_login(bob)
    assert other.post(HINTS, wish("a fox")).status_code == 200


# --- When the form is sent ------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_personal_data_is_asked_about_once_and_nothing_is_held(headers, browser, alice, money):
    before = money(alice)
    answer = browser.post(STUDIO, wish(PERSONAL), headers=headers)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "There is personal data in the prompt" in page
    assert "Mask and generate</button>" in page
    assert not Generation.objects.exists()
    assert money(alice) == before
    again = browser.post(STUDIO, wish(PERSONAL, seen=seen_in(page)), headers=headers)
    assert again.status_code in (200, 302)
    assert Generation.objects.get().prompt == PERSONAL


def test_mask_and_generate_makes_it_without_the_data(browser):
    page = browser.post(STUDIO, wish(PERSONAL)).content.decode()
    answer = browser.post(STUDIO, wish(PERSONAL, seen=seen_in(page), personal="mask"))
    assert answer.status_code == 302
    generation = Generation.objects.get()
    assert (generation.prompt, generation.rule_hits) == ("A card for [email]", [])
    assert "person" not in json.dumps(generation.spec)


def test_whoever_was_shown_the_hints_while_typing_is_not_asked_again(browser):
    said = browser.post(HINTS, wish(PERSONAL)).content.decode()
    assert browser.post(STUDIO, wish(PERSONAL, seen=seen_in(said))).status_code == 302
    assert Generation.objects.count() == 1


def test_hints_that_belong_to_other_words_are_no_answer(browser):
    said = browser.post(HINTS, wish(PERSONAL)).content.decode()
    assert browser.post(STUDIO, wish(f"{PERSONAL} or b@example.com", seen=seen_in(said))).status_code == 422
    assert not Generation.objects.exists()


def test_what_is_only_marked_is_made_without_a_question(browser):
    assert browser.post(STUDIO, wish("A nude in oil")).status_code == 302
    assert [hit["rule"] for hit in Generation.objects.get().rule_hits] == ["sexual_words"]


def test_the_prompt_is_described_by_its_hints(browser):
    page = browser.get(STUDIO).content.decode()
    assert re.search(r'<textarea id="prompt"[^>]* aria-describedby="prompt-note prompt-error hints"', page)
    assert f'<div class="hints" id="hints" role="status" data-url="{HINTS}">' in page
