"""Every fault of the emulator, by name and in each protocol: what a client receives."""

import base64
import gzip
import io
import json
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests
from PIL import Image

from generations.emulator.__main__ import parse_latency
from generations.emulator.chat import Chat
from generations.emulator.faults import CHAT, FAULTS, IMAGES, NATIVE, draw_fault, parse_rates
from generations.emulator.forms import FORMS
from generations.emulator.native import Native
from tests.generations.emulating import (
    ONE_CLIP,
    ROOT,
    SEVERAL_PICTURES,
    decoded,
    digest,
    image_bytes,
    parts_of,
    payload_of,
    running_emulator,
    size_of_final_picture,
    unique,
    violation_of,
    wait_until,
    wish,
)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


# The native protocol, one check per name


def status(code: int, google_status: str | None = None, *details: str):
    def check(response):
        assert response.status_code == code
        if google_status is None:
            assert response.headers["content-type"].startswith("text/html")
        else:
            error = response.json()["error"]
            assert (error["code"], error["status"]) == (code, google_status)
            assert [detail["@type"].rpartition(".")[2] for detail in error.get("details", [])] == list(details)

    return check


def check_rate_limit(response):
    status(429, "RESOURCE_EXHAUSTED", "QuotaFailure", "RetryInfo")(response)
    assert response.json()["error"]["details"][1]["retryDelay"] == "1s"
    assert "retry-after" not in response.headers


def check_rate_limit_with_header(response):
    status(429, "RESOURCE_EXHAUSTED")(response)
    assert response.headers["retry-after"] == "1"


def check_openai_error(response):
    assert response.status_code == 429
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def check_relay_500(response):
    assert (response.status_code, response.json()["error"]["type"]) == (500, "new_api_error")


def check_rate_limit_with_date(response):
    status(429, "RESOURCE_EXHAUSTED")(response)
    until = parsedate_to_datetime(response.headers["retry-after"])
    assert abs((until - datetime.now(UTC)).total_seconds()) < 60


def check_rate_limit_fraction(response):
    status(429, "RESOURCE_EXHAUSTED", "QuotaFailure", "RetryInfo")(response)
    assert response.json()["error"]["details"][1]["retryDelay"] == "0.2s"


def check_rate_limit_later(response):
    assert (response.status_code, response.headers["retry-after"]) == (429, "3600")


def check_quota(response):
    status(429, "RESOURCE_EXHAUSTED", "QuotaFailure")(response)
    assert response.headers["x-should-retry"] == "false"


def redirects(code: int):
    def check(response):
        assert response.status_code == code
        assert response.headers["location"].startswith("https://elsewhere.invalid/")

    return check


def check_cut_json(response):
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.content)


def check_error_200(response):
    assert (response.status_code, response.json()["error"]["code"]) == (200, 503)


def check_no_finish(response):
    assert "finishReason" not in response.json()["candidates"][0]
    assert decoded(image_bytes(parts_of(response)[0])).size == (512, 512)


def check_noise(response):
    assert response.content[:1].isspace()
    assert decoded(image_bytes(parts_of(response)[0])).size == (512, 512)


def check_empty_bytes(response):
    assert parts_of(response)[0]["inlineData"]["data"] == ""


def check_undisturbed(response):
    assert decoded(image_bytes(parts_of(response)[0])).size == (512, 512)


def check_deep_json(response):
    assert response.content.count(b"[") == 100_000
    with pytest.raises(RecursionError):
        response.json()


def check_empty_body(response):
    assert (response.status_code, response.content) == (200, b"")


def check_list(response):
    (answer,) = response.json()
    assert answer["candidates"][0]["finishReason"] == "STOP"


def check_blocked(response):
    answer = response.json()
    assert "candidates" not in answer
    assert answer["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidatesTokenCount" not in answer["usageMetadata"]


def ends(finish_reason: str, content: dict | None):
    def check(response):
        answer = response.json()
        assert answer["candidates"][0]["finishReason"] == finish_reason
        assert answer["candidates"][0].get("content") == content
        assert answer["usageMetadata"]["thoughtsTokenCount"] == 240
        assert "candidatesTokenCount" not in answer["usageMetadata"]

    return check


def says(finish_reason: str):
    def check(response):
        candidate = response.json()["candidates"][0]
        assert candidate["finishReason"] == finish_reason
        assert [part.keys() for part in candidate["content"]["parts"]] == [{"text"}]

    return check


def candidates(value):
    def check(response):
        assert response.json()["candidates"] == value

    return check


def check_cut_base64(response):
    assert len(parts_of(response)[0]["inlineData"]["data"]) % 4 == 1


def check_bad_base64(response):
    data = parts_of(response)[0]["inlineData"]["data"]
    assert len(data) % 4 == 0
    with pytest.raises(ValueError, match="base64"):
        base64.b64decode(data, validate=True)


def check_cut_picture(response):
    data = image_bytes(parts_of(response)[0])
    assert data.startswith(b"\x89PNG")
    with pytest.raises(OSError, match="truncated"):
        decoded(data)


def holds(start: bytes, mime_type: str):
    def check(response):
        (part,) = parts_of(response)
        assert part["inlineData"]["mimeType"] == mime_type
        assert image_bytes(part).startswith(start)

    return check


def check_bomb(response):
    data = image_bytes(parts_of(response)[0])
    assert len(data) < 100_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))


def pictures(*formats: str, claimed: str, thoughts: list[bool] | None = None):
    def check(response):
        parts = parts_of(response)
        assert tuple(decoded(image_bytes(part)).format for part in parts) == formats
        assert parts[-1]["inlineData"]["mimeType"] == claimed
        assert [part.get("thought", False) for part in parts] == (thoughts or [False] * len(parts))

    return check


def check_snake_case(response):
    (part,) = response.json()["candidates"][0]["content"]["parts"]
    assert decoded(base64.b64decode(part["inline_data"]["data"])).size == (512, 512)
    assert part["inline_data"]["mime_type"] == "image/png"
    assert response.json()["candidates"][0]["finish_reason"] == "STOP"


def check_half_size(response):
    assert size_of_final_picture(response) == (256, 256)


def check_missing_role(response):
    assert response.json()["candidates"][0]["content"].keys() == {"parts"}


def check_extra_fields(response):
    assert response.json()["futureField"] == [{"nested": None}]
    assert decoded(image_bytes(parts_of(response)[0])).size == (512, 512)


def check_urlsafe(response):
    data = parts_of(response)[0]["inlineData"]["data"]
    assert not {"+", "/"} & set(data)
    assert decoded(base64.urlsafe_b64decode(data)).size == (512, 512)


ANSWERS = {
    "400": status(400, "INVALID_ARGUMENT", "BadRequest"),
    "401": status(401, "UNAUTHENTICATED", "ErrorInfo"),
    "403": status(403, "PERMISSION_DENIED"),
    "404": status(404, "NOT_FOUND"),
    "408": status(408, "DEADLINE_EXCEEDED"),
    "413": status(413),
    "429": check_rate_limit,
    "429_retry_after": check_rate_limit_with_header,
    "500": status(500, "INTERNAL"),
    "502": status(502),
    "503": status(503, "UNAVAILABLE"),
    "504": status(504, "DEADLINE_EXCEEDED"),
    "302": redirects(302),
    "openai_error": check_openai_error,
    "deep_json": check_deep_json,
    "empty_body": check_empty_body,
    "not_json": status(200),
    "json_list": check_list,
    "blocked_prompt": check_blocked,
    "image_safety": ends("IMAGE_SAFETY", {"role": "model"}),
    "prohibited": ends("PROHIBITED_CONTENT", None),
    "recitation": ends("RECITATION", None),
    "no_image": ends("NO_IMAGE", {"role": "model"}),
    "image_other": ends("IMAGE_OTHER", None),
    "other": ends("OTHER", None),
    "empty_parts": ends("STOP", {"role": "model", "parts": []}),
    "empty_candidates": candidates([]),
    "null_candidates": candidates(None),
    "text_only": says("STOP"),
    "max_tokens": says("MAX_TOKENS"),
    "unknown_finish": ends("HOLOGRAM_PENDING", None),
    "truncated_b64": check_cut_base64,
    "bad_b64": check_bad_base64,
    "truncated_png": check_cut_picture,
    "not_an_image": holds(b"<!DOCTYPE html>", "image/png"),
    "svg": holds(b"<svg ", "image/svg+xml"),
    "huge_dimensions": check_bomb,
    "wrong_mime": pictures("JPEG", claimed="image/png"),
    "jpeg": pictures("JPEG", claimed="image/jpeg"),
    "webp": pictures("WEBP", claimed="image/webp"),
    "snake_case": check_snake_case,
    "thought_image_first": pictures("JPEG", "PNG", claimed="image/png", thoughts=[True, False]),
    "all_thought": pictures("JPEG", "PNG", claimed="image/png", thoughts=[True, True]),
    "two_images": pictures("PNG", "PNG", claimed="image/png"),
    "wrong_size": check_half_size,
    "missing_role": check_missing_role,
    "extra_fields": check_extra_fields,
    "urlsafe_b64": check_urlsafe,
    "402": status(402, "FAILED_PRECONDITION"),
    "409": status(409, "ABORTED"),
    "422": status(422, "INVALID_ARGUMENT"),
    "499": status(499, "CANCELLED"),
    "429_date": check_rate_limit_with_date,
    "429_fraction": check_rate_limit_fraction,
    "429_later": check_rate_limit_later,
    "429_quota": check_quota,
    "307": redirects(307),
    "relay_500": check_relay_500,
    "cut_json": check_cut_json,
    "error_200": check_error_200,
    "breaks_off": check_error_200,
    "no_finish": check_no_finish,
    "noise": check_noise,
    "empty_b64": check_empty_bytes,
    "one_bad": check_cut_picture,
    "one_less": ends("NO_IMAGE", {"role": "model"}),
    "safety": ends("SAFETY", None),
    "image_prohibited": ends("IMAGE_PROHIBITED_CONTENT", {"role": "model"}),
    "blocklist": ends("BLOCKLIST", None),
    "spii": ends("SPII", None),
    "malformed_response": ends("MALFORMED_RESPONSE", None),
    "continuation": says("CONTINUATION"),
    "search_script": check_undisturbed,
    "image_recitation": ends("IMAGE_RECITATION", None),
    "language": ends("LANGUAGE", None),
    "escalation": ends("ESCALATION", None),
    "pup_limited_disabled": ends("PUP_LIMITED_DISABLED", None),
}
CONDUCTS = {"hang", "slow_drip", "hangup_before", "hangup_mid", "huge_body", "gzip_bomb"}


def test_every_fault_has_a_check():
    assert {name for name, fault in FAULTS.items() if NATIVE in fault.dialects} == ANSWERS.keys() | CONDUCTS


@pytest.mark.parametrize("name", ANSWERS)
def test_a_fault_named_in_the_prompt_happens(emulator, name):
    response = emulator.draw(f"a cup [fault:{name}]")

    ANSWERS[name](response)
    assert len(response.headers["x-request-id"]) == 32


def test_hangup_before_closes_without_an_answer(emulator):
    with emulator.open_request("[fault:hangup_before]") as connection:
        assert connection.recv(1024) == b""


def test_hangup_mid_closes_in_the_middle_of_the_body(emulator):
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        emulator.draw("[fault:hangup_mid]")


def test_hang_never_answers_and_ends_when_the_client_goes(emulator):
    prompt = unique("[fault:hang]")
    before = emulator.stats()["outcomes"].get("hang", 0)
    connection = emulator.open_request(prompt)
    wait_until(lambda: digest(prompt) in emulator.stats()["prompts"], "the request did not arrive")
    assert emulator.stats()["in_flight"] == 1

    connection.setblocking(False)
    with pytest.raises(BlockingIOError):
        connection.recv(1)
    connection.close()

    wait_until(lambda: emulator.stats()["in_flight"] == 0, "the request did not end")
    assert emulator.stats()["outcomes"]["hang"] == before + 1


def test_slow_drip_sends_a_byte_now_and_then(emulator):
    with emulator.open_request("[fault:slow_drip]") as connection, connection.makefile("rb") as stream:
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        while stream.readline() != b"\r\n":
            pass
        assert [stream.readline() for _ in range(4)] == [b"1\r\n", b" \r\n", b"1\r\n", b" \r\n"]


def test_a_huge_body_goes_on_beyond_100_mib(emulator):
    with emulator.post(wish("[fault:huge_body]"), stream=True) as response:
        assert "content-length" not in response.headers
        received = sum(len(block) for block in response.iter_content(2**20))
    assert received > 128 * 2**20


def test_a_gzip_bomb_is_small_until_it_is_opened(emulator):
    with emulator.post(wish("[fault:gzip_bomb]"), stream=True) as response:
        packed = response.raw.read(decode_content=False)
    assert response.headers["content-encoding"] == "gzip"
    assert len(packed) < 300_000
    with gzip.open(io.BytesIO(packed)) as opened:
        assert sum(len(block) for block in iter(lambda: opened.read(2**20), b"")) == 200 * 2**20


def test_a_counted_fault_stops_after_so_many_requests_with_that_prompt(emulator):
    prompt = unique("a cup [fault:503x2]")
    assert [emulator.draw(prompt).status_code for _ in range(4)] == [503, 503, 200, 200]
    assert emulator.draw(unique("a cup [fault:503x2]")).status_code == 503


CHAT_STATUS = {
    "400": (400, "invalid_value"),
    "401": (401, "invalid_api_key"),
    "402": (402, "billing_hard_limit_reached"),
    "403": (403, "permission_denied"),
    "404": (404, "model_not_found"),
    "408": (408, "timeout"),
    "409": (409, "conflict"),
    "422": (422, "unprocessable"),
    "429": (429, "rate_limit_exceeded"),
    "429_retry_after": (429, "rate_limit_exceeded"),
    "429_date": (429, "rate_limit_exceeded"),
    "429_fraction": (429, "rate_limit_exceeded"),
    "429_later": (429, "rate_limit_exceeded"),
    "429_quota": (429, "insufficient_quota"),
    "499": (499, "cancelled"),
    "500": (500, None),
    "503": (503, "overloaded"),
    "504": (504, "timeout"),
    "openai_error": (429, "rate_limit_exceeded"),
    "relay_500": (500, "do_request_failed"),
    "error_200": (200, "overloaded"),
    "breaks_off": (200, "overloaded"),
}
IMAGES_STATUS = CHAT_STATUS | dict.fromkeys(
    ("blocked_prompt", "safety", "image_safety", "prohibited", "image_prohibited", "blocklist", "spii"),
    (400, "moderation_blocked"),
)
PAGES = {"413": 413, "502": 502, "not_json": 200}
CHAT_ENDS = {
    "safety": ("content_filter", None, None),
    "image_safety": ("content_filter", "", None),
    "prohibited": ("content_filter", None, None),
    "image_prohibited": ("content_filter", "", None),
    "blocklist": ("content_filter", None, None),
    "spii": ("content_filter", None, None),
    "no_image": ("stop", "", None),
    "image_other": ("stop", None, None),
    "other": ("stop", None, None),
    "malformed_response": ("stop", None, None),
    "empty_parts": ("stop", "", None),
    "one_less": ("stop", "", None),
    "unknown_finish": ("hologram_pending", None, None),
    "text_only": ("stop", "I cannot draw that, but I can describe it.", None),
    "max_tokens": ("length", "Here is the pic", None),
    "continuation": ("length", "Here is the pic", None),
} | dict.fromkeys(
    ("recitation", "image_recitation", "language", "escalation", "pup_limited_disabled"),
    ("stop", None, "I cannot help with a picture of this."),
)
RESULTS = {
    "empty_candidates": [],
    "null_candidates": None,
    "no_image": [],
    "image_other": [],
    "other": [],
    "malformed_response": [],
    "one_less": [],
    "empty_parts": [{}],
}
STARTS = {
    "truncated_png": b"\x89PNG",
    "one_bad": b"\x89PNG",
    "huge_dimensions": b"\x89PNG",
    "not_an_image": b"<!DOCTYPE html>",
    "svg": b"<svg ",
    "wrong_mime": b"\xff\xd8\xff",
    "jpeg": b"\xff\xd8\xff",
    "webp": b"RIFF",
    "wrong_size": b"\x89PNG",
    "extra_fields": b"\x89PNG",
    "missing_role": b"\x89PNG",
    "no_finish": b"\x89PNG",
    "noise": b"\x89PNG",
    "two_images": b"\x89PNG",
    "long_clip": b"\x89PNG",
    "empty_b64": b"",
}
SHAPELESS = {"302", "307", "deep_json", "cut_json", "empty_body", "json_list", *CONDUCTS}
SPELLED = {"truncated_b64", "bad_b64", "urlsafe_b64"}


def faults_of(dialect: str) -> set[str]:
    return {name for name, fault in FAULTS.items() if dialect in fault.dialects}


def test_every_fault_of_the_other_protocols_has_a_check():
    chat = CHAT_STATUS.keys() | CHAT_ENDS.keys() | PAGES.keys() | STARTS.keys() | SHAPELESS | SPELLED
    assert faults_of(CHAT) == chat | {"blocked_prompt", "empty_candidates", "null_candidates"}
    images = IMAGES_STATUS.keys() | RESULTS.keys() | PAGES.keys() | STARTS.keys() | SHAPELESS | SPELLED
    assert faults_of(IMAGES) == images - {"missing_role", "no_finish", "long_clip"}


@pytest.mark.parametrize("name", CHAT_STATUS)
def test_chat_says_errors_in_its_own_shape(emulator, name):
    response = emulator.chat(f"a cup, 64x64 [fault:{name}]")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == CHAT_STATUS[name]
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", IMAGES_STATUS)
def test_the_images_api_says_errors_in_its_own_shape(emulator, name):
    response = emulator.generate(f"a cup [fault:{name}]")
    assert (response.status_code, response.json()["error"]["code"]) == IMAGES_STATUS[name]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("ask", ["chat", "generate"])
def test_pages_are_the_same_in_every_protocol(emulator, ask, name):
    response = getattr(emulator, ask)(f"a cup [fault:{name}]")
    assert (response.status_code, response.headers["content-type"]) == (PAGES[name], "text/html; charset=UTF-8")


@pytest.mark.parametrize("name", CHAT_ENDS)
def test_chat_ends_without_a_picture(emulator, name):
    (choice,) = emulator.chat(f"a cup [fault:{name}]").json()["choices"]
    message = choice["message"]
    assert (choice["finish_reason"], message["content"], message.get("refusal")) == CHAT_ENDS[name]


def test_chat_refuses_a_prompt_with_an_error(emulator):
    response = emulator.chat("a cup [fault:blocked_prompt]")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "content_policy_violation")


@pytest.mark.parametrize(("name", "results"), [("empty_candidates", []), ("null_candidates", None)])
def test_chat_can_lack_its_choices(emulator, name, results):
    assert emulator.chat(f"a cup, 64x64 [fault:{name}]").json()["choices"] == results


@pytest.mark.parametrize("name", RESULTS)
def test_the_images_api_can_lack_its_pictures(emulator, name):
    assert emulator.generate(f"a cup [fault:{name}]", size="128x128").json()["data"] == RESULTS[name]


@pytest.mark.parametrize("name", STARTS)
def test_chat_can_bring_other_bytes(emulator, name):
    response = emulator.chat(f"a cup, 64x64 [fault:{name}]")
    payload = json.loads(response.json()["choices"][0]["message"]["content"])
    first = payload.get("images", [payload])[0]
    assert base64.b64decode(first["b64"], validate=True).startswith(STARTS[name])


@pytest.mark.parametrize("name", sorted(STARTS.keys() - {"missing_role", "no_finish", "long_clip"}))
def test_the_images_api_can_bring_other_bytes(emulator, name):
    item = emulator.generate(f"a cup [fault:{name}]", size="128x128").json()["data"][0]
    assert base64.b64decode(item["b64_json"], validate=True).startswith(STARTS[name])


@pytest.mark.parametrize("name", sorted(SPELLED))
def test_base64_goes_wrong_in_the_same_way_everywhere(emulator, name):
    chat = json.loads(emulator.chat(f"a cup, 64x64 [fault:{name}]").json()["choices"][0]["message"]["content"])["b64"]
    images = emulator.generate(f"a cup [fault:{name}]", size="128x128").json()["data"][0]["b64_json"]
    for text in (chat, images):
        with pytest.raises(ValueError, match=r"base64|data"):
            base64.b64decode(text, validate=True)


@pytest.mark.parametrize("name", sorted(SHAPELESS - CONDUCTS - {"302", "307", "json_list", "empty_body"}))
@pytest.mark.parametrize("ask", ["chat", "generate"])
def test_what_is_no_protocol_is_none_in_any(emulator, ask, name):
    response = getattr(emulator, ask)(f"a cup [fault:{name}]")
    assert response.status_code == 200
    with pytest.raises((json.JSONDecodeError, RecursionError)):
        json.loads(response.content)


def test_one_of_several_variants_can_be_bad(emulator):
    response = emulator.chat("3 variations of a cup, 64x64 [fault:one_bad]", system=SEVERAL_PICTURES)
    images = json.loads(response.json()["choices"][0]["message"]["content"])["images"]
    data = [base64.b64decode(image["b64"]) for image in images]
    assert [decoded(picture).size for picture in data[:2]] == [(64, 64), (64, 64)]
    with pytest.raises(OSError, match="truncated"):
        decoded(data[2])


def test_there_can_be_fewer_or_more_pictures_than_asked(emulator):
    fewer, more = (
        emulator.generate(f"a cup [fault:{name}]", n=3, size="128x128").json()["data"]
        for name in ("one_less", "two_images")
    )
    assert (len(fewer), len(more)) == (2, 6)


def test_a_clip_can_be_too_long(emulator):
    import av

    response = emulator.chat("a cup, 2 s, 128x96 MP4 [fault:long_clip]", system=ONE_CLIP)
    with av.open(io.BytesIO(payload_of(response))) as clip:
        assert clip.duration == 6_000_000


def test_a_clip_can_claim_another_type(emulator):
    response = emulator.chat("a cup, 1 s, 128x96 MP4 [fault:wrong_mime]", system=ONE_CLIP)
    payload = json.loads(response.json()["choices"][0]["message"]["content"])
    assert payload["mime_type"] == "image/gif"
    assert base64.b64decode(payload["b64"])[4:8] == b"ftyp"


def test_a_script_in_the_search_entry_is_there_to_be_caged(emulator):
    body = wish("a tower [fault:search_script]") | {"tools": [{"google_search": {}}]}
    evidence = emulator.post(body).json()["candidates"][0]["groundingMetadata"]
    assert "<script>" in evidence["searchEntryPoint"]["renderedContent"]


@pytest.mark.parametrize("ask", ["chat", "generate"])
def test_a_fault_of_another_protocol_is_refused(emulator, ask):
    response = getattr(emulator, ask)("a cup [fault:thought_image_first]")
    dialect = "chat" if ask == "chat" else "images"
    message = f"There is no fault 'thought_image_first' in the protocol '{dialect}'."
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


def test_a_rate_leaves_out_a_protocol_that_has_no_such_fault():
    rates = parse_rates("snake_case:1")
    assert draw_fault(rates, random.Random(), Native()) is FAULTS["snake_case"]
    assert draw_fault(rates, random.Random(), Chat()) is None


def test_the_guide_names_every_word():
    guide = (ROOT / "docs/emulator.md").read_text()
    assert [name for name in FAULTS if f"`{name}`" not in guide] == []
    assert [name for name in FORMS if f"`[form:{name}]`" not in guide] == []


def test_an_unknown_fault_is_refused(emulator):
    violation = violation_of(emulator.draw("a cup [fault:earthquake]"))
    assert violation["description"] == "The emulator knows no fault 'earthquake'."


def test_a_latency_in_the_prompt_delays_the_answer(emulator):
    started = time.monotonic()
    emulator.draw("a cup [latency:0.3]")
    assert time.monotonic() - started >= 0.3


def test_latency_runs_while_others_are_answered(emulator):
    prompt = unique("a cup [latency:30]")
    connection = emulator.open_request(prompt)
    wait_until(lambda: digest(prompt) in emulator.stats()["prompts"], "the request did not arrive")

    assert emulator.draw("a cup").status_code == 200

    connection.close()
    wait_until(lambda: emulator.stats()["in_flight"] == 0, "the request did not end")
    assert emulator.stats()["outcomes"]["left"] == 1


@pytest.mark.parametrize(
    ("point", "name"), [(0.0, "429"), (0.24, "429"), (0.26, "hang"), (0.49, "hang"), (0.51, None), (0.99, None)]
)
def test_each_rate_is_a_share_of_all_requests(point, name):
    class Fixed(random.Random):
        def random(self) -> float:
            return point

    assert draw_fault(parse_rates("429:0.25, hang:0.25"), Fixed(), Native()) is FAULTS.get(name)


@pytest.mark.parametrize("text", ["earthquake:0.1", "429:0.6,500:0.6", "429:-1", "429:nan", "429"])
def test_impossible_rates_are_refused(text):
    with pytest.raises(ValueError):
        parse_rates(text)


@pytest.mark.parametrize(("text", "latency"), [("0.5", (0.5, 0.5)), ("18-22", (18.0, 22.0))])
def test_latency_is_a_number_or_a_range(text, latency):
    assert parse_latency(text) == latency


@pytest.mark.parametrize("text", ["soon", "22-18", "-1"])
def test_an_impossible_latency_is_refused(text):
    with pytest.raises(ValueError):
        parse_latency(text)
