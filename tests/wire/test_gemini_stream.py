"""streamGenerateContent: one fixture per case, cut at every byte, and what no stream may do to us."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.outcomes import OUTCOMES
from generations.wire.gemini import StreamReader, parse_response, parse_stream
from tests.wire import cases

FIXTURES = cases.paths("gemini_stream")
LONG = "AbC/9+xyz0123456" * 1000


def event(*parts: dict, finish: str | None = None) -> bytes:
    candidate = {"content": {"role": "model", "parts": list(parts)}} | ({"finishReason": finish} if finish else {})
    return b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\r\n\r\n"


def image_part(data: str, **more: object) -> dict:
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


def told(pieces: list) -> list:
    return [[piece.kind, bytes(piece.image.data).decode() if piece.image else piece.text] for piece in pieces]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_stream_is_read_as_its_fixture_expects_however_it_is_cut(path):
    case, body = cases.load(path)
    expected = dict(case["expect"])
    wanted = expected.pop("pieces", None)
    for size in (1, 7, 64, len(body) or 1):
        reader = StreamReader(case["headers"])
        pieces = [piece for at in range(0, len(body), size) for piece in reader.feed(body[at : at + size])]
        cases.assert_as_expected(reader.finish(), expected)
        if wanted is not None:
            assert told(pieces) == wanted


def test_a_spooled_stream_is_recognised_among_the_answers():
    body = b"\n: ping\n\n" + event({"text": "A", "thought": True}) + event(image_part("AAAA"), finish="STOP")
    reply = parse_response(200, {"Content-Type": "application/json"}, body)
    assert (reply.outcome, reply.thoughts, bytes(reply.chosen.data)) == (None, "A", b"AAAA")


def test_a_thought_is_told_as_soon_as_its_event_is_whole():
    body = event({"text": "First", "thought": True})
    reader = StreamReader()
    assert reader.feed(body[:-1]) == []
    assert told(reader.feed(body[-1:])) == [["thought", "First"]]


def test_a_long_picture_is_a_view_into_its_event_and_not_a_copy():
    reply = parse_stream({}, event(image_part(LONG), finish="STOP"))
    assert isinstance(reply.chosen.data, memoryview)
    assert reply.chosen.data == LONG.encode()


def test_long_pictures_in_a_list_keep_their_own_bytes():
    chunks = [{"candidates": [{"content": {"parts": [image_part(text)]}}]} for text in (LONG, LONG.swapcase())]
    reply = parse_stream({}, json.dumps(chunks).encode())
    assert [bytes(image.data).decode() for image in reply.images] == [LONG, LONG.swapcase()]


def test_a_connection_that_broke_leaves_what_came_whole():
    whole = event(image_part("AAAA"), finish="STOP")
    for cut in (b"", whole[:40]):
        reader = StreamReader()
        reader.feed(whole + cut)
        assert reader.finish(broken=True).outcome is None
    reader = StreamReader()
    reader.feed(event({"text": "A", "thought": True}) + whole[:-1])
    assert reader.finish(broken=True).outcome == "unknown"


def test_a_connection_that_broke_before_the_first_byte_has_an_unknown_end():
    assert StreamReader().finish(broken=True).outcome == "unknown"


def test_a_stream_over_the_cap_is_too_large_and_wants_no_more():
    reader = StreamReader(max_body_bytes=100)
    assert reader.feed(event({"text": "A", "thought": True})[:100]) == []
    assert not reader.is_over
    reader.feed(b"x")
    assert reader.is_over
    assert reader.feed(event(image_part("AAAA"))) == []
    assert reader.finish().outcome == "too_large"


def test_a_picture_that_came_before_the_cap_is_kept():
    picture = event(image_part("AAAA"))
    reader = StreamReader(max_body_bytes=len(picture) + 5)
    reader.feed(picture)
    reader.feed(b"data: " + b"x" * 100)
    assert bytes(reader.finish().chosen.data) == b"AAAA"


def test_a_stream_of_empty_lines_ends_at_a_limit():
    reader = StreamReader()
    reader.feed(b": ping\n" + b"\n" * 300_000)
    assert reader.is_over
    assert reader.finish().outcome == "malformed"


def test_a_thousand_pieces_are_shown_and_all_are_read():
    reader = StreamReader()
    shown = [piece for _ in range(1001) for piece in reader.feed(event({"text": "x"}))]
    reader.feed(event(finish="STOP"))
    assert (len(shown), len(reader.finish().text)) == (1000, 1001)


def test_a_stream_of_endless_drafts_is_malformed():
    body = b"".join(event(image_part("AAAA", thought=True)) for _ in range(65))
    assert parse_stream({}, body).outcome == "malformed"


def test_a_signature_is_kept_to_the_byte():
    reply = parse_stream({}, event(image_part("AAAA", thoughtSignature="Ab3+/_-x=="), finish="STOP"))
    assert reply.chosen.thought_signature == "Ab3+/_-x=="


@given(body=st.binary(max_size=300), size=st.integers(1, 50), broken=st.booleans())
def test_arbitrary_bytes_never_raise(body, size, broken):
    reader = StreamReader()
    for at in range(0, len(body), size):
        reader.feed(body[at : at + size])
    assert reader.finish(broken=broken).outcome in OUTCOMES


line = st.sampled_from(
    [
        *(
            b"",
            b"\r",
            b": ping",
            b"event: x",
            b"data:",
            b"data: {}",
            b"data: [DONE]",
            b"data: [",
            b"{",
            b"]",
            b"data: 7",
        ),
        *(event(image_part("AAAA")).strip(), event({"text": "A", "thought": True}, finish="STOP").strip()),
        *(event(image_part("BBBB", thought=True)).strip(), b'data: {"error":{"code":503}}', b'{"error":{"code":500}}'),
        *(b'data: {"candidates":[{"content":{"parts":7}}]}', b'data: {"usageMetadata":{"totalTokenCount":1}}'),
    ]
)


@given(lines=st.lists(line, max_size=20), size=st.integers(1, 200), broken=st.booleans())
def test_any_order_of_likely_lines_is_read_alike_however_it_is_cut(lines, size, broken):
    body = b"\n".join(lines)
    whole, pieced = StreamReader(), StreamReader()
    whole.feed(body)
    for at in range(0, len(body), size):
        pieced.feed(body[at : at + size])
    reply = whole.finish(broken=broken)
    assert cases.simplified(pieced.finish(broken=broken)) == cases.simplified(reply)
    assert (reply.outcome is None) == (reply.chosen is not None)
