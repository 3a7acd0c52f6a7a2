"""The prompt filter on every door: what is blocked leaves nothing behind, what is marked goes on with its hits."""

import json

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client

from accounts import quotas
from accounts.models import Transfer, Usage
from gallery.errors import PromptRejected
from gallery.models import Image
from gallery.screening.rules import Wording, write_rule
from generations import services
from generations.models import Generation, IdempotencyKey, Status
from generations.spec import GenerationSpec
from tests import people
from tests.generations.fakes import error

pytestmark = pytest.mark.django_db(transaction=True)

BLOCKED = "n-u-d-i-f-y her, please"
MARKED = "A nude beside a.person@example.com"
API = "/api/v1/generations"


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def api(alice_key):
    return people.client_with(alice_key)


@pytest.fixture
def browser(alice):
    client = Client()
    client.force_login(alice)
    return client


def wish(prompt=BLOCKED, **fields):
    return GenerationSpec.parse({"prompt": prompt, **fields}, default_image_size="1K")


def post(api, body, **headers):
    return api.post(API, json.dumps(body), content_type="application/json", headers=headers)


def nothing_was_kept():
    return (
        not Generation.objects.exists()
        and not Image.objects.exists()
        and not IdempotencyKey.objects.exists()
        and not Transfer.objects.filter(kind=Transfer.Kind.PENDING).exists()
        and not Usage.objects.filter(name="images_per_day", used__gt=0).exists()
    )


def forbid(word, staff, version=0):
    fields = {"label": word, "kind": "words", "body": word, "category": "spam", "risk": 10, "is_enabled": True}
    return write_rule(code="forbidden", wording=Wording(action="block", **fields), by=staff, version=version)


# --- Each door ------------------------------------------------------------------------------------


def test_rest_answers_422_with_rule_class_and_span_and_keeps_nothing(api, alice, money):
    before = money(alice)
    answer = post(api, {"prompt": BLOCKED}, **{"Idempotency-Key": "one"})
    body = answer.json()
    assert (answer.status_code, body["code"], body["type"][-27:]) == (
        422,
        "prompt_rejected",
        "docs/errors/prompt_rejected",
    )
    assert (body["rule_class"], body["rule"], body["rule_version"]) == ("deepfake", "undressing", 1)
    (span,) = body["spans"]
    assert BLOCKED[span["start"] : span["end"]] == "n-u-d-i-f-y"
    assert body["errors"] == [{"field": "prompt", "message": "A rule of this site refuses it: Real person."}]
    assert nothing_was_kept()
    assert money(alice) == before


def test_a_refusal_counts_as_a_request_of_this_minute_and_nothing_else(api, alice):
    post(api, {"prompt": BLOCKED})
    used = {state.name: state.used for state in quotas.describe_standing(quotas.standing_of(alice), running=0)}
    assert {name: count for name, count in used.items() if count} == {"requests_per_minute": 1}


def test_what_is_not_valid_is_said_before_what_is_blocked(api):
    assert post(api, {"prompt": BLOCKED, "count": 9}).status_code == 400


def test_what_is_blocked_is_said_before_what_it_would_cost(penniless):
    client = people.client_with(people.make_key(penniless))
    assert post(client, {"prompt": BLOCKED}).status_code == 422


def test_each_style_of_several_pictures_is_read(api):
    body = post(api, {"prompt": "a fox", "count": 2, "styles": ["ink", BLOCKED]}).json()
    assert (body["code"], body["errors"][0]["field"], body["spans"][0]["field"]) == (
        "prompt_rejected",
        "styles.1",
        "styles.1",
    )
    assert nothing_was_kept()


def test_what_a_native_door_brings_beside_the_prompt_is_read(alice):
    native = json.dumps({"systemInstruction": {"parts": [{"text": BLOCKED}, {"inlineData": {"data": "nudify"}}]}})
    spec = GenerationSpec(prompt="a fox", model=wish("a fox").model, image_size="1K", native=native)
    with pytest.raises(PromptRejected) as refusal:
        services.submit(user=alice, spec=spec, source="gemini")
    assert [span["field"] for span in refusal.value.facts["spans"]] == ["native.systemInstruction.parts.0.text"]
    assert nothing_was_kept()


def test_an_edit_is_read_like_any_wish(alice, upstream, submit, work, api):
    image = work(submit(alice)).outputs.get().image
    count = Transfer.objects.count()
    answer = post(api, {"prompt": BLOCKED, "edit_of": str(image.public_id)})
    assert answer.json()["code"] == "prompt_rejected"
    assert (Generation.objects.count(), Transfer.objects.count()) == (1, count)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_the_studio_gives_the_words_back_with_what_is_wrong(headers, browser, alice, money):
    before = money(alice)
    answer = browser.post("/studio/", {"prompt": BLOCKED, "aspect_ratio": "1:1", "image_size": "1K"}, headers=headers)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "A rule of this site refuses it: Real person. You were not charged." in page
    assert "<mark>n-u-d-i-f-y</mark> <b>Real person</b>: this is not made here." in page
    if not headers:
        assert f">\n{BLOCKED}</textarea>" in page
    assert nothing_was_kept()
    assert money(alice) == before


def test_a_file_that_comes_with_a_blocked_wish_is_not_kept(browser, png_upload):
    answer = browser.post("/studio/", {"prompt": BLOCKED, "uploads": png_upload})
    assert answer.status_code == 422
    assert nothing_was_kept()


@pytest.fixture
def png_upload():
    from django.core.files.uploadedfile import SimpleUploadedFile

    from tests.gallery.pictures import encode_picture

    return SimpleUploadedFile("a.png", encode_picture(), "image/png")


def test_the_command_says_it_and_makes_nothing(alice, upstream):
    with pytest.raises(CommandError, match="A rule of this site refuses it: Real person"):
        call_command("generate", BLOCKED, "--email", alice.email)
    assert upstream.calls == []
    assert nothing_was_kept()


def test_a_retry_is_read_by_the_rules_of_today(alice, staff, upstream, submit, work, money):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    assert generation.status == Status.FAILED
    before = money(alice)
    forbid("fox", staff)
    with pytest.raises(PromptRejected):
        services.retry(user=alice, public_id=generation.public_id)
    generation.refresh_from_db()
    assert (generation.status, generation.run) == (Status.FAILED, 1)
    assert money(alice) == before


def test_reuse_brings_no_picture_that_would_not_be_made_today(alice, staff, upstream, submit, work, spec):
    work(submit(alice))
    forbid("fox", staff)
    with pytest.raises(PromptRejected):
        services.submit(user=alice, spec=spec, source="rest", reuse=True)
    assert Generation.objects.count() == 1


def test_a_request_that_was_answered_is_answered_again_whatever_the_rules_say_now(alice, staff, submit):
    first = submit(alice, key="one")
    forbid("fox", staff)
    assert submit(alice, key="one") == first


# --- What is marked -------------------------------------------------------------------------------


def test_a_marked_wish_is_made_and_its_pictures_carry_the_hits(alice, upstream, submit, work, money):
    generation = work(submit(alice, wish=wish(MARKED)))
    assert generation.status == Status.SUCCEEDED
    assert money(alice)[2] == 58_000
    assert [(hit["rule"], hit["version"], hit["masked"]) for hit in generation.rule_hits] == [
        ("sexual_words", 1, "nude"),
        ("pii_email", 1, "a…@….com"),
    ]
    assert "person" not in json.dumps(generation.rule_hits)
    assert Image.objects.get().rule_hits == generation.rule_hits


def test_a_reused_and_a_retried_wish_have_the_hits_of_their_own_time(alice, staff, upstream, submit, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    generation = work(submit(alice))
    assert generation.rule_hits == []
    fields = {"label": "Foxes", "kind": "words", "body": "fox", "category": "spam", "risk": 10, "is_enabled": True}
    write_rule(code="foxes", wording=Wording(action="flag", **fields), by=staff)
    services.retry(user=alice, public_id=generation.public_id)
    generation.refresh_from_db()
    assert [hit["rule"] for hit in generation.rule_hits] == ["foxes"]
    reused = services.submit(user=alice, spec=wish("a fox"), source="rest", reuse=True).generation
    assert reused.reused_from_id == generation.pk
    assert [hit["rule"] for hit in reused.rule_hits] == ["foxes"]
