"""The finer points of the emulator's native protocol: thoughts, streams, references, edits, search, tokens."""

import base64
import io
import json

import pytest
import requests
from PIL import Image

from tests.generations.emulating import (
    FLASH,
    PRO,
    decoded,
    image_bytes,
    mean_colour,
    parts_of,
    running_emulator,
    size_of_final_picture,
    unique,
    violation_of,
    wish,
)

RED, BLUE = (200, 20, 20), (20, 20, 200)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


def sent_picture(colour: tuple[int, int, int], size: tuple[int, int] = (40, 40)) -> dict:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(out.getvalue()).decode()}}


def with_references(prompt: str, *pictures: dict, **config) -> dict:
    body = wish(prompt, **config)
    body["contents"][0]["parts"] += pictures
    return body


def edit(made: dict, prompt: str, **config) -> dict:
    """A second turn after the model's picture."""
    body = wish(prompt, **config)
    first = {"role": "user", "parts": [{"text": "a cup"}]}
    body["contents"] = [first, {"role": "model", "parts": [made]}, *body["contents"]]
    return body


def events_of(response: requests.Response) -> list[dict]:
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
    *events, rest = response.text.split("\r\n\r\n")
    assert rest == ""
    assert {event[:6] for event in events} == {"data: "}
    return [json.loads(event[6:]) for event in events]


def parts_in(events: list[dict]) -> list[dict]:
    return [part for event in events for part in event["candidates"][0]["content"]["parts"]]


# Thinking


@pytest.mark.parametrize(
    ("level", "kinds"),
    [
        ("minimal", ["text", "draft", "final"]),
        ("HIGH", ["text", "draft", "text", "draft", "final"]),
    ],
)
def test_thoughts_are_shown_when_asked_for(emulator, level, kinds):
    thinking = {"includeThoughts": True, "thinkingLevel": level}
    parts = parts_of(emulator.draw("a cup", thinkingConfig=thinking))

    assert ["text" if "text" in p else "draft" if p.get("thought") else "final" for p in parts] == kinds
    assert all(part["thought"] is True for part in parts[:-1])
    assert "thoughtSignature" not in parts[1]


@pytest.mark.parametrize(
    ("thinking", "tokens"),
    [
        ({"thinkingLevel": "MINIMAL"}, None),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"thinkingLevel": "HIGH"}, 480),
        ({"includeThoughts": True}, 240),
        ({"thinkingBudget": 64}, None),
    ],
)
def test_thoughts_are_counted_by_their_level(emulator, thinking, tokens):
    response = emulator.draw("a cup", thinkingConfig=thinking)
    usage = response.json()["usageMetadata"]
    assert usage.get("thoughtsTokenCount") == tokens
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"] + (tokens or 0)


def test_a_level_that_the_model_does_not_have_is_refused(emulator):
    response = emulator.draw("a cup", thinkingConfig={"thinkingLevel": "LOW"})
    assert violation_of(response)["field"] == "generation_config.thinking_config.thinking_level"
    assert emulator.draw("a cup", model=PRO, size="1K", thinkingConfig={"thinkingLevel": "LOW"}).status_code == 200


# Streams


def test_a_stream_brings_thoughts_drafts_words_and_then_the_picture(emulator):
    thinking = {"thinkingConfig": {"includeThoughts": True}}
    body = wish("a still life", modalities=["TEXT", "IMAGE"], **thinking)

    events = events_of(emulator.stream(body))
    thought, draft, word, words, final, last = parts_in(events)

    assert (thought["thought"], draft["thought"]) == (True, True)
    assert decoded(image_bytes(draft)).size == (256, 256)
    assert (word["text"], (word["text"] + words["text"]).startswith("A still life of stone")) == ("A ", True)
    assert decoded(image_bytes(final)).size == (512, 512)
    assert last == {"text": ""}
    assert [event["candidates"][0].get("finishReason") for event in events] == [None] * 5 + ["STOP"]


def test_a_stream_ends_with_what_the_whole_answer_has(emulator):
    body = wish("a tower", modalities=["TEXT", "IMAGE"], seed=7) | {"tools": [{"google_search": {}}]}
    whole = emulator.post(body).json()
    events = events_of(emulator.stream(body))

    last = events[-1]
    assert last["usageMetadata"] == whole["usageMetadata"]
    assert last["candidates"][0]["groundingMetadata"] == whole["candidates"][0]["groundingMetadata"]
    assert last["candidates"][0]["safetyRatings"] == whole["candidates"][0]["safetyRatings"]
    assert all("candidatesTokenCount" not in event["usageMetadata"] for event in events[:-1])
    assert len({event["responseId"] for event in events}) == 1
    assert parts_in(events)[:-1] == whole["candidates"][0]["content"]["parts"]


def test_a_draft_is_there_before_the_picture_is_due(emulator):
    body = wish(unique("a cup [latency:1]"), thinkingConfig={"includeThoughts": True})
    url = emulator.url(f"/v1beta/models/{FLASH}:streamGenerateContent?alt=sse")
    with emulator.session.post(url, json=body, timeout=20, stream=True) as response:
        events = (json.loads(line[6:]) for line in response.iter_lines() if line)
        seen = [("inlineData" in parts_in([event])[0], emulator.stats()["in_flight"]) for event in events]
    assert seen[1] == (True, 1)  # a draft, and the answer goes on


def test_without_alt_sse_a_stream_is_one_list(emulator):
    response = emulator.stream(wish("a cup"), query="")
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert b"},\r\n{" in response.content
    picture, last = response.json()
    assert decoded(image_bytes(parts_in([picture])[0])).size == (512, 512)
    assert last["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("prompt", ["a cup [fault:503]", "a cup [fault:earthquake]"])
def test_an_error_of_such_a_list_is_in_a_list(emulator, prompt):
    response = emulator.stream(wish(prompt), query="?key=ignored")
    (entry,) = response.json()
    assert entry["error"]["code"] == response.status_code != 200


def test_an_error_before_the_first_event_is_an_ordinary_one(emulator):
    response = emulator.stream(wish("a cup [fault:429]"))
    assert (response.status_code, response.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_a_blocked_prompt_is_one_event(emulator):
    (event,) = events_of(emulator.stream(wish("a cup [fault:blocked_prompt]")))
    assert (event["promptFeedback"]["blockReason"], "candidates" in event) == ("SAFETY", False)


@pytest.mark.parametrize(("fault", "finish"), [("image_safety", "IMAGE_SAFETY"), ("recitation", "RECITATION")])
def test_a_stream_can_end_without_a_picture(emulator, fault, finish):
    (event,) = events_of(emulator.stream(wish(f"a cup [fault:{fault}]")))
    assert event["candidates"][0]["finishReason"] == finish


def test_a_stream_can_end_without_a_reason(emulator):
    events = events_of(emulator.stream(wish("a cup [fault:no_finish]")))
    assert ["finishReason" in event["candidates"][0] for event in events] == [False, False]


def test_a_stream_can_break_off_with_an_error_event(emulator):
    body = wish("a cup [fault:breaks_off]", thinkingConfig={"includeThoughts": True})
    url = emulator.url(f"/v1beta/models/{FLASH}:streamGenerateContent?alt=sse")
    received = b""

    def read(response: requests.Response) -> None:
        nonlocal received
        for block in response.iter_content(None):
            received += block

    response = emulator.session.post(url, json=body, timeout=20, stream=True)
    with response, pytest.raises(requests.exceptions.ChunkedEncodingError):
        read(response)
    error = json.loads(received.split(b"data: ")[-1])["error"]
    assert (error["code"], error["status"]) == (503, "UNAVAILABLE")
    assert received.count(b'"thought":true') == 2


def test_a_stream_can_be_cut(emulator):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        emulator.stream(wish("a cup [fault:hangup_mid]"))


def test_a_noisy_stream_has_other_lines_between_its_events(emulator):
    text = emulator.stream(wish("a cup [fault:noise]")).text
    assert text.startswith(": keep-alive\n\nevent: message\nid: 1\nretry: 1000\ndata: {")


def test_a_text_only_stream_has_words_only(emulator):
    parts = parts_in(events_of(emulator.stream(wish("a cup [fault:text_only]"))))
    assert "".join(part["text"] for part in parts) == "I cannot draw that, but I can describe it."


# Pictures sent along


def test_a_reference_gives_its_colour(emulator):
    red, blue = (
        mean_colour(image_bytes(parts_of(emulator.post(with_references("a cup", sent_picture(colour))))[0]))
        for colour in (RED, BLUE)
    )
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]


def test_two_references_are_both_seen(emulator):
    response = emulator.post(
        with_references("a cup", sent_picture(RED), sent_picture(BLUE), modalities=["TEXT", "IMAGE"])
    )
    caption, picture = parts_of(response)
    assert caption["text"].endswith("in the colours of the reference.")
    alone = parts_of(emulator.post(with_references("a cup", sent_picture(RED))))[0]
    assert image_bytes(picture) != image_bytes(alone)
    assert response.json()["usageMetadata"]["promptTokensDetails"][1] == {"modality": "IMAGE", "tokenCount": 2240}


def test_fifteen_references_are_too_many(emulator):
    response = emulator.post(with_references("a cup", *[sent_picture(RED)] * 15))
    assert violation_of(response)["description"] == "Please use at most 14 images."


@pytest.mark.parametrize(("model", "size"), [(FLASH, "0.5K"), (PRO, "1K")])
def test_an_edit_keeps_the_tones_and_takes_other_colours(emulator, model, size):
    (made,) = parts_of(emulator.draw("a cup at dawn", model=model, size=size))

    response = emulator.post(edit(made, "now in the forest", size=size), model=model)

    before, after = (decoded(image_bytes(part)).resize((32, 32)) for part in (made, parts_of(response)[0]))
    tones = [list(picture.convert("L").tobytes()) for picture in (before, after)]
    mean = [sum(row) / len(row) for row in tones]
    product = sum((a - mean[0]) * (b - mean[1]) for a, b in zip(*tones, strict=True))
    assert product > 0  # light where it was light
    assert before.tobytes() != after.tobytes()


def test_an_edit_without_a_ratio_has_the_shape_of_the_picture(emulator):
    (made,) = parts_of(emulator.draw("a cup", ratio="16:9"))
    response = emulator.post(edit(made, "bluer", imageConfig={"imageSize": "0.5K"}))
    assert size_of_final_picture(response) == (688, 384)


@pytest.mark.parametrize("model", [FLASH, PRO])
def test_a_signature_belongs_to_the_bytes_that_it_came_with(emulator, model):
    (made,), (other,) = (parts_of(emulator.draw(prompt, model=model, size="1K")) for prompt in ("a cup", "a fox"))
    swapped = made | {"thoughtSignature": other["thoughtSignature"]}

    assert emulator.post(edit(made, "bluer", size="1K"), model=model).status_code == 200
    assert violation_of(emulator.post(edit(swapped, "bluer", size="1K"), model=model)) == {
        "field": "contents[1].parts[0].thought_signature",
        "description": "Corrupted thought signature.",
    }


def test_flash_takes_history_that_lost_its_signature(emulator):
    (made,) = parts_of(emulator.draw("a cup"))
    lost = {name: value for name, value in made.items() if name != "thoughtSignature"}
    assert emulator.post(edit(lost, "bluer")).status_code == 200


def test_signatures_outlive_the_process(emulator, tmp_path):
    with running_emulator(tmp_path) as another:
        assert parts_of(another.draw("two cups", seed=4)) == parts_of(emulator.draw("two cups", seed=4))


# Search, forms, tokens


def test_the_search_entry_is_html_with_the_query_as_text(emulator):
    body = wish('<b>"tower"</b> & more') | {"tools": [{"googleSearch": {}}]}
    evidence = emulator.post(body).json()["candidates"][0]["groundingMetadata"]
    entry = evidence["searchEntryPoint"]["renderedContent"]
    assert "<style>" in entry
    assert ">&lt;b&gt;&quot;tower&quot;&lt;/b&gt; &amp; more</a>" in entry
    assert json.loads(base64.b64decode(evidence["searchEntryPoint"]["sdkBlob"]))[0][0] == '<b>"tower"</b> & more'


def test_without_the_tool_there_is_no_evidence(emulator):
    assert "groundingMetadata" not in emulator.draw("a tower").json()["candidates"][0]


def test_a_reseller_may_put_the_picture_into_the_text(emulator):
    (part,) = parts_of(emulator.draw("a cup [form:markdown]"))
    data = part["text"].removeprefix("![image](data:image/png;base64,").removesuffix(")")
    assert decoded(base64.b64decode(data, validate=True)).size == (512, 512)


def test_a_form_of_chat_alone_is_refused(emulator):
    violation = violation_of(emulator.draw("a cup [form:parts]"))
    assert violation["description"] == "There is no form 'parts' in the protocol 'native'."


@pytest.mark.parametrize("wrapped", [False, True])
def test_tokens_are_counted_and_nothing_is_painted(emulator, wrapped):
    body = {"contents": [{"parts": [{"text": "x" * 40}, sent_picture(RED)]}]}
    body = {"generateContentRequest": body} if wrapped else body
    before = emulator.stats()["prompts"]

    answer = emulator.session.post(emulator.url(f"/v1/models/{FLASH}:countTokens"), json=body, timeout=10).json()

    assert answer["totalTokens"] == 10 + 1120
    assert emulator.stats()["prompts"] == before


def test_without_a_seed_no_two_pictures_are_the_same(emulator):
    prompt = unique("a lamp")
    first, second = (parts_of(emulator.post(wish(prompt)))[0]["inlineData"]["data"] for _ in range(2))
    assert first != second


def test_with_a_seed_they_are(emulator):
    prompt = unique("a lamp")
    first, second = (parts_of(emulator.post(wish(prompt, seed=7)))[0]["inlineData"]["data"] for _ in range(2))
    assert first == second
