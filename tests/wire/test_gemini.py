"""Replies of the Gemini-native protocol: one fixture per case, and what no reply may do to us."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec
from generations.wire.gemini import build_error, build_response, parse_response
from tests.wire import cases

FIXTURES = cases.paths("gemini")
SPEC = GenerationSpec(prompt="A fox", model="gemini-3.1-flash-image-preview", image_size="1K")
LONG = "AbC/9+xyz0123456" * 1000


def reply_with(*parts: dict, finish: str = "STOP") -> bytes:
    return json.dumps({"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish}]}).encode()


def image_part(data: str, **more: object) -> dict:
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_reply_is_read_as_its_fixture_expects(path):
    case, body = cases.load(path)
    cases.assert_as_expected(parse_response(case["status"], case["headers"], body), case["expect"])


def test_every_outcome_that_a_reply_alone_can_tell_has_a_fixture():
    told = {json.loads(path.read_text())["expect"]["outcome"] for path in FIXTURES}
    known_without_a_reply_or_from_its_pixels = {
        *("ok", "partial", "truncated", "not_an_image", "too_large", "timeout", "picture_gone"),
    }
    assert told - {None} == set(OUTCOMES) - known_without_a_reply_or_from_its_pixels


def test_a_long_picture_is_a_view_into_the_body_and_not_a_copy():
    body = reply_with({"text": 'say "data": "x"'}, image_part("small", thought=True), image_part(LONG))
    reply = parse_response(200, {}, body)
    assert isinstance(reply.chosen.data, memoryview)
    assert reply.chosen.data.obj is body
    assert reply.chosen.data == LONG.encode()
    assert isinstance(reply.images[0].data, bytes)
    assert reply.images[0].data == b"small"
    assert reply.text == 'say "data": "x"'


def test_long_pictures_keep_their_order_and_their_own_bytes():
    texts = [LONG, LONG.swapcase(), LONG[::-1]]
    reply = parse_response(200, {}, reply_with(*(image_part(text) for text in texts)))
    assert [bytes(image.data).decode() for image in reply.images] == texts


def test_a_long_picture_with_escaped_slashes_is_read_like_any_other():
    body = reply_with(image_part(LONG)).replace(b"/", b"\\/")
    assert bytes(parse_response(200, {}, body).chosen.data).decode() == LONG


def test_a_long_picture_with_other_escapes_is_left_to_the_json_parser():
    body = reply_with(image_part(LONG)).replace(b"AbC", b"\\u0041bC")
    assert bytes(parse_response(200, {}, body).chosen.data).decode() == LONG


def test_a_number_in_place_of_a_long_picture_is_malformed():
    body = reply_with(image_part(LONG), {"inlineData": {"data": 1}})
    assert parse_response(200, {}, body).outcome == "malformed"


def test_what_follows_a_long_picture_without_a_comma_is_malformed():
    body = reply_with(image_part(LONG)).replace(b'56"', b'56"5')
    assert parse_response(200, {}, body).outcome == "malformed"


def test_a_reply_of_endless_pictures_is_malformed_and_not_searched_to_its_end():
    body = reply_with(*(image_part("A" * 5000) for _ in range(3000)))
    assert parse_response(200, {}, body).outcome == "malformed"


@pytest.mark.parametrize("signature", ["", "a\x00b", "not base64!", 7, ["c2ln"]])
def test_a_signature_that_is_no_base64_is_dropped_and_the_picture_kept(signature):
    reply = parse_response(200, {}, reply_with(image_part("AAAA", thoughtSignature=signature)))
    assert (reply.outcome, reply.chosen.thought_signature) == (None, None)


def test_a_body_over_the_cap_is_too_large_and_not_parsed():
    reply = parse_response(200, {}, reply_with(image_part("AAAA")), max_body_bytes=40)
    assert (reply.outcome, reply.images) == ("too_large", ())


def test_the_rendered_html_of_a_search_is_kept_whole_or_not_at_all():
    def rendered(html):
        metadata = {"webSearchQueries": ["fox"], "searchEntryPoint": {"renderedContent": html}}
        document = {"candidates": [{"content": {"parts": [image_part("AAAA")]}, "groundingMetadata": metadata}]}
        return parse_response(200, {}, json.dumps(document).encode()).grounding.rendered_content

    assert rendered("<p>" * 87_381) == "<p>" * 87_381
    assert rendered("<p>" * 87_382) == ""


def test_an_escape_that_is_no_character_inside_a_long_picture_is_malformed():
    body = reply_with(image_part(LONG)).replace(b"AbC", b"\\u12", 1)
    assert parse_response(200, {}, body).outcome == "malformed"


def test_a_reply_of_endless_words_is_malformed():
    assert parse_response(200, {}, reply_with(*({"text": "x"} for _ in range(10_001)))).outcome == "malformed"


@pytest.mark.parametrize("opening", [b"[", b'{"candidates":', b'{"candidates":[{"content":{"parts":['])
def test_json_nested_without_end_is_malformed_and_not_a_recursion_error(opening):
    assert parse_response(200, {}, opening * 100_000).outcome == "malformed"
    assert parse_response(500, {}, opening * 100_000).outcome == "unknown"


def test_nesting_up_to_the_limit_is_read():
    def nested(depth):
        return b'{"candidates":[],"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert parse_response(200, {}, nested(64)).outcome == "no_image"
    assert parse_response(200, {}, nested(65)).outcome == "malformed"


def test_a_reply_of_nothing_but_brackets_is_malformed_before_it_fills_the_memory():
    reply = parse_response(200, {}, b"[" + b"[]," * 300_000 + b"[]]")
    assert (reply.outcome, reply.error.message) == ("malformed", "the reply has too many lists and objects")


def test_a_reply_heavy_beside_its_pictures_is_malformed():
    body = reply_with({"text": "x" * (8 * 1024 * 1024)}, image_part("AAAA"))
    assert parse_response(200, {}, body).outcome == "malformed"


@pytest.mark.parametrize("status", [0, 100, 199, 501, 520, 599, 999])
def test_a_status_that_nobody_foresaw_has_an_unknown_end(status):
    assert parse_response(status, {}, b"").outcome == "unknown"


def test_a_retry_after_date_counts_from_now():
    now = datetime(2026, 11, 21, 7, 27, 30, tzinfo=UTC)
    headers = {"RETRY-AFTER": "Sat, 21 Nov 2026 07:28:00 GMT"}
    assert parse_response(503, headers, b"", now=now).retry_after_s == 30.0


@pytest.mark.parametrize("value", ["-5", "NaN", "1e3", "٣", "5 s", "Wed, 99 Foo 2015", ""])
def test_a_retry_after_that_is_no_delay_is_ignored(value):
    assert parse_response(429, {"Retry-After": value}, b"").retry_after_s is None


def test_an_endless_retry_after_is_a_day():
    assert parse_response(429, {"Retry-After": "9" * 18}, b"").retry_after_s == 86_400.0


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("key=abcdef123456 is bad", "key=[redacted] is bad"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer [redacted]"),
        ("bad key AIzaSyA1234567890abcdefghij", "bad key [redacted]"),
        ("got " + "QUJD" * 60, "got [redacted]"),
        ("two\r\nlines\x00", "two lines"),
        ("words " * 200, ("words " * 200)[:499] + "…"),
    ],
)
def test_an_upstream_message_is_cleared_of_secrets_and_cut_short(said, kept):
    body = json.dumps({"error": {"message": said}}).encode()
    assert parse_response(400, {}, body).error.message == kept


def test_a_server_response_is_read_back_by_the_client():
    usage = {
        "promptTokenCount": 3,
        "totalTokenCount": 9,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    }
    images = [("image/png", LONG, "c2ln"), ("image/jpeg", "AAAA", None)]
    built = build_response(SPEC, images, "A fox.", "STOP", usage, "gen-1")
    assert built == {
        "candidates": [
            {
                "index": 0,
                "finishReason": "STOP",
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "A fox."},
                        {"inlineData": {"mimeType": "image/png", "data": LONG}, "thoughtSignature": "c2ln"},
                        {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}},
                    ],
                },
            }
        ],
        "usageMetadata": usage,
        "modelVersion": "gemini-3.1-flash-image-preview",
        "responseId": "gen-1",
    }
    reply = parse_response(200, {}, json.dumps(built).encode())
    read = [(image.mime_type_claimed, bytes(image.data).decode(), image.thought_signature) for image in reply.images]
    assert read == images
    assert (reply.text, reply.finish_reason, reply.usage, reply.response_id) == ("A fox.", "STOP", usage, "gen-1")
    assert (reply.outcome, reply.model_version) == (None, SPEC.model)


def test_a_server_response_without_picture_has_no_empty_parts():
    built = build_response(SPEC, [], "", "IMAGE_SAFETY", {}, "gen-1")
    assert built["candidates"][0]["content"] == {"role": "model"}
    assert parse_response(200, {}, json.dumps(built).encode()).outcome == "blocked"


def test_a_server_error_is_read_back_by_the_client():
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}]
    built = build_error(429, "Slow down.", "RESOURCE_EXHAUSTED", details)
    expected = {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": details}
    assert built == {"error": expected}
    assert "details" not in build_error(404, "Gone.", "NOT_FOUND")["error"]
    reply = parse_response(429, {}, json.dumps(built).encode())
    assert (reply.outcome, reply.retry_after_s, reply.error.message) == ("rate_limited", 3.0, "Slow down.")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELD_NAMES = [
    *("candidates", "content", "parts", "text", "thought", "inlineData", "inline_data", "data", "mimeType", "error"),
    *("finishReason", "promptFeedback", "blockReason", "usageMetadata", "code", "details", "retryDelay", "status"),
    *("promptTokensDetails", "message", "reason", "thoughtSignature", "groundingMetadata", "groundingChunks", "web"),
    *("searchEntryPoint", "renderedContent", "webSearchQueries", "safetyRatings", "uri", "category"),
]
likely_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["STOP", "SAFETY", "", LONG, "3s", "IMAGE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELD_NAMES), inner, max_size=5),
    max_leaves=30,
)
statuses = st.sampled_from([200, 200, 204, 302, 400, 401, 429, 500, 503])


@given(body=st.binary(max_size=300), status=statuses, header=st.text(max_size=40))
def test_arbitrary_bytes_never_raise(body, status, header):
    reply = parse_response(status, {"Retry-After": header}, body)
    assert reply.outcome in OUTCOMES


@given(document=json_values | likely_values, status=statuses)
def test_arbitrary_json_never_raises(document, status):
    reply = parse_response(status, {}, json.dumps(document).encode())
    assert reply.outcome is None or reply.outcome in OUTCOMES


@given(candidate=st.dictionaries(st.sampled_from(FIELD_NAMES), likely_values, max_size=4), parts=likely_values)
def test_arbitrary_candidates_never_raise(candidate, parts):
    document = {"candidates": [{"content": {"parts": parts}, **candidate}]}
    reply = parse_response(200, {}, json.dumps(document).encode())
    assert (reply.outcome is None) == (reply.chosen is not None)
