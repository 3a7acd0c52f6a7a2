"""The emulated upstream, driven from outside: protocol, refusals, faults, evidence, and its end."""

import base64
import gzip
import hashlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
from PIL import Image

from generations.emulator.__main__ import parse_latency, read_options
from generations.emulator.faults import FAULTS, draw_fault, parse_rates

KEY = "test-key-of-the-emulator"
FLASH = "gemini-3.1-flash-image-preview"
PRO = "gemini-3-pro-image-preview"
ROOT = Path(__file__).resolve().parents[2]
PIXELS_AT_1K = {
    "1:1": (1024, 1024),
    "1:4": (512, 2048),
    "1:8": (384, 3072),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:1": (2048, 512),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "8:1": (3072, 384),
}


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def start_process(port_file: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "generations.emulator", "--port-file", str(port_file)],
        cwd=ROOT,
        env=os.environ | {"EMULATOR_KEY": KEY, "EMULATOR_LATENCY_S": "0", "EMULATOR_FAULTS": ""} | environment,
    )


@contextmanager
def running_emulator(directory: Path, **environment: str):
    port_file = directory / "port"
    process = start_process(port_file, **environment)
    try:
        wait_until(port_file.exists, "the emulator wrote no port")
        yield Client(int(port_file.read_text()), process)
    finally:
        process.kill()
        process.wait()


class Client:
    """What a program sees of the emulator."""

    def __init__(self, port: int, process: subprocess.Popen) -> None:
        self.port = port
        self.process = process
        self.session = requests.Session()
        self.session.headers["x-goog-api-key"] = KEY

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **options) -> requests.Response:
        return self.session.get(self.url(path), **options)

    def post(self, body, *, model=FLASH, version="v1beta", **options) -> requests.Response:
        url = self.url(f"/{version}/models/{model}:generateContent")
        return self.session.post(url, json=body, timeout=20, allow_redirects=False, **options)

    def draw(self, prompt: str, *, model=FLASH, modalities=("IMAGE",), **config) -> requests.Response:
        return self.post(wish(prompt, modalities=modalities, **config), model=model)

    def open_request(self, prompt: str) -> socket.socket:
        """A socket on which the request was sent and nothing was read."""
        body = json.dumps(wish(prompt)).encode()
        head = (
            f"POST /v1beta/models/{FLASH}:generateContent HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {KEY}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(head.encode() + body)
        return connection

    def stats(self) -> dict:
        return self.get("/__emulator__/stats").json()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


def wish(prompt: str, *, modalities=("IMAGE",), ratio="1:1", size="0.5K", **config) -> dict:
    image_config = {"aspectRatio": ratio, "imageSize": size}
    config = {"responseModalities": list(modalities), "imageConfig": image_config} | config
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}


def unique(text: str) -> str:
    return f"{text} {uuid.uuid4()}"


def parts_of(response: requests.Response) -> list[dict]:
    assert response.status_code == 200, response.text[:500]
    return response.json()["candidates"][0]["content"]["parts"]


def image_bytes(part: dict) -> bytes:
    return base64.b64decode(part["inlineData"]["data"], validate=True)


def decoded(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def size_of_final_picture(response: requests.Response) -> tuple[int, int]:
    return decoded(image_bytes(parts_of(response)[-1])).size


def violation_of(response: requests.Response) -> dict:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    return error["details"][0]["fieldViolations"][0]


# Authentication and listing


@pytest.mark.parametrize("headers", [{}, {"x-goog-api-key": "wrong"}, {"Authorization": f"Bearer {KEY}"}])
def test_a_missing_or_wrong_key_is_unauthenticated(emulator, headers):
    url = emulator.url(f"/v1beta/models/{FLASH}:generateContent")

    response = requests.post(url, json=wish("a cup"), headers=headers, timeout=10)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (401, 401, "UNAUTHENTICATED")
    assert error["message"] == "API key not valid. Please pass a valid API key."
    assert error["details"][0]["reason"] == "API_KEY_INVALID"
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize("path", ["/v1beta/models", "/__emulator__/stats", "/__emulator__/calls"])
def test_lists_and_evidence_need_the_key_too(emulator, path):
    assert requests.get(emulator.url(path), timeout=10).status_code == 401


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_models_are_listed_in_every_version(emulator, version):
    listed = emulator.get(f"/{version}/models").json()

    assert [model["name"] for model in listed["models"]] == [f"models/{FLASH}", f"models/{PRO}"]
    assert "nextPageToken" not in listed


def test_models_come_in_pages(emulator):
    first = emulator.get("/v1beta/models?pageSize=1").json()
    second = emulator.get(f"/v1beta/models?pageSize=1&pageToken={first['nextPageToken']}").json()

    assert [model["name"] for model in first["models"] + second["models"]] == [f"models/{FLASH}", f"models/{PRO}"]
    assert "nextPageToken" not in second


def test_one_model_is_described(emulator):
    model = emulator.get(f"/v1/models/{PRO}").json()
    assert (model["displayName"], model["supportedGenerationMethods"]) == ("Nano Banana Pro", ["generateContent"])


def test_an_unknown_model_is_not_found(emulator):
    response = emulator.draw("a cup", model="gemini-0")

    assert response.status_code == 404
    assert response.json()["error"] == {
        "code": 404,
        "message": "models/gemini-0 is not found for API version v1beta, or is not supported for generateContent. "
        "Call ListModels to see the list of available models and their supported methods.",
        "status": "NOT_FOUND",
    }


@pytest.mark.parametrize("path", ["/v1beta/models/nothing", "/v2/models", "/"])
def test_an_unknown_address_is_not_found(emulator, path):
    response = emulator.get(path)
    assert (response.status_code, response.json()["error"]["status"]) == (404, "NOT_FOUND")


# Pictures


@pytest.mark.parametrize("ratio", PIXELS_AT_1K)
def test_a_picture_at_half_size_has_the_true_pixels(emulator, ratio):
    width, height = PIXELS_AT_1K[ratio]
    response = emulator.draw("a plain gradient", ratio=ratio)
    assert size_of_final_picture(response) == (width // 2, height // 2)


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [
        ("1:1", "512", (512, 512)),
        ("1:1", "1K", (1024, 1024)),
        ("21:9", "1K", (1584, 672)),
        ("1:8", "1K", (384, 3072)),
        ("16:9", "2K", (2752, 1536)),
        ("8:1", "4K", (12288, 1536)),
    ],
)
def test_larger_pictures_have_the_true_pixels(emulator, ratio, size, pixels):
    response = emulator.draw("a plain gradient", ratio=ratio, size=size)
    assert Image.open(io.BytesIO(image_bytes(parts_of(response)[0]))).size == pixels


def test_without_an_image_config_the_picture_is_square_at_1k(emulator):
    body = {"contents": {"parts": {"text": "a cup"}}, "generationConfig": {"responseModalities": ["image"]}}
    assert size_of_final_picture(emulator.post(body)) == (1024, 1024)


def test_the_last_input_picture_decides_the_ratio(emulator):
    wide = io.BytesIO()
    Image.new("RGB", (160, 90)).save(wide, "PNG")
    picture = {"inline_data": {"mime_type": "image/png", "data": base64.urlsafe_b64encode(wide.getvalue()).decode()}}
    body = wish("make it blue", imageConfig={"imageSize": "0.5K"})
    body["contents"][0]["parts"].append(picture)

    response = emulator.post(body)

    assert size_of_final_picture(response) == (688, 384)
    assert response.json()["usageMetadata"]["promptTokenCount"] == 3 + 1120


def test_the_same_prompt_and_seed_give_the_same_bytes(emulator):
    first, second = (parts_of(emulator.draw("two cups", seed=4)) for _ in range(2))
    assert first == second


def test_another_seed_or_none_gives_another_picture(emulator):
    pictures = {image_bytes(parts_of(emulator.draw("two cups", **config))[0]) for config in ({}, {"seed": 1})}
    assert len(pictures) == 2


def test_the_answer_has_the_full_shape(emulator):
    response = emulator.draw("a still life", modalities=["TEXT", "IMAGE"])
    answer = response.json()

    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert int(response.headers["content-length"]) == len(response.content)
    candidate = answer["candidates"][0]
    assert (candidate["index"], candidate["finishReason"], candidate["content"]["role"]) == (0, "STOP", "model")
    assert {rating["probability"] for rating in candidate["safetyRatings"]} == {"NEGLIGIBLE"}
    caption, picture = candidate["content"]["parts"]
    assert caption["text"].startswith("A still life of stone spheres on a table by a window, in the colours of ")
    assert picture["inlineData"]["mimeType"] == "image/png"
    assert len(base64.b64decode(picture["thoughtSignature"])) == 192
    usage = answer["usageMetadata"]
    assert usage["candidatesTokensDetails"][0] == {"modality": "IMAGE", "tokenCount": 747}
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert answer["modelVersion"] == FLASH
    assert len(answer["responseId"]) == 22


@pytest.mark.parametrize("config", [{}, {"responseModalities": ["TEXT"]}, {"responseModalities": []}])
def test_without_the_image_modality_the_answer_is_text(emulator, config):
    body = {"contents": [{"parts": [{"text": "a cup"}]}], "generationConfig": config}
    (part,) = parts_of(emulator.post(body))
    assert part.keys() == {"text"}


def test_an_image_alone_comes_without_words(emulator):
    (part,) = parts_of(emulator.draw("a cup", modalities=["IMAGE"]))
    assert part.keys() == {"inlineData", "thoughtSignature"}


def test_snake_case_is_read_at_every_level(emulator):
    body = {
        "contents": [{"parts": [{"text": "a cup"}]}],
        "generation_config": {
            "response_modalities": ["IMAGE"],
            "image_config": {"aspect_ratio": "9:16", "image_size": "0.5K"},
            "thinking_config": {"include_thoughts": True, "thinking_level": "high"},
        },
    }
    thought, draft, final = parts_of(emulator.post(body, version="v1"))
    assert (thought["thought"], draft["thought"], "thought" in final) == (True, True, False)
    assert decoded(image_bytes(draft)).format == "JPEG"
    assert decoded(image_bytes(final)).size == (384, 688)


def test_a_search_leaves_its_evidence(emulator):
    body = wish("the tallest tower", modalities=["TEXT", "IMAGE"]) | {"tools": [{"google_search": {}}]}

    answer = emulator.post(body).json()

    evidence = answer["candidates"][0]["groundingMetadata"]
    assert evidence["webSearchQueries"] == ["the tallest tower"]
    assert evidence["groundingSupports"][0]["segment"]["partIndex"] == 0
    assert answer["usageMetadata"]["toolUsePromptTokenCount"] == 25


# Refusals

SEED_TOO_LARGE = "Invalid value at 'generation_config.seed' (TYPE_INT32), 2147483648"


@pytest.mark.parametrize(
    ("change", "field", "description"),
    [
        (
            {"sizee": 1},
            "generation_config",
            "Invalid JSON payload received. Unknown name \"sizee\" at 'generation_config': Cannot find field.",
        ),
        (
            {"imageConfig": {"imageSizee": "1K"}},
            "generation_config.image_config",
            "Invalid JSON payload received. Unknown name \"imageSizee\" at 'generation_config.image_config': "
            "Cannot find field.",
        ),
        (
            {"imageConfig": {"aspectRatio": "7:5"}},
            "generation_config.image_config.aspect_ratio",
            "* GenerateContentRequest.generation_config.image_config.aspect_ratio: aspect_ratio must be one of "
            "'1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9' or '21:9'.\n",
        ),
        (
            {"imageConfig": {"aspectRatio": "1:8"}},
            "generation_config.image_config.aspect_ratio",
            "* GenerateContentRequest.generation_config.image_config.aspect_ratio: aspect_ratio must be one of "
            "'1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9' or '21:9'.\n",
        ),
        (
            {"imageConfig": {"imageSize": "1k"}},
            "generation_config.image_config.image_size",
            "* GenerateContentRequest.generation_config.image_config.image_size: image_size must be one of "
            "'1K', '2K' or '4K'.\n",
        ),
        (
            {"imageConfig": {"imageSize": "0.5K"}},
            "generation_config.image_config.image_size",
            "* GenerateContentRequest.generation_config.image_config.image_size: image_size must be one of "
            "'1K', '2K' or '4K'.\n",
        ),
        (
            {"candidateCount": 2},
            "generation_config.candidate_count",
            f"Multiple candidates is not enabled for models/{PRO}",
        ),
        (
            {"seed": "seven"},
            "generation_config.seed",
            "Invalid value at 'generation_config.seed' (TYPE_INT32), \"seven\"",
        ),
        ({"seed": "1e999"}, "generation_config.seed", SEED_TOO_LARGE.replace("2147483648", '"1e999"')),
        ({"seed": 2**31}, "generation_config.seed", SEED_TOO_LARGE),
        (
            {"thinkingConfig": {"thinkingLevel": "MAXIMAL"}},
            "generation_config.thinking_config.thinking_level",
            "Invalid value at 'generation_config.thinking_config.thinking_level' (type.googleapis.com/"
            'google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel), "MAXIMAL"',
        ),
        (
            {"thinkingConfig": {"thinkingLevel": "HIGH", "thinkingBudget": 64}},
            "generation_config.thinking_config",
            "You can only set only one of thinking budget and thinking level.",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(emulator, change, field, description):
    body = wish("a cup", imageConfig={}) | {}
    body["generationConfig"] |= change
    assert violation_of(emulator.post(body, model=PRO)) == {"field": field, "description": description}


@pytest.mark.parametrize(
    ("contents", "description"),
    [
        ([], "* GenerateContentRequest.contents: contents is not specified\n"),
        ([{"role": "system", "parts": [{"text": "x"}]}], "Please use a valid role: user, model."),
        (
            [{"role": "user", "parts": []}],
            "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n",
        ),
        (
            [{"parts": [{}]}],
            "* GenerateContentRequest.contents[0].parts[0].data: "
            "required oneof field 'data' must have one initialized field\n",
        ),
        (
            [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "%%%"}}]}],
            "Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"%%%\"",
        ),
        (
            [{"parts": [{"inlineData": {"mimeType": "text/plain", "data": "AAAA"}}]}],
            "Unsupported MIME type: text/plain",
        ),
        (
            [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}],
            "Unable to process input image. Please retry with another image.",
        ),
    ],
)
def test_wrong_contents_are_refused(emulator, contents, description):
    body = wish("a cup") | {"contents": contents}
    assert violation_of(emulator.post(body))["description"] == description


def test_pro_refuses_history_whose_picture_lost_its_signature(emulator):
    lost = {"role": "model", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
    body = wish("bluer", imageConfig={})
    body["contents"] = [*body["contents"], lost, {"role": "user", "parts": [{"text": "bluer"}]}]

    assert violation_of(emulator.post(body, model=PRO))["description"] == (
        "Image part is missing a thought_signature in content position 2, part position 1."
    )


@pytest.mark.parametrize("change", [{"unknown": 1}, {"tools": [{"codeExecution": {}}]}])
def test_unknown_fields_and_unsupported_tools_are_refused(emulator, change):
    assert violation_of(emulator.post(wish("a cup") | change))["description"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"'])
def test_a_body_that_is_no_message_is_refused(emulator, body):
    url = emulator.url(f"/v1beta/models/{FLASH}:generateContent")
    assert violation_of(emulator.session.post(url, data=body, timeout=10))


def test_a_body_over_20_mb_is_too_large(emulator):
    url = emulator.url(f"/v1beta/models/{FLASH}:generateContent")

    response = emulator.session.post(url, data=bytes(20 * 2**20 + 1), timeout=10)

    assert (response.status_code, response.headers["content-type"]) == (413, "text/html; charset=UTF-8")


# Faults: what the client receives, one check per name


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


def check_redirect(response):
    assert response.status_code == 302
    assert response.headers["location"].startswith("https://elsewhere.invalid/")


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
    "302": check_redirect,
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
}
CONDUCTS = {"hang", "slow_drip", "hangup_before", "hangup_mid", "huge_body", "gzip_bomb"}


def test_every_fault_has_a_check():
    assert FAULTS.keys() == ANSWERS.keys() | CONDUCTS


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

    assert draw_fault(parse_rates("429:0.25, hang:0.25"), Fixed()) is FAULTS.get(name)


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


# Evidence


def digest(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()


def test_every_call_is_counted_and_listed(emulator):
    prompt = unique("a counted cup")
    before = emulator.stats()

    answers = [emulator.draw(prompt, ratio="3:2"), emulator.draw(prompt, model=PRO, size="1K")]

    after = emulator.stats()
    path = f"/v1beta/models/{FLASH}:generateContent"
    assert after["calls"][path] == before["calls"].get(path, 0) + 1
    assert after["outcomes"]["ok"] == before["outcomes"].get("ok", 0) + 2
    assert after["prompts"][digest(prompt)] == 2
    listed = emulator.get(f"/__emulator__/calls?prompt_sha256={digest(prompt)}").json()
    assert [(call["model"], call["ratio"], call["size"], call["fault"]) for call in listed] == [
        (FLASH, "3:2", "0.5K", None),
        (PRO, "1:1", "1K", None),
    ]
    assert [call["request_id"] for call in listed] == [answer.headers["x-request-id"] for answer in answers]


def test_a_call_names_its_fault(emulator):
    prompt = unique("[fault:500]")
    emulator.draw(prompt)
    (call,) = emulator.get(f"/__emulator__/calls?prompt_sha256={digest(prompt)}").json()
    assert call["fault"] == "500"


def test_a_refused_request_counts_as_no_picture_call(emulator):
    prompt = unique("a cup")
    before = emulator.stats()["outcomes"].get("400", 0)

    emulator.draw(prompt, ratio="7:5")

    assert emulator.stats()["outcomes"]["400"] == before + 1
    assert digest(prompt) not in emulator.stats()["prompts"]


def test_unknown_addresses_share_one_count(emulator):
    before = emulator.stats()["calls"].get("other", 0)
    emulator.get(f"/{uuid.uuid4()}")
    emulator.draw("a cup", model=uuid.uuid4())
    emulator.session.post(emulator.url(f"/v1/models/{FLASH}:{uuid.uuid4().hex}"), timeout=10)
    assert emulator.stats()["calls"]["other"] == before + 3


def test_requests_of_one_moment_are_in_flight_together(emulator):
    prompts = [unique("a cup [latency:0.5]") for _ in range(16)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(emulator.draw, prompts))

    assert [answer.status_code for answer in answers] == [200] * 16
    assert emulator.stats()["peak_in_flight"] >= 16
    assert emulator.stats()["in_flight"] == 0


# The process


def test_rates_and_latency_come_from_the_environment(tmp_path):
    with running_emulator(tmp_path, EMULATOR_FAULTS="503:1", EMULATOR_LATENCY_S="30-60") as client:
        assert client.draw("a cup").status_code == 503
        assert client.stats()["outcomes"] == {"503": 1}


def test_sigterm_ends_it_with_hanging_requests_in_flight(tmp_path):
    with running_emulator(tmp_path) as client, client.open_request("[fault:hang]"):
        wait_until(lambda: client.stats()["in_flight"] == 1, "the request did not arrive")
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(timeout=5) == 0


def test_it_ends_when_its_parent_is_killed(tmp_path):
    port_file = tmp_path / "port"
    start = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-m", "generations.emulator", "--port-file", {str(port_file)!r}])
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", start], cwd=ROOT, env=os.environ | {"EMULATOR_KEY": KEY})
    wait_until(port_file.exists, "the emulator wrote no port")
    connection = HTTPConnection("127.0.0.1", int(port_file.read_text()), timeout=10)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().read()

    parent.kill()
    parent.wait()

    assert connection.sock.recv(1) == b""
    connection.close()


def test_it_does_not_outlive_a_parent_that_has_already_died(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    command = [sys.executable, "-m", "generations.emulator", "--parent-pid", str(dead.pid)]
    assert subprocess.run(command, cwd=ROOT, env=os.environ | {"EMULATOR_KEY": KEY}, timeout=20).returncode == 0


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "EMULATOR_KEY is not set"),
        ({"EMULATOR_KEY": KEY, "EMULATOR_FAULTS": "earthquake:1"}, "there is no fault 'earthquake'"),
        ({"EMULATOR_KEY": KEY, "EMULATOR_LATENCY_S": "soon"}, "EMULATOR_LATENCY_S is seconds or a range"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_sentence(environment, reason):
    with pytest.raises(ValueError, match=reason):
        read_options(environment)


def test_a_wrong_setting_ends_the_process_before_it_listens(tmp_path):
    command = [sys.executable, "-m", "generations.emulator", "--port-file", str(tmp_path / "port")]

    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"EMULATOR_KEY": ""}, capture_output=True, text=True, timeout=20
    )

    assert (ended.returncode, ended.stderr) == (1, "The emulator cannot start: EMULATOR_KEY is not set\n")
    assert not (tmp_path / "port").exists()


def test_it_imports_none_of_our_code():
    script = (
        "import sys, generations.emulator.__main__\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'django', 'accounts', 'gallery', 'config'}))\n"
        "print(sorted(m for m in sys.modules if m.startswith('generations') and 'emulator' not in m))\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["[]", "['generations']"]
