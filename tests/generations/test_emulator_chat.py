"""The emulator's chat completions and Images API: what is asked in words, forms of the answer, clips, streams."""

import base64
import io
import json
import re

import av
import pytest
import requests
from PIL import Image, ImageSequence

from generations.emulator.wording import read_clip, read_count, read_shape
from tests.generations.emulating import (
    FLASH,
    KEY,
    ONE_CLIP,
    PRO,
    SEVERAL_PICTURES,
    content_of,
    decoded,
    digest,
    mean_colour,
    payload_of,
    running_emulator,
    unique,
)

RED, BLUE = (200, 20, 20), (20, 20, 200)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("emulator")) as client:
        yield client


def data_uri(colour: tuple[int, int, int], kind: str = "png") -> str:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(out, kind)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def with_pictures(prompt: str, *addresses: str) -> list[dict]:
    links = [{"type": "image_url", "image_url": {"url": address}} for address in addresses]
    return [{"type": "text", "text": prompt}, *links]


def events_of(response: requests.Response) -> list[dict]:
    """The events of a stream that ends as it should."""
    assert response.headers["content-type"] == "text/event-stream"
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


# The key and the models


@pytest.mark.parametrize("authorization", [KEY, f"Bearer {KEY}", f"bearer {KEY}"])
def test_the_key_is_taken_raw_and_after_bearer(emulator, authorization):
    assert emulator.chat("a cup, 64x64", authorization=authorization).status_code == 200
    assert emulator.generate("a cup", size="128x128", authorization=authorization).status_code == 200


@pytest.mark.parametrize("authorization", ["", "wrong", "Bearer wrong", f"Basic {KEY}"])
def test_a_missing_or_wrong_key_is_refused_in_this_protocols_shape(emulator, authorization):
    for response in (
        emulator.chat("a cup", authorization=authorization),
        emulator.generate("a cup", authorization=authorization),
    ):
        error = response.json()["error"]
        assert (response.status_code, error["type"], error["code"]) == (
            401,
            "invalid_request_error",
            "invalid_api_key",
        )


def test_the_list_of_models_has_the_shape_that_the_key_asks_for(emulator):
    url = emulator.url("/v1/models")
    openai = requests.get(url, headers={"Authorization": f"Bearer {KEY}"}, timeout=10).json()
    google = requests.get(url, headers={"x-goog-api-key": KEY}, timeout=10).json()
    assert (openai["object"], {model["object"] for model in openai["data"]}) == ("list", {"model"})
    assert {FLASH, PRO, "gpt-image-2", "flux-2-pro"} <= {model["id"] for model in openai["data"]}
    assert google.keys() == {"models"}


def test_one_model_or_none(emulator):
    headers = {"Authorization": KEY}
    assert requests.get(emulator.url(f"/v1/models/{PRO}"), headers=headers, timeout=10).json()["id"] == PRO
    missing = requests.get(emulator.url("/v1/models/none"), headers=headers, timeout=10)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


# What is asked


def test_the_usual_answer_is_strict_json(emulator):
    response = emulator.chat("a cup")
    answer = response.json()

    payload = json.loads(content_of(response))
    assert payload.keys() == {"mime_type", "b64"}
    assert (payload["mime_type"], decoded(payload_of(response)).size) == ("image/png", (1024, 1024))
    assert (answer["object"], answer["model"]) == ("chat.completion", PRO)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 1120
    assert len(response.headers["x-request-id"]) == 32


def test_the_example_without_a_directive_works_too(emulator):
    assert decoded(payload_of(emulator.chat("Draw a stunning sea world, 64x64.", system=""))).size == (64, 64)


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("a cup", (1024, 1024)),
        ("a cup, 16:9", (1376, 768)),
        ("a cup in 9:16 at 0.5K", (384, 688)),
        ("soft god rays, 4K. Aspect ratio 1:1, size 1K.", (1024, 1024)),
        ("1024x1024, then 640 x 480", (640, 480)),
        ("at 10:30 in the evening", (1024, 1024)),
        ("90000x90000", (1024, 1024)),
    ],
)
def test_shape_is_read_from_the_words_the_last_ones_first(text, pixels):
    assert read_shape(text)[2:] == pixels


def test_image_config_is_ignored_here(emulator):
    ignored = {"image_config": {"aspect_ratio": "16:9", "image_size": "4K"}, "modalities": ["image", "text"]}
    assert decoded(payload_of(emulator.chat("a cup", **ignored))).size == (1024, 1024)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Create 3 variations of an alley", 3),
        ("A cup. Make 4 distinct variants.", 4),
        ("two different versions", 2),
        ("some cups", 3),
        ("99 images", 10),
    ],
)
def test_the_number_is_read_from_the_words(text, count):
    assert read_count(text) == count


def test_variants_come_in_one_array_and_differ(emulator):
    images = json.loads(content_of(emulator.chat("4 variations of a cup, 64x64", system=SEVERAL_PICTURES)))["images"]
    assert [image.keys() for image in images] == [{"mime_type", "b64"}] * 4
    assert len({image["b64"] for image in images}) == 4


def test_n_makes_choices(emulator):
    choices = emulator.chat("a cup, 64x64", n=2).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert len({choice["message"]["content"] for choice in choices}) == 2


def test_a_reference_gives_its_colour(emulator):
    red, blue = (
        mean_colour(payload_of(emulator.chat(with_pictures("a cup, 128x128", data_uri(colour)))))
        for colour in (RED, BLUE)
    )
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        ({"model": "none", "messages": [{"role": "user", "content": "x"}]}, 404, "model_not_found"),
        ({"model": PRO}, 400, "invalid_value"),
        ({"model": PRO, "messages": []}, 400, "invalid_value"),
        ({"model": PRO, "messages": [{"role": "system", "content": "x"}]}, 400, "invalid_value"),
        ({"model": PRO, "messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value"),
        ({"model": PRO, "messages": [{"role": "user", "content": 7}]}, 400, "invalid_type"),
        ({"model": PRO, "messages": [{"role": "user", "content": "x"}], "n": 0}, 400, "invalid_value"),
        (
            {"model": PRO, "messages": [{"role": "user", "content": with_pictures("x", "https://example.org/a.png")}]},
            400,
            "invalid_image_url",
        ),
        (
            {"model": PRO, "messages": [{"role": "user", "content": with_pictures("x", "data:image/png;base64,AAAA")}]},
            400,
            "invalid_image",
        ),
        (
            {"model": PRO, "messages": [{"role": "user", "content": with_pictures("x", "data:text/html;base64,AAAA")}]},
            400,
            "invalid_image_format",
        ),
    ],
)
def test_a_wrong_request_is_refused(emulator, body, status, code):
    sent = body if isinstance(body, bytes) else json.dumps(body)
    response = requests.post(
        emulator.url("/v1/chat/completions"), data=sent, headers={"Authorization": KEY}, timeout=10
    )
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_an_unknown_form_is_refused(emulator):
    message = "There is no form 'cloud' in the protocol 'chat'."
    assert emulator.chat("a cup [form:cloud]").json()["error"]["message"] == message


def test_a_call_is_listed_with_its_protocol(emulator):
    prompt = unique("2 variations, 64x64")
    emulator.chat(prompt, system=SEVERAL_PICTURES)
    (call,) = emulator.get(f"/__emulator__/calls?prompt_sha256={digest(prompt)}").json()
    assert (call["dialect"], call["kind"], call["count"], call["size"]) == ("chat", "image", 2, "64x64")
    assert emulator.stats()["calls"]["/v1/chat/completions"] >= 1


# Forms of the answer

BASE64 = r"([A-Za-z0-9+/]{100,}=*)"


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("json", rf'^{{"mime_type":"image/png","b64":"{BASE64}"}}$'),
        ("fenced", rf'\n```json\n{{"mime_type":"image/png","b64":"{BASE64}"}}\n```\n'),
        ("stray", rf'{{asked}}.*{{"mime_type":"image/png","b64":"{BASE64}"}}.*}}.*{{plans}}'),
        ("markdown", rf"!\[image\]\(data:image/png;base64,{BASE64}\)$"),
        ("data_uri", rf"^data:image/png;base64,{BASE64}$"),
    ],
)
def test_the_picture_is_inside_the_text(emulator, form, pattern):
    content = content_of(emulator.chat(f"a cup, 64x64 [form:{form}]"))
    found = re.search(pattern, content, re.DOTALL)
    assert decoded(base64.b64decode(found[1], validate=True)).size == (64, 64)


def test_the_picture_may_be_beside_the_text(emulator):
    message = emulator.chat("a still life, 64x64 [form:images]").json()["choices"][0]["message"]
    (image,) = message["images"]
    assert message["content"].startswith("A still life")
    assert (image["type"], image["index"]) == ("image_url", 0)
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_the_content_may_be_a_list_of_parts(emulator):
    words, link = content_of(emulator.chat("a still life, 64x64 [form:parts]"))
    assert words["text"].startswith("A still life")
    assert link["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("form", "pattern"), [("url", r"!\[image\]\((http://\S+)\)$"), ("bare_url", r"^(http://\S+)$")]
)
def test_the_picture_may_be_hosted(emulator, form, pattern):
    address = re.search(pattern, content_of(emulator.chat(f"a cup, 64x64 [form:{form}]")))[1]

    hosted = requests.get(address, timeout=10)

    assert address.startswith(emulator.url("/hosted/"))
    assert (hosted.headers["content-type"], decoded(hosted.content).size) == ("image/png", (64, 64))


def test_nothing_else_is_hosted(emulator):
    assert requests.get(emulator.url("/hosted/guess.png"), timeout=10).status_code == 404


def test_every_form_takes_several_pictures(emulator):
    for form in ("fenced", "markdown", "data_uri", "images", "parts"):
        response = emulator.chat(f"3 variations, 64x64 [form:{form}]", system=SEVERAL_PICTURES)
        assert json.dumps(response.json()["choices"][0]["message"]).count("iVBOR") == 3


# Clips


@pytest.mark.parametrize(
    ("text", "directive", "clip"),
    [
        ("a pan, 2 seconds, 720p MP4", ONE_CLIP, ("MP4", 2.0, 1280, 720)),
        ("a pan", ONE_CLIP, ("MP4", 2.0, 1280, 720)),
        ("a pan in 9:16, 3s GIF", ONE_CLIP, ("GIF", 3.0, 720, 1280)),
        ("a pan of 9 seconds, 480p 1:1", ONE_CLIP, ("MP4", 3.0, 480, 480)),
        ("a pan, 640x360", "a short video (<=3s) as GIF", ("GIF", 2.0, 640, 360)),
    ],
)
def test_a_clip_is_read_from_the_words(text, directive, clip):
    assert read_clip(text, directive) == clip


def test_a_clip_is_an_mp4_that_moves(emulator):
    response = emulator.chat("Text to video: an alley, 2 seconds, 320x180 MP4.", system=ONE_CLIP)

    data = payload_of(response)
    assert (json.loads(content_of(response))["mime_type"], data[4:8]) == ("video/mp4", b"ftyp")
    with av.open(io.BytesIO(data)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert (clip.duration, clip.streams.video[0].codec_context.name) == (2_000_000, "h264")
    assert (len(frames), frames[0].shape) == (30, (180, 320, 3))
    assert abs(frames[0].astype(int) - frames[-1]).mean() > 3


def test_a_clip_may_be_an_animated_gif(emulator):
    response = emulator.chat("an alley, 2 seconds, 320x180 GIF", system=ONE_CLIP)
    with Image.open(io.BytesIO(payload_of(response))) as clip:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(clip)]
        assert (clip.format, clip.size) == ("GIF", (320, 180))
    assert (len(durations) > 10, sum(durations)) == (True, 2000)
    assert json.loads(content_of(response))["mime_type"] == "image/gif"


def test_the_same_clip_has_the_same_bytes(emulator):
    first, second = (
        payload_of(emulator.chat(f"an alley, 1 second, 128x96 {kind}", system=ONE_CLIP, seed=7))
        for kind in ("MP4", "mp4")
    )
    again = payload_of(emulator.chat("an alley, 1 second, 128x96 MP4", system=ONE_CLIP, seed=7))
    assert first == again
    assert second[4:8] == b"ftyp"


def test_a_clip_is_listed_as_one(emulator):
    prompt = unique("1 second, 128x96 GIF")
    emulator.chat(prompt, system=ONE_CLIP)
    (call,) = emulator.get(f"/__emulator__/calls?prompt_sha256={digest(prompt)}").json()
    assert (call["kind"], call["size"]) == ("video", "128x96")


# Streams of chat completions


def test_a_stream_adds_up_to_the_whole_answer(emulator):
    whole = emulator.chat("a cup, 256x256", seed=7)
    first, *rest, last, usage = events_of(
        emulator.chat("a cup, 256x256", seed=7, stream=True, stream_options={"include_usage": True})
    )

    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(event["choices"][0]["delta"]["content"] for event in rest) == content_of(whole)
    assert len(rest) >= 3
    assert last["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert (usage["choices"], usage["usage"]) == ([], whole.json()["usage"])
    assert {event["object"] for event in (first, *rest, last, usage)} == {"chat.completion.chunk"}


def test_images_of_a_stream_come_whole(emulator):
    events = events_of(emulator.chat("a cup, 64x64 [form:images]", stream=True))
    (images,) = [event["choices"][0]["delta"]["images"] for event in events if "images" in event["choices"][0]["delta"]]
    assert images[0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_a_filtered_stream_ends_with_its_reason(emulator):
    *_, last = events_of(emulator.chat("a cup [fault:image_safety]", stream=True))
    assert last["choices"][0]["finish_reason"] == "content_filter"


def test_an_error_before_the_first_event_is_an_ordinary_one(emulator):
    response = emulator.chat("a cup [fault:429]", stream=True)
    assert (response.status_code, response.headers["content-type"]) == (429, "application/json; charset=UTF-8")


def test_a_chat_stream_can_break_off_with_an_error(emulator):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        emulator.chat("a cup, 64x64 [fault:breaks_off]", stream=True)


def test_a_chat_stream_can_just_end(emulator):
    response = emulator.chat("a cup, 64x64 [fault:no_finish]", stream=True)
    assert "[DONE]" not in response.text
    assert '"finish_reason":"stop"' not in response.text


def test_a_noisy_stream_has_comments_between_its_events(emulator):
    response = emulator.chat("a cup, 64x64 [fault:noise]", stream=True)
    assert ": keep-alive\n\nevent: message\nid: 1\nretry: 1000\ndata: {" in response.text


# The Images API


def test_a_picture_comes_as_bytes(emulator):
    answer = emulator.generate("a cup", size="1536x1024").json()
    (item,) = answer["data"]
    assert decoded(base64.b64decode(item["b64_json"], validate=True)).size == (1536, 1024)
    assert (answer["size"], answer["output_format"], answer["quality"], answer["background"]) == (
        "1536x1024",
        "png",
        "high",
        "opaque",
    )
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_several_pictures_differ(emulator):
    items = emulator.generate("a cup", n=3, size="128x128").json()["data"]
    assert len({item["b64_json"] for item in items}) == len(items) == 3


@pytest.mark.parametrize(("name", "start"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
def test_the_format_can_be_chosen(emulator, name, start):
    answer = emulator.generate("a cup", size="128x128", output_format=name).json()
    assert base64.b64decode(answer["data"][0]["b64_json"]).startswith(start)
    assert answer["output_format"] == name


def test_flux_can_be_asked_for_an_address(emulator):
    (item,) = emulator.generate("a cup", model="flux-2-pro", size="128x128", response_format="url").json()["data"]
    assert decoded(requests.get(item["url"], timeout=10).content).size == (128, 128)


def test_a_word_asks_for_an_address_too(emulator):
    (item,) = emulator.generate("a cup [form:url]", size="128x128").json()["data"]
    assert item["url"].startswith(emulator.url("/hosted/"))


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": PRO}, 404, "model_not_found", "model"),
        ({"model": "gpt-image-1"}, 404, "model_not_found", "model"),
        ({"model": "dall-e-3"}, 404, "model_not_found", "model"),
        ({"prompt": " "}, 400, "missing_required_parameter", "prompt"),
        ({"prompt": "x" * 32_001}, 400, "string_above_max_length", "prompt"),
        ({"n": 11}, 400, "invalid_value", "n"),
        ({"n": True}, 400, "invalid_value", "n"),
        ({"size": "1000x1000"}, 400, "invalid_value", "size"),
        ({"size": "3840x1024"}, 400, "invalid_value", "size"),
        ({"size": "3840x3840"}, 400, "invalid_value", "size"),
        ({"quality": "best"}, 400, "invalid_value", "quality"),
        ({"output_compression": 101}, 400, "invalid_value", "output_compression"),
        ({"response_format": "b64_json"}, 400, "unknown_parameter", "response_format"),
        ({"sizee": "x"}, 400, "unknown_parameter", "sizee"),
        ({"stream": True, "partial_images": 4}, 400, "invalid_value", "partial_images"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(emulator, fields, status, code, param):
    response = emulator.generate(**{"prompt": "a cup"} | fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)


def test_a_stream_brings_drafts_and_then_the_picture(emulator):
    response = emulator.generate("a cup", size="128x128", stream=True, partial_images=2)

    *events, rest = response.text.split("\n\n")
    names, values = zip(*(event.split("\ndata: ") for event in events), strict=True)
    first, second, last = (json.loads(value) for value in values)

    assert rest == ""
    assert names == ("event: image_generation.partial_image",) * 2 + ("event: image_generation.completed",)
    assert [first["partial_image_index"], second["partial_image_index"]] == [0, 1]
    assert [decoded(base64.b64decode(draft["b64_json"])).size for draft in (first, second)] == [(64, 64), (64, 64)]
    assert (last["type"], decoded(base64.b64decode(last["b64_json"])).size) == (
        "image_generation.completed",
        (128, 128),
    )
    assert last["usage"]["output_tokens"] == 64
