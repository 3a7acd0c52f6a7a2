"""The images API: requests in each family's dialect, one fixture per answer, and what no answer may do to us."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec
from generations.wire.openai import images
from generations.wire.openai.images import FLUX, GPT_IMAGE, GPT_IMAGE_CLASSIC, dialect_of
from tests.wire import cases

FIXTURES = cases.paths("openai_images")
LONG = "AbC/9+xyz0123456" * 1000
SPEC = GenerationSpec(prompt="A fox", model="gpt-image-2", image_size="1K", aspect_ratio="3:2", count=2, seed=7)


def test_a_request_to_a_gpt_image_model():
    body = images.build_request(
        SPEC, upstream_model_id="gpt-image-2", dialect=GPT_IMAGE, quality="high", output_format="webp", user_token="t0k"
    )
    assert body == {
        "model": "gpt-image-2",
        "prompt": "A fox",
        "n": 2,
        "size": "1248x832",
        "quality": "high",
        "output_format": "webp",
        "user": "t0k",
    }


def test_a_request_to_a_flux_model_asks_for_the_bytes_and_not_for_an_address():
    assert images.build_request(SPEC, upstream_model_id="flux-2-pro", dialect=FLUX) == {
        "model": "flux-2-pro",
        "prompt": "A fox",
        "n": 2,
        "size": "1248x832",
        "response_format": "b64_json",
        "seed": 7,
    }


def test_gpt_image_models_are_never_sent_a_response_format():
    assert "response_format" not in images.build_request(SPEC, upstream_model_id="gpt-image-2", dialect=GPT_IMAGE)


@pytest.mark.parametrize(("name", "value"), [("quality", "ultra"), ("output_format", "gif")])
def test_what_the_dialect_lacks_is_refused(name, value):
    with pytest.raises(ValueError, match=value):
        images.build_request(SPEC, upstream_model_id="gpt-image-2", dialect=GPT_IMAGE, **{name: value})


def test_a_family_without_qualities_refuses_each():
    with pytest.raises(ValueError, match="this dialect"):
        images.build_request(SPEC, upstream_model_id="flux-2-pro", dialect=FLUX, quality="high")


@pytest.mark.parametrize(
    ("name", "dialect"),
    [("gpt-image-2", GPT_IMAGE), ("gpt-image-1.5", GPT_IMAGE_CLASSIC), ("flux-2-pro", FLUX)],
)
def test_a_family_is_known_by_how_its_ids_begin(name, dialect):
    assert dialect_of(name) is dialect


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_reply_is_read_as_its_fixture_expects(path):
    case, body = cases.load(path)
    reply = images.parse_reply(case["status"], case["headers"], body, count=case.get("count", 1))
    cases.assert_as_expected(reply, case["expect"])


def test_a_long_picture_is_a_view_into_the_body_and_not_a_copy():
    body = json.dumps({"data": [{"b64_json": LONG}, {"b64_json": LONG.swapcase()}]}).encode()
    reply = images.parse_reply(200, {}, body, count=2)
    assert [bytes(picture.data).decode() for picture in reply.pictures] == [LONG, LONG.swapcase()]
    assert all(picture.data.obj is body for picture in reply.pictures)


def test_a_body_over_the_cap_is_too_large_and_not_parsed():
    assert images.parse_reply(200, {}, b'{"data":[]}', max_body_bytes=5).outcome == "too_large"


@given(body=st.binary(max_size=300), status=st.sampled_from([200, 200, 302, 400, 401, 429, 500]))
def test_arbitrary_bytes_never_raise(body, status):
    assert images.parse_reply(status, {}, body).outcome in OUTCOMES


NAMES = ["data", "images", "b64_json", "url", "revised_prompt", "usage", "input_tokens_details", "error", "code"]
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 600)
    | st.sampled_from(["", "AAAA", LONG, "https://a.example/b", "png"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "output_format"]), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(document=documents, items=documents)
def test_arbitrary_documents_never_raise(document, items):
    for body in (document, {"data": items, "output_format": "png"}):
        reply = images.parse_reply(200, {}, json.dumps(body).encode())
        assert (reply.outcome is None) == (reply.chosen is not None)
