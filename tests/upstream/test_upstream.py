"""The second upstream itself: it says exactly what was scripted and keeps exactly what arrived."""

import base64
import gzip
import http.client
import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

from tests.upstream import chat, images, native, pictures, trouble
from tests.upstream.server import Answer, Cut, Pause, refused_url

CALL = "/v1beta/models/flash:generateContent"


def post(upstream, path=CALL, body=b"{}", **options) -> requests.Response:
    return requests.post(upstream.url + path, data=body, timeout=10, allow_redirects=False, **options)


def open_socket(upstream, body: bytes = b"{}") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", upstream.port), timeout=10)
    head = f"POST {CALL} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def open_picture(data: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    picture.load()
    return picture


# What arrived


def test_a_request_is_kept_as_it_came(upstream):
    upstream.answers(native.answer())

    post(upstream, CALL + "?alt=sse", b'{"contents": []}', headers={"X-Goog-Api-Key": "one"})

    (request,) = upstream.requests
    assert (request.method, request.path, request.query) == ("POST", CALL, {"alt": ["sse"]})
    assert (request.body, request.json) == (b'{"contents": []}', {"contents": []})
    assert request.headers["x-goog-api-key"] == "one"
    assert (request.number, request.connection, request.answered, request.left) == (1, 1, True, False)


def test_a_chunked_request_is_read_whole(upstream):
    upstream.answers(native.answer())
    post(upstream, body=iter([b'{"a"', b": 1}"]))
    assert upstream.requests[0].json == {"a": 1}


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        (CALL, "native"),
        ("/v1/chat/completions", "chat"),
        ("/v1/images/generations", "images"),
        ("/v1/models", "other"),
    ],
)
def test_a_request_knows_its_protocol(upstream, path, protocol):
    upstream.answers(trouble.empty())
    post(upstream, path)
    assert upstream.by_protocol(protocol) == upstream.requests


def test_connections_are_counted(upstream):
    upstream.answers(native.answer())
    with requests.Session() as session:
        for _ in range(2):
            session.post(upstream.url + CALL, timeout=10)
    post(upstream)
    assert upstream.connections == 2
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


def test_answers_can_be_held_until_all_requests_are_there(upstream):
    go = threading.Event()
    upstream.answers(native.answer().held(go))

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(post, upstream) for _ in range(8)]
        upstream.wait_for(8)
        assert upstream.in_flight == 8
        go.set()
        assert {call.result().status_code for call in calls} == {200}

    upstream.wait_until_idle()
    assert upstream.peak_in_flight == 8


# What is said


def test_answers_come_in_order_and_the_last_one_stays(upstream):
    upstream.answers(trouble.empty(503), trouble.empty(429), native.answer())
    assert [post(upstream).status_code for _ in range(4)] == [503, 429, 200, 200]


def test_protocols_have_scripts_of_their_own(upstream):
    upstream.answers(trouble.empty(404))
    upstream.answers_to("chat", trouble.empty(503), trouble.empty(200))

    statuses = [post(upstream, path).status_code for path in (CALL, "/v1/chat/completions", "/v1/chat/completions")]

    assert statuses == [404, 503, 200]


def test_an_answer_may_depend_on_the_request(upstream):
    upstream.answers(lambda request: trouble.empty(200 if request.headers["key"] == "good" else 401))
    assert [post(upstream, headers={"key": key}).status_code for key in ("bad", "good")] == [401, 200]


def test_without_a_script_nothing_is_made_up(upstream):
    assert (post(upstream).status_code, upstream.requests[0].path) == (501, CALL)


def test_headers_and_status_can_be_added(upstream):
    upstream.answers(native.answer().with_status(418).with_headers(retry_after="3"))
    answer = post(upstream)
    assert (answer.status_code, answer.headers["retry-after"]) == (418, "3")


def test_a_late_answer_is_late(upstream):
    upstream.answers(native.answer().late(0.2))
    started = time.monotonic()
    assert post(upstream).status_code == 200
    assert time.monotonic() - started >= 0.2


# Broken answers


def test_hang_sends_nothing_until_the_client_goes(upstream):
    upstream.answers(trouble.hang())
    connection = open_socket(upstream)
    (request,) = upstream.wait_for(1)

    connection.setblocking(False)
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    connection.close()

    upstream.wait_until_idle()
    assert (request.left, request.answered) == (True, False)


def test_close_and_reset_end_the_connection_each_in_its_way(upstream):
    upstream.answers(trouble.close(), trouble.reset())
    with open_socket(upstream) as connection:
        assert connection.recv(1) == b""
    with open_socket(upstream) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_cut_answer_promises_more_than_it_brings(upstream):
    upstream.answers(Answer(200, b"0123456789").cut(at=4))
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    connection.request("POST", CALL)
    answer = connection.getresponse()

    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()

    assert (caught.value.partial, answer.headers["content-length"]) == (b"0123", "10")


def test_a_length_can_be_too_short(upstream):
    upstream.answers(Answer(200, b"0123456789").claiming(4))
    assert post(upstream).content == b"0123"


def test_a_dripping_answer_brings_byte_after_byte(upstream):
    upstream.answers(Answer(200, b"abc").dripped(size=1, pause_s=0.01))
    with open_socket(upstream) as connection, connection.makefile("rb") as stream:
        while stream.readline() != b"\r\n":
            pass
        assert [stream.read(1) for _ in range(3)] == [b"a", b"b", b"c"]


def test_an_endless_drip_ends_with_the_client(upstream):
    upstream.answers(trouble.drip(pause_s=0.001))
    with post(upstream, stream=True) as answer:
        assert answer.raw.read(3) == b"   "
    upstream.wait_until_idle()
    assert upstream.requests[0].left


def test_a_redirect_points_elsewhere_and_a_client_that_follows_is_seen_there(upstream, elsewhere):
    upstream.answers(trouble.redirect(elsewhere.url + CALL, 307))
    elsewhere.answers(native.answer())

    post(upstream)
    assert elsewhere.requests == []
    requests.post(upstream.url + CALL, headers={"x-goog-api-key": "secret"}, timeout=10)

    assert elsewhere.requests[0].headers["x-goog-api-key"] == "secret"


def test_a_gzip_bomb_is_small_until_it_is_opened(upstream):
    upstream.answers(trouble.gzip_bomb(8))
    with post(upstream, stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 10_000
    assert gzip.decompress(packed) == bytes(8 * 2**20)


@pytest.mark.parametrize("chunked", [False, True])
def test_200_megabytes_of_zeros_really_come(upstream, chunked):
    upstream.answers(trouble.zeros(200, chunked=chunked))
    with post(upstream, stream=True) as answer:
        assert ("content-length" in answer.headers) is not chunked
        assert sum(len(block) for block in answer.iter_content(2**20)) == 200 * 2**20


def test_nobody_listens_at_the_refused_address():
    with pytest.raises(requests.ConnectionError):
        requests.get(refused_url(), timeout=10)


def test_a_server_that_ends_lets_no_request_hang(upstream):
    upstream.answers(trouble.hang())
    with open_socket(upstream) as connection:
        upstream.wait_for(1)
        upstream.stopped.set()
        assert connection.recv(1) == b""


# The protocols


def test_a_native_answer_has_a_picture_that_decodes(upstream):
    upstream.answers(native.answer(native.text("A cup."), native.picture(pictures.png(1376, 768))))

    candidate = post(upstream).json()["candidates"][0]

    caption, picture = candidate["content"]["parts"]
    assert (caption["text"], candidate["finishReason"]) == ("A cup.", "STOP")
    assert open_picture(picture["inlineData"]["data"]).size == (1376, 768)


def test_a_native_stream_brings_pieces_and_can_break(upstream):
    first, last = native.pieces(native.text("Thinking", thought=True), native.picture(b"x"))
    upstream.answers(native.stream(first, last), native.stream(first, Pause(0), Cut()))

    whole = post(upstream)
    assert whole.headers["content-type"] == "text/event-stream"
    events = [json.loads(line[6:]) for line in whole.text.split("\r\n") if line]
    assert [event["candidates"][0].get("finishReason") for event in events] == [None, "STOP"]
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        post(upstream)


@pytest.mark.parametrize("form", chat.FORMS)
def test_every_form_of_chat_holds_the_pictures(upstream, form):
    data = pictures.png(8, 8)
    upstream.answers(chat.FORMS[form](chat.picture(data), chat.picture(data)))

    message = post(upstream, "/v1/chat/completions").json()["choices"][0]["message"]

    assert json.dumps(message).count(base64.b64encode(data).decode()) == 2


def test_a_chat_stream_adds_up_to_its_content(upstream):
    content = chat.payload(chat.picture(pictures.png(8, 8)))
    upstream.answers(chat.stream_of(content, size=7))

    *events, done, rest = post(upstream, "/v1/chat/completions").text.split("\n\n")

    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content", "") for delta in deltas) == content
    assert (done, rest) == ("data: [DONE]", "")


def test_an_images_answer_has_bytes_or_addresses(upstream):
    upstream.answers(images.answer(), images.by_address("https://example.org/a.png"))
    first, second = (post(upstream, "/v1/images/generations").json()["data"][0] for _ in range(2))
    assert open_picture(first["b64_json"]).size == (1024, 1024)
    assert second == {"url": "https://example.org/a.png"}


def test_errors_have_the_shape_of_their_protocol(upstream):
    upstream.answers(native.rate_limited("3s"), chat.out_of_quota(), images.moderated(), trouble.relay_error(500))
    google, openai, moderated, relay = (post(upstream) for _ in range(4))
    assert (google.status_code, google.json()["error"]["details"][1]["retryDelay"]) == (429, "3s")
    assert (openai.status_code, openai.json()["error"]["code"]) == (429, "insufficient_quota")
    assert (moderated.status_code, moderated.json()["error"]["code"]) == (400, "moderation_blocked")
    assert (relay.status_code, relay.json()["error"]["type"]) == (500, "new_api_error")


@pytest.mark.parametrize(
    ("data", "start"),
    [
        (pictures.still("JPEG"), b"\xff\xd8\xff"),
        (pictures.still("WEBP"), b"RIFF"),
        (pictures.gif(), b"GIF89a"),
        (pictures.clip("mp4")[4:], b"ftyp"),
        (pictures.clip("webm"), b"\x1aE\xdf\xa3"),
        (pictures.png_bomb(), b"\x89PNG"),
    ],
    ids=["jpeg", "webp", "gif", "mp4", "webm", "bomb"],
)
def test_pictures_and_clips_are_what_they_say(data, start):
    assert data.startswith(start)
    assert len(data) < 100_000
