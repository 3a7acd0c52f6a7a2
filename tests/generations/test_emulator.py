"""The emulated upstream, driven from outside: the native protocol, refusals, evidence, and its end."""

import base64
import io
import os
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import requests
from PIL import Image

from generations.emulator.__main__ import read_options
from tests.generations.emulating import (
    FLASH,
    KEY,
    PRO,
    ROOT,
    decoded,
    digest,
    image_bytes,
    parts_of,
    running_emulator,
    size_of_final_picture,
    unique,
    violation_of,
    wait_until,
    wish,
)

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


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


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
    assert (model["displayName"], model["supportedGenerationMethods"]) == (
        "Nano Banana Pro",
        ["generateContent", "streamGenerateContent", "countTokens"],
    )


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
            "thinking_config": {"include_thoughts": True, "thinking_level": "minimal"},
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


# Evidence


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
