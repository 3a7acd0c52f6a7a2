"""WIRE 5 by every protocol, through the real pipeline, against a server that shares no code with the emulator:
exact numbers of calls, charges and holds."""

import json
from dataclasses import replace

import pytest
from django.utils import timezone

from accounts import ledger
from accounts.models import Price, Usage
from generations.audit import audit
from generations.models import Status
from generations.providers import current
from generations.spec import GenerationSpec
from tests.upstream import chat, images, native, trouble
from tests.upstream.fixtures import KEYS
from tests.upstream.pictures import png, png_bomb

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
CUT = png(64, 64)[:-60]


def balance(user):
    found = ledger.balance_of(user)
    return found.available, found.held, found.spent


def outcomes(generation):
    return list(generation.attempts.order_by("number").values_list("outcome", flat=True))


def on_sale(model, size="1K"):
    """The operator puts a model of the Images API on sale; returns what a wish for it says."""
    Price.objects.create(model=model, size=size, amount_micros=PRICE, cost_micros=40_000, valid_from=timezone.now())
    return {"model": model, "image_size": size}


# protocol, answer, outcome, calls while it goes on answering so
ROWS = [
    ("native", "blocked prompt", native.blocked(), "blocked", 1),
    ("native", "safety", native.ends("IMAGE_SAFETY"), "blocked", 1),
    ("native", "recitation", native.ends("IMAGE_RECITATION"), "refused", 1),
    ("native", "no image", native.ends("NO_IMAGE"), "no_image", 2),
    ("native", "words only", native.answer(native.text("I cannot.")), "text_only", 1),
    ("native", "max tokens", native.ends("MAX_TOKENS"), "cut_short", 1),
    ("native", "cut picture", native.answer(native.picture(CUT)), "truncated", 2),
    ("native", "html bytes", native.answer(native.picture(b"<html>no</html>")), "not_an_image", 1),
    ("native", "bomb", native.answer(native.picture(png_bomb())), "too_large", 1),
    ("native", "400", native.error(400, "INVALID_ARGUMENT"), "invalid", 1),
    ("native", "401", native.unauthenticated(), "auth", 1),
    ("native", "500", native.error(500, "INTERNAL"), "unknown", 2),
    ("chat", "filtered", chat.filtered(), "blocked", 1),
    ("chat", "policy", chat.policy_violation(), "blocked", 1),
    ("chat", "refusal", chat.refused(), "refused", 1),
    ("chat", "words only", chat.says("I cannot draw that, sorry."), "text_only", 1),
    ("chat", "cut picture", chat.by_json(chat.picture(CUT)), "truncated", 2),
    ("chat", "html bytes", chat.by_json(chat.picture(b"<html>no</html>")), "not_an_image", 1),
    ("chat", "hosted only", chat.by_address("https://pictures.example/fox.png"), "text_only", 1),
    ("chat", "400", chat.error(400, "invalid_request_error", "invalid_value"), "invalid", 1),
    ("chat", "401", chat.error(401, "invalid_request_error", "invalid_api_key"), "auth", 1),
    ("chat", "500", chat.error(500, "server_error", None), "unknown", 2),
    ("chat", "nothing said", chat.says(""), "no_image", 2),
    ("chat", "length", chat.says("Here it", "length"), "cut_short", 1),
    ("chat", "bomb", chat.by_json(chat.picture(png_bomb())), "too_large", 1),
    ("images", "moderated", images.moderated(), "blocked", 1),
    ("images", "no pictures", images.of([]), "no_image", 2),
    ("images", "addresses only", images.by_address("https://pictures.example/fox.png"), "text_only", 1),
    ("images", "html bytes", images.answer(b"<html>no</html>"), "not_an_image", 1),
    ("images", "bomb", images.answer(png_bomb()), "too_large", 1),
    ("images", "400", images.error(400, "invalid_request_error", "invalid_value"), "invalid", 1),
    ("images", "500", images.error(500, "server_error", None), "unknown", 2),
    ("images", "cut picture", images.answer(CUT), "truncated", 2),
    ("images", "401", chat.error(401, "invalid_request_error", "invalid_api_key"), "auth", 1),
    *(
        row
        for protocol in ("native", "chat", "images")
        for row in (
            (protocol, "html", trouble.html(), "malformed", 2),
            (protocol, "empty", trouble.empty(), "malformed", 2),
            (protocol, "a list", trouble.raw(b"[]"), "malformed", 2),
            (protocol, "nested", trouble.deep_json(), "malformed", 2),
            (protocol, "502 page", trouble.html(502), "unknown", 2),
            (protocol, "302", trouble.redirect("http://127.0.0.1:9/"), "redirected", 1),
            (protocol, "closed", trouble.close(), "unknown", 2),
            (protocol, "gzip bomb", trouble.gzip_bomb(), "too_large", 1),
            (protocol, "200 MB", trouble.zeros(200), "too_large", 1),
        )
    ),
]


@pytest.mark.parametrize(
    ("protocol", "answer", "outcome", "calls"),
    [(protocol, answer, outcome, calls) for protocol, _, answer, outcome, calls in ROWS],
    ids=[f"{protocol} {name}" for protocol, name, *_ in ROWS],
)
def test_a_failure_costs_nothing_and_ends_as_its_row_says(protocol, answer, outcome, calls, alice, served_by, make):
    upstream, before = served_by(protocol), balance(alice)
    fields = on_sale("gpt-image-2") if protocol == "images" else {}
    upstream.answers(answer)
    generation = make(**fields)
    assert (generation.status, generation.error_code) == (Status.FAILED, outcome)
    assert outcomes(generation) == [outcome] * calls
    assert len(upstream.requests) == calls
    assert balance(alice) == before
    assert Usage.objects.get(user=alice, name="images_per_day").used == 0
    assert audit() == []


GOOD = {
    "native": native.answer(native.picture(png())),
    "chat": chat.by_json(chat.picture(png())),
    "images": images.answer(),
}


@pytest.mark.parametrize("protocol", GOOD)
@pytest.mark.parametrize(
    ("status", "outcome"), [(429, "rate_limited"), (503, "unavailable")], ids=["too many", "overloaded"]
)
def test_what_passes_by_is_asked_again_for_nothing(protocol, status, outcome, alice, served_by, make):
    upstream = served_by(protocol)
    upstream.answers(trouble.relay_error(status), trouble.relay_error(status), GOOD[protocol])
    generation = make(**(on_sale("gpt-image-2") if protocol == "images" else {}))
    assert generation.status == Status.SUCCEEDED
    assert outcomes(generation) == [outcome] * 2 + ["ok"]
    assert list(generation.attempts.values_list("cost_micros", flat=True))[:2] == [0, 0]
    assert balance(alice)[1:] == (0, PRICE)
    assert audit() == []


FORMS = {
    "json": chat.by_json,
    "fenced": chat.by_fenced_json,
    "stray": chat.by_stray_json,
    "markdown": chat.by_markdown,
    "data uri": chat.by_data_uri,
    "images field": chat.by_images_field,
    "parts": chat.by_parts,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_a_chat_answer_is_one_picture(form, alice, served_by, make):
    upstream = served_by("chat")
    upstream.answers(form(chat.picture(png())))
    generation = make()
    assert generation.status == Status.SUCCEEDED
    assert balance(alice)[2] == PRICE
    [request] = upstream.requests
    assert request.headers["authorization"] == "key-one"
    assert audit() == []


@pytest.mark.parametrize("form", [chat.by_json, chat.by_images_field, chat.by_parts, chat.by_markdown])
def test_three_variants_by_chat_are_one_call(form, alice, served_by, make):
    upstream = served_by("chat")
    upstream.answers(form(*(chat.picture(png(colour=(shade, 0, 0))) for shade in (10, 20, 30))))
    generation = make(count=3)
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.count() == 3
    assert len(upstream.requests) == 1
    assert outcomes(generation) == ["ok"]
    assert balance(alice)[2] == 3 * PRICE
    assert audit() == []


def test_one_corrupt_variant_of_three_costs_two(alice, served_by, make):
    upstream = served_by("chat")
    upstream.answers(chat.by_json(chat.picture(png(colour=(1, 2, 3))), chat.picture(CUT), chat.picture(png())))
    generation = make(count=3)
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.count() == 2
    assert outcomes(generation) == ["partial"]
    assert balance(alice)[1:] == (0, 2 * PRICE)
    assert Usage.objects.get(user=alice, name="images_per_day").used == 2
    assert audit() == []


@pytest.mark.parametrize(
    ("model", "fields", "size", "body"),
    [
        ("gpt-image-2", {"aspect_ratio": "16:9"}, (2560, 1440), {"quality": "medium", "output_format": "png"}),
        ("flux-2-pro", {"seed": 7}, (2048, 2048), {"response_format": "b64_json", "seed": 7}),
    ],
)
def test_the_images_api_makes_three_pictures_in_one_call(model, fields, size, body, alice, upstream, make, settings):
    settings.EMULATOR = False
    settings.WISDOM_GATE_CHAT_URL, settings.WISDOM_GATE_KEYS = upstream.chat_url, ["key-one"]
    upstream.answers(images.answer(*(png(*size, colour=(shade, 0, 0)) for shade in (10, 20, 30))))
    generation = make(count=3, **on_sale(model, "2K"), **fields)
    [request] = upstream.requests
    sent = json.loads(request.body)
    assert len(sent.pop("user", "")) >= 12
    assert sent == {"model": model, "prompt": "a fox", "n": 3, "size": f"{size[0]}x{size[1]}"} | body
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.filter(image__honours_aspect_ratio=True, image__honours_image_size=True).count() == 3
    assert outcomes(generation) == ["ok"]
    assert balance(alice)[1:] == (0, 3 * PRICE)
    assert audit() == []


def test_of_three_pictures_of_the_images_api_the_corrupt_one_is_free(alice, served_by, make):
    upstream = served_by("images")
    upstream.answers(images.answer(png(colour=(1, 2, 3)), CUT, png()))
    generation = make(count=3, **on_sale("gpt-image-2"))
    assert outcomes(generation) == ["partial"]
    assert generation.outputs.count() == 2
    assert balance(alice)[1:] == (0, 2 * PRICE)
    assert audit() == []


def test_chat_is_asked_when_native_is_away(alice, served_by, make):
    upstream = served_by("native", "chat")
    upstream.answers_to("native", native.error(503, "UNAVAILABLE"))
    upstream.answers_to("chat", chat.by_json(chat.picture(png())))
    generation = make()
    assert generation.status == Status.SUCCEEDED
    assert outcomes(generation) == ["unavailable", "ok"]
    assert list(generation.attempts.values_list("upstream", flat=True)) == ["wisgate", "wisgate-chat"]
    assert balance(alice)[2] == PRICE


def test_chat_is_not_asked_after_a_paid_failure(alice, served_by, make):
    upstream = served_by("native", "chat")
    upstream.answers_to("native", native.ends("NO_IMAGE"))
    generation = make()
    assert generation.status == Status.FAILED
    assert [request.protocol for request in upstream.requests] == ["native", "native"]


def test_a_second_key_is_tried_before_another_protocol(alice, served_by, make, settings):
    upstream = served_by("native", "chat")
    settings.WISDOM_GATE_KEYS = list(KEYS)
    good, bad = native.answer(native.picture(png())), native.unauthenticated()
    upstream.answers_to("native", lambda request: bad if request.headers["x-goog-api-key"] == "key-one" else good)
    generation = make()
    assert generation.status == Status.SUCCEEDED
    assert outcomes(generation) == ["auth", "ok"]


def test_a_redirect_is_not_followed_and_the_key_stays(served_by, elsewhere, make):
    served_by("native").answers(trouble.redirect(elsewhere.native_url))
    make()
    assert elsewhere.requests == []


def test_what_a_protocol_cannot_carry_keeps_it_out(settings):
    settings.EMULATOR = False  # with WisGate's own addresses
    plain = GenerationSpec.parse({"prompt": "a fox"}, default_image_size="1K")
    names = lambda spec: [provider.name for provider in current.providers_for(spec)]  # noqa: E731
    assert names(plain) == ["wisgate", "wisgate-chat"]
    for change in ({"grounding": True}, {"thinking": "high"}, {"include_thoughts": True}, {"edit_of": "x"}):
        assert names(replace(plain, **change)) == ["wisgate"]
    # One call each by the native protocol cannot turn into one call for all in the middle.
    assert names(replace(plain, count=2)) == ["wisgate"]


def test_a_protocol_without_an_address_is_not_asked(alice, upstream, make, settings):
    settings.EMULATOR = False
    settings.WISDOM_GATE_NATIVE_URL, settings.WISDOM_GATE_CHAT_URL = upstream.native_url, ""
    settings.WISDOM_GATE_KEYS = ["key-one"]
    before = balance(alice)
    upstream.answers(native.unauthenticated())
    generation = make()
    assert outcomes(generation) == ["auth"]
    assert [request.protocol for request in upstream.requests] == ["native"]
    assert balance(alice) == before
    assert audit() == []


def test_with_a_chat_address_alone_native_is_not_asked(alice, upstream, make, settings):
    settings.EMULATOR = False
    settings.WISDOM_GATE_NATIVE_URL, settings.WISDOM_GATE_CHAT_URL = "", upstream.chat_url
    settings.WISDOM_GATE_KEYS = ["key-one"]
    upstream.answers(chat.by_json(chat.picture(png()), chat.picture(png())))
    generation = make(count=2)
    assert generation.status == Status.SUCCEEDED
    assert [request.protocol for request in upstream.requests] == ["chat"]
    assert balance(alice)[2] == 2 * PRICE
