"""Chat completions: the request as the articles write it, one fixture per answer, and what no answer may do to us."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec, canonical_json
from generations.wire.inputs import InputImage
from generations.wire.openai import chat
from tests.wire import cases

FIXTURES = cases.paths("openai_chat")
FLASH = "gemini-3.1-flash-image-preview"
LONG = "AbC/9+xyz0123456" * 1000


def spec(**values: object) -> GenerationSpec:
    return GenerationSpec(**{"prompt": "A fox", "model": FLASH, "image_size": "1K", **values})


def completion(content: object, **message: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode()


def json_of(*texts: str) -> str:
    return json.dumps({"images": [{"mime_type": "image/png", "b64": text} for text in texts]})


def data_of(reply) -> list[str]:
    return [bytes(picture.data).decode() for picture in reply.pictures]


# Requests


def test_a_request_has_exactly_the_fields_of_the_articles():
    assert chat.build_request(spec(aspect_ratio="16:9", image_size="4K"), upstream_model_id="m-1") == {
        "model": "m-1",
        "messages": [
            {
                "role": "system",
                "content": "Return only compact JSON with keys mime_type and b64 for a single image. No text, no code "
                "fences.",
            },
            {"role": "user", "content": "A fox\n\nAspect ratio 16:9, 5504x3072."},
        ],
    }


def test_several_pictures_are_asked_for_in_one_call():
    messages = chat.build_request(spec(count=3), upstream_model_id="m", styles=["oil", "ink", "neon"])["messages"]
    assert [message["content"] for message in messages] == [
        "Return only compact JSON with key images: an array of objects each with mime_type and b64.",
        "A fox\n\nAspect ratio 1:1, 1024x1024.\nVariant 1: oil.\nVariant 2: ink.\nVariant 3: neon.\n"
        "Make 3 distinct variants.",
    ]


def test_a_clip_is_asked_for_as_the_articles_do():
    messages = chat.build_request(spec(kind="video", aspect_ratio="9:16"), upstream_model_id="m")["messages"]
    assert [message["content"] for message in messages] == [
        "Return only compact JSON with mime_type and b64 for a single short video (2–3s).",
        "Text to video: A fox\n\nAspect ratio 9:16, 2 seconds, 720p MP4.",
    ]


def test_the_user_field_is_the_token_that_was_handed_in():
    assert chat.build_request(spec(), upstream_model_id="m", user_token="t0ken")["user"] == "t0ken"
    assert "user" not in chat.build_request(spec(), upstream_model_id="m")


def test_references_are_parts_behind_the_text():
    references = [InputImage("image/png", "AAAA"), InputImage("image/jpeg", "BBBB")]
    body = chat.build_request(spec(), upstream_model_id="m", references=references)
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "A fox\n\nAspect ratio 1:1, 1024x1024."},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,BBBB"}},
    ]
    with pytest.raises(ValueError, match="up to 14 pictures"):
        chat.build_request(spec(), upstream_model_id="m", references=references * 8)


def test_settings_are_called_by_this_protocols_names_and_what_it_lacks_is_named():
    native = {
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 4, "maxOutputTokens": 99, "stopSequences": ["x"]},
        "systemInstruction": {"parts": [{"text": "Oil."}]},
    }
    wish = spec(seed=7, native=canonical_json(native))
    body = chat.build_request(wish, upstream_model_id="m")
    assert body.keys() == {"model", "messages", "temperature", "top_p", "max_tokens", "stop", "seed"}
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["stop"], body["seed"]) == (
        *(0.5, 0.9, 99, ["x"], 7),
    )
    assert chat.fields_lost(wish) == ("systemInstruction", "topK")
    assert chat.fields_lost(spec()) == ()


# Replies


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_reply_is_read_as_its_fixture_expects(path):
    case, body = cases.load(path)
    reply = chat.parse_reply(case["status"], case["headers"], body, count=case.get("count", 1))
    cases.assert_as_expected(reply, case["expect"])


def test_every_outcome_that_a_reply_alone_can_tell_has_a_fixture():
    told = {cases.load(path)[0]["expect"]["outcome"] for path in FIXTURES}
    known_without_a_reply_or_from_its_pixels = {"ok", "partial", "not_an_image", "too_large", "timeout", "picture_gone"}
    assert told - {None} == set(OUTCOMES) - known_without_a_reply_or_from_its_pixels


@pytest.mark.parametrize(
    "content",
    [
        json_of(LONG, LONG.swapcase()),
        f"Two:\n```json\n{json_of(LONG, LONG.swapcase())}\n```",
        f"![a](data:image/png;base64,{LONG}) and ![b](data:image/png;base64,{LONG.swapcase()})",
        f"data:image/png;base64,{LONG}\ndata:image/png;base64,{LONG.swapcase()}",
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{x}"}} for x in (LONG, LONG.swapcase())],
    ],
    ids=["json", "fenced", "markdown", "bare", "parts"],
)
def test_long_pictures_keep_their_order_and_their_own_bytes(content):
    reply = chat.parse_reply(200, {}, completion(content), count=2)
    assert data_of(reply) == [LONG, LONG.swapcase()]
    assert isinstance(reply.chosen.data, memoryview)


def test_a_picture_attached_to_the_message_is_a_view_into_the_body():
    body = completion("", images=[{"image_url": {"url": f"data:image/png;base64,{LONG}"}}])
    reply = chat.parse_reply(200, {}, body)
    assert reply.chosen.data.obj is body


def test_a_reply_over_eight_megabytes_of_base64_is_read():
    picture = "QUJD" * 3_000_000
    assert data_of(chat.parse_reply(200, {}, completion(json_of(picture)))) == [picture]


def test_a_body_over_the_cap_is_too_large_and_not_parsed():
    assert chat.parse_reply(200, {}, completion(json_of("AAAA")), max_body_bytes=40).outcome == "too_large"


def test_no_more_than_64_pictures_are_looked_at():
    reply = chat.parse_reply(200, {}, completion(json_of(*["AAAA"] * 100)), count=2)
    assert (len(reply.images), len(reply.pictures)) == (64, 2)


@pytest.mark.parametrize("opening", [b"[", b'{"choices":', b'{"choices":[{"message":{"images":['])
def test_json_nested_without_end_is_malformed_and_not_a_recursion_error(opening):
    assert chat.parse_reply(200, {}, opening * 100_000).outcome == "malformed"
    assert chat.parse_reply(500, {}, opening * 100_000).outcome == "unknown"


def test_content_nested_without_end_is_words():
    assert chat.parse_reply(200, {}, completion('{"images":[' * 5000)).outcome == "text_only"


@pytest.mark.parametrize(
    "content",
    [
        '{"b64":"' * 500_000,
        '{"b64":"x",' * 300_000,
        '{"url":"' + '\\"' * 2_000_000,
        "![" * 2_000_000,
        "data:image/png;base64," * 200_000,
        ";base64," * 500_000,
        "http://a" * 500_000,
        '"' * 4_000_000,
        "{" * 4_000_000,
        "{}" * 2_000_000,
        "```" * 1_300_000,
    ],
)
def test_content_that_invites_an_endless_search_has_an_outcome(content):
    reply = chat.parse_reply(200, {}, completion(content))
    assert (reply.outcome is None) == (reply.chosen is not None)


@given(
    body=st.binary(max_size=300),
    status=st.sampled_from([200, 200, 204, 302, 400, 401, 429, 500]),
    count=st.integers(-1, 5),
)
def test_arbitrary_bytes_never_raise(body, status, count):
    assert chat.parse_reply(status, {"Retry-After": "x"}, body, count=count).outcome in OUTCOMES


NAMES = [
    *("choices", "message", "delta", "content", "images", "image_url", "url", "b64", "b64_json", "data", "mime_type"),
    *("finish_reason", "refusal", "usage", "error", "code", "type", "text", "id", "prompt_tokens", "reasoning", "0"),
]
words = st.sampled_from(
    [
        *("", "stop", "content_filter", "length", "image/png", "AAAA", LONG, "https://a.example/b.png", "I cannot"),
        *("data:image/png;base64,AAAA", f"![x](data:image/png;base64,{LONG})", json_of("AAAA"), f"x {json_of(LONG)}"),
        *('{"b64":"AAAA', "```json\n{", "}", '{"b64":"\\', "data:;base64,", "\ud83d\ude00", "429"),
    ]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 600) | words | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=30,
)


@given(document=documents, message=st.dictionaries(st.sampled_from(NAMES), documents, max_size=5))
def test_arbitrary_documents_never_raise(document, message):
    for body in (document, {"choices": [{"message": message, "finish_reason": "stop"}]}, {"choices": document}):
        reply = chat.parse_reply(200, {}, json.dumps(body).encode(), count=2)
        assert (reply.outcome is None) == (reply.chosen is not None)
        assert reply.outcome is None or reply.outcome in OUTCOMES


@given(pieces=st.lists(words | st.text(max_size=20), max_size=6))
def test_arbitrary_content_never_raises(pieces):
    reply = chat.parse_reply(200, {}, completion("".join(pieces)))
    assert (reply.outcome is None) == (reply.chosen is not None)


@given(chunks=st.lists(documents, max_size=6), tail=st.binary(max_size=20))
def test_arbitrary_streams_never_raise(chunks, tail):
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + tail
    reply = chat.parse_reply(200, {}, b": ping\n" + body)
    assert (reply.outcome is None) == (reply.chosen is not None)
