"""Requests of the Gemini-native protocol: built for the upstream, and read or refused at our own door."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.catalog import MODELS, size_token
from generations.errors import WireError
from generations.spec import GenerationSpec, canonical_json
from generations.wire.gemini import build_request, parse_request, parse_response, request_path
from generations.wire.inputs import InputImage, Turn

FLASH = "gemini-3.1-flash-image-preview"
PRO = "gemini-3-pro-image-preview"


def request(text: str = "A fox", **more: object) -> dict:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def configured(**config: object) -> dict:
    return request(generationConfig=config)


def refusal(body: object, model: str = FLASH) -> WireError:
    with pytest.raises(WireError) as caught:
        parse_request(model, body)
    return caught.value


def test_a_request_has_exactly_the_fields_of_the_protocol():
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="0.5K", aspect_ratio="1:8", seed=7)
    assert build_request(spec, upstream_size_token="512") == {
        "contents": [{"role": "user", "parts": [{"text": "A fox"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "1:8", "imageSize": "512"},
            "seed": 7,
        },
    }


def test_a_request_without_seed_names_none():
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="1K")
    assert "seed" not in build_request(spec, upstream_size_token="1K")["generationConfig"]


def test_the_path_is_below_the_base_address():
    assert request_path(FLASH) == f"/models/{FLASH}:generateContent"
    assert request_path("a/b?c") == "/models/a%2Fb%3Fc:generateContent"


def test_the_path_of_a_stream_asks_for_events():
    assert request_path(FLASH, stream=True) == f"/models/{FLASH}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("thinking", "include_thoughts", "config"),
    [
        ("off", False, None),
        ("off", True, {"includeThoughts": True}),
        ("minimal", False, {"thinkingLevel": "MINIMAL"}),
        ("high", True, {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_thinking_is_asked_for_by_its_level(thinking, include_thoughts, config):
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="1K")
    built = build_request(spec, upstream_size_token="1K", thinking=thinking, include_thoughts=include_thoughts)
    assert built["generationConfig"].get("thinkingConfig") == config


def test_grounding_is_a_tool_as_the_articles_write_it():
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="1K")
    assert build_request(spec, upstream_size_token="1K", grounding=True)["tools"] == [{"google_search": {}}]
    assert "tools" not in build_request(spec, upstream_size_token="1K")


def test_references_follow_the_text_of_the_prompt():
    spec = GenerationSpec(prompt="Both in one picture", model=FLASH, image_size="1K")
    references = [InputImage("image/png", "AAAA"), InputImage("image/webp", "BBBB")]
    built = build_request(spec, upstream_size_token="1K", references=references)
    assert built["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Both in one picture"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"inlineData": {"mimeType": "image/webp", "data": "BBBB"}},
            ],
        }
    ]


def test_an_edit_repeats_the_earlier_turns_with_their_signatures_to_the_byte():
    earlier = [
        Turn("user", "A fox"),
        Turn("model", "Here is the fox.", "Ab3_-x==", (InputImage("image/png", "AAAA", "c2ln"),)),
        Turn("user", "Darker", images=(InputImage("image/png", "CCCC"),)),
        Turn("model", images=(InputImage("image/jpeg", "BBBB", "+/=="),)),
    ]
    spec = GenerationSpec(prompt="Now in winter", model=FLASH, image_size="1K")
    assert build_request(spec, upstream_size_token="1K", earlier=earlier)["contents"] == [
        {"role": "user", "parts": [{"text": "A fox"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Here is the fox.", "thoughtSignature": "Ab3_-x=="},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "c2ln"},
            ],
        },
        {"role": "user", "parts": [{"text": "Darker"}, {"inlineData": {"mimeType": "image/png", "data": "CCCC"}}]},
        {
            "role": "model",
            "parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "BBBB"}, "thoughtSignature": "+/=="}],
        },
        {"role": "user", "parts": [{"text": "Now in winter"}]},
    ]


def test_what_a_reply_gave_is_what_an_edit_gives_back():
    parts = [
        {"text": "A fox.", "thoughtSignature": "dGV4dA=="},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "c2ln"},
    ]
    reply = parse_response(200, {}, orjson.dumps({"candidates": [{"content": {"role": "model", "parts": parts}}]}))
    chosen = reply.chosen
    image = InputImage(chosen.mime_type_claimed, bytes(chosen.data).decode(), chosen.thought_signature)
    turn = Turn("model", reply.text, reply.text_signature, (image,))
    spec = GenerationSpec(prompt="Darker", model=FLASH, image_size="1K")
    assert build_request(spec, upstream_size_token="1K", earlier=[turn])["contents"][0]["parts"] == parts


def test_more_pictures_than_a_request_may_carry_are_refused():
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="1K")
    fourteen = [InputImage("image/png", "AAAA")] * 14
    assert len(build_request(spec, upstream_size_token="1K", references=fourteen)["contents"][0]["parts"]) == 15
    earlier = [Turn("model", images=(InputImage("image/png", "AAAA", "c2ln"),))]
    with pytest.raises(ValueError, match="up to 14 pictures, not 15"):
        build_request(spec, upstream_size_token="1K", references=fourteen, earlier=earlier)
    with pytest.raises(ValueError, match="up to 20000000 bytes in base64, not 20000001"):
        build_request(spec, upstream_size_token="1K", references=[InputImage("image/png", "A" * 20_000_001)])


def test_the_native_remainder_is_sent_along():
    native = {
        "systemInstruction": {"role": "user", "parts": [{"text": "Paint in oil."}]},
        "history": [{"role": "user", "parts": [{"text": "Hello"}]}, {"role": "model", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"temperature": 0.5},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    }
    spec = GenerationSpec(prompt="A fox", model=FLASH, image_size="1K", native=canonical_json(native))
    built = build_request(spec, upstream_size_token="1K")
    assert built["contents"] == [*native["history"], {"role": "user", "parts": [{"text": "A fox"}]}]
    assert built["systemInstruction"] == native["systemInstruction"]
    assert built["safetySettings"] == native["safetySettings"]
    assert built["generationConfig"]["temperature"] == 0.5
    assert "history" not in built
    assert parse_request(FLASH, built) == spec


@st.composite
def specs(draw):
    model = draw(st.sampled_from(list(MODELS.values())))
    prompt = draw(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40))
    native = {}
    if draw(st.booleans()):
        native["generationConfig"] = {"temperature": draw(st.floats(0, 2)), "topK": draw(st.integers(1, 64))}
    if draw(st.booleans()):
        native["history"] = [{"role": "model", "parts": [{"text": "Hi", "thoughtSignature": "c2ln"}]}]
    return GenerationSpec(
        prompt=prompt,
        model=model.id,
        image_size=draw(st.sampled_from(model.sizes)),
        aspect_ratio=draw(st.sampled_from(model.aspect_ratios)),
        modalities=draw(st.sampled_from(model.capabilities.modalities)),
        grounding=draw(st.sampled_from(model.capabilities.grounding)),
        thinking=draw(st.sampled_from([None, *(level for level in model.capabilities.thinking if level != "off")])),
        include_thoughts=draw(st.sampled_from(model.capabilities.include_thoughts)),
        seed=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        native=canonical_json(native),
    )


@given(spec=specs(), upstream=st.sampled_from(["wisgate", "google"]))
def test_what_is_built_is_read_back_equal(spec, upstream):
    body = build_request(
        spec,
        upstream_size_token=size_token(upstream, spec.image_size),
        thinking=spec.thinking or "off",
        include_thoughts=spec.include_thoughts,
        grounding=spec.grounding,
    )
    assert parse_request(spec.model, body) == spec


def test_omitted_settings_have_the_protocols_defaults():
    spec = parse_request(f"models/{FLASH}", request())
    assert (spec.aspect_ratio, spec.image_size, spec.seed, spec.native) == ("1:1", "1K", None, "{}")
    assert spec.modalities == ("TEXT", "IMAGE")


def test_the_operators_default_size_holds_where_the_model_has_it():
    assert parse_request(FLASH, request(), default_image_size="2K").image_size == "2K"
    assert parse_request(PRO, request(), default_image_size="0.5K").image_size == "1K"


def test_camel_and_snake_case_mean_the_same():
    camel = request(
        systemInstruction={"parts": [{"text": "Oil."}]},
        generationConfig={"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "9:16", "imageSize": "2K"}},
        safetySettings=[{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"}],
    )
    snake = request(
        system_instruction={"parts": {"text": "Oil."}},
        generation_config={
            "response_modalities": ["image"],
            "image_config": {"aspect_ratio": "9:16", "image_size": "2K"},
        },
        safety_settings={"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"},
    )
    assert parse_request(FLASH, camel) == parse_request(FLASH, snake)
    assert parse_request(FLASH, camel).aspect_ratio == "9:16"


@pytest.mark.parametrize("alias", ["0.5K", "512", "512px"])
def test_the_small_size_has_three_spellings(alias):
    assert parse_request(FLASH, configured(imageConfig={"imageSize": alias})).image_size == "0.5K"


def test_the_prompt_is_the_text_of_the_last_turn_and_the_rest_is_history():
    body = {
        "contents": [
            {"parts": [{"text": "A fox"}]},
            {"role": "model", "parts": [{"text": "Done.", "thought_signature": "c2ln"}]},
            {"role": "user", "parts": [{"text": "  Now in"}, {"text": "winter "}]},
        ]
    }
    spec = parse_request(FLASH, body)
    assert spec.prompt == "Now in\nwinter"
    assert spec.native_fields()["history"] == [
        {"role": "user", "parts": [{"text": "A fox"}]},
        {"role": "model", "parts": [{"text": "Done.", "thoughtSignature": "c2ln"}]},
    ]


def test_a_single_content_object_stands_for_a_list_of_one():
    assert parse_request(FLASH, {"contents": {"parts": [{"text": "A fox"}]}}).prompt == "A fox"


def test_the_native_remainder_is_part_of_the_fingerprint():
    plain, warm = parse_request(FLASH, request()), parse_request(FLASH, configured(temperature=1.5))
    assert plain.fingerprint != warm.fingerprint
    assert warm.native_fields() == {"generationConfig": {"temperature": 1.5}}


def test_neutral_values_of_what_is_not_offered_are_accepted():
    body = request(tools=[], generationConfig={"candidateCount": 1, "thinkingConfig": {"includeThoughts": False}})
    assert parse_request(FLASH, body) == parse_request(FLASH, request())


@pytest.mark.parametrize("name", ["googleSearch", "google_search"])
def test_a_search_is_part_of_the_wish(name):
    assert parse_request(FLASH, request(tools=[{name: {}}])).grounding is True
    assert parse_request(FLASH, request()).grounding is False


@pytest.mark.parametrize(
    ("config", "thinking", "include_thoughts"),
    [
        ({}, None, False),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None, False),
        ({"thinking_level": "high", "include_thoughts": True}, "high", True),
        ({"thinkingLevel": "MINIMAL", "includeThoughts": False}, "minimal", False),
    ],
)
def test_thinking_is_part_of_the_wish(config, thinking, include_thoughts):
    spec = parse_request(FLASH, configured(thinkingConfig=config))
    assert (spec.thinking, spec.include_thoughts) == (thinking, include_thoughts)


def test_a_model_that_always_thinks_takes_no_level():
    error = refusal(configured(thinkingConfig={"thinkingLevel": "HIGH"}), PRO)
    assert error.message.endswith(f"thinking_level: HIGH is not offered for {PRO}; leave it out.")


def test_an_unknown_model_is_not_found_and_the_nearest_is_named():
    with pytest.raises(WireError) as caught:
        parse_request("models%2Fgemini-3.1-flash-imag", request(), api_version="v1")
    error = caught.value
    assert (error.status, error.rpc_status, error.code, error.field) == (404, "NOT_FOUND", "not_found", "model")
    assert error.message == (
        "models/gemini-3.1-flash-imag is not found for API version v1, or is not supported for generateContent. "
        "Call ListModels to see the list of available models and their supported methods. "
        "Did you mean gemini-3.1-flash-image?"
    )


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ([], "body", "Invalid value at 'body' (an object), []"),
        ({}, "contents", "* GenerateContentRequest.contents: contents is not specified"),
        ({"contents": []}, "contents", "* GenerateContentRequest.contents: contents is not specified"),
        ({"contents": ["A fox"]}, "contents[0]", "Invalid value at 'contents[0]' (an object), \"A fox\""),
        (
            {"contents": [{"parts": []}]},
            "contents[0].parts",
            "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.",
        ),
        (
            {"contents": [{"parts": [{}]}]},
            "contents[0].parts[0].data",
            "* GenerateContentRequest.contents[0].parts[0].data: required oneof field 'data' must have one initialized "
            "field",
        ),
        (
            {"contents": [{"parts": [{"text": 5}]}]},
            "contents[0].parts[0].text",
            "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 5",
        ),
        (
            {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]},
            "contents[0].role",
            'Please use a valid role: user, model. Not "assistant".',
        ),
        (
            {"contents": [{"role": "model", "parts": [{"text": "x"}]}]},
            "contents",
            "* GenerateContentRequest.contents: Please ensure that multiturn requests end with a turn of the user.",
        ),
        (
            request("a" * 4001),
            "contents",
            "* GenerateContentRequest.contents: the prompt has 4001 characters; 1 to 4000 are allowed.",
        ),
        (
            request(" \n "),
            "contents",
            "* GenerateContentRequest.contents: the prompt is empty; 1 to 4000 characters are allowed.",
        ),
        (
            configured(sizee="1K"),
            "generation_config.sizee",
            "Invalid JSON payload received. Unknown name \"sizee\" at 'generation_config': Cannot find field.",
        ),
        (request(foo=1), "foo", 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'),
        (
            request(generationConfig={}, generation_config={}),
            "generation_config",
            'Invalid JSON payload received. Field "generation_config" is given twice.',
        ),
        (
            configured(imageConfig={"imageSize": "1k"}),
            "generation_config.image_config.image_size",
            "* GenerateContentRequest.generation_config.image_config.image_size: image_size must be one of "
            "'0.5K', '1K', '2K' or '4K', not \"1k\".",
        ),
        (
            configured(imageConfig={"aspectRatio": 1}),
            "generation_config.image_config.aspect_ratio",
            "Invalid value at 'generation_config.image_config.aspect_ratio' (TYPE_STRING), 1",
        ),
        (
            configured(responseModalities=["TEXT"]),
            "generation_config.response_modalities",
            '* GenerateContentRequest.generation_config.response_modalities: ["TEXT"] makes no picture; '
            'allowed: ["IMAGE"] or ["TEXT","IMAGE"].',
        ),
        (
            configured(candidateCount=2),
            "generation_config.candidate_count",
            f"Multiple candidates is not enabled for models/{FLASH}",
        ),
        (
            configured(seed=True),
            "generation_config.seed",
            "Invalid value at 'generation_config.seed' (TYPE_INT32), true",
        ),
        (
            configured(temperature="hot"),
            "generation_config.temperature",
            "Invalid value at 'generation_config.temperature' (TYPE_FLOAT from 0 to 2), \"hot\"",
        ),
        (
            configured(thinkingConfig={"thinkingLevel": "LOW"}),
            "generation_config.thinking_config.thinking_level",
            "* GenerateContentRequest.generation_config.thinking_config.thinking_level: LOW is not offered for "
            f"{FLASH}; allowed: MINIMAL or HIGH.",
        ),
        (
            configured(thinkingConfig={"thinkingLevel": 3}),
            "generation_config.thinking_config.thinking_level",
            "Invalid value at 'generation_config.thinking_config.thinking_level' (TYPE_ENUM), 3",
        ),
        (
            configured(thinkingConfig={"thinkingBudget": 128}),
            "generation_config.thinking_config.thinking_budget",
            "* GenerateContentRequest.generation_config.thinking_config.thinking_budget: thinkingBudget is not offered "
            "by this server yet; leave it out.",
        ),
        (
            request(tools=[{"googleSearch": {"searchTypes": {"imageSearch": {}}}}]),
            "tools[0]",
            "* GenerateContentRequest.tools[0]: googleSearch is not offered by this server yet; leave tools out.",
        ),
        (
            request(tools=[{"googleSearch": {}}, {"codeExecution": {}}]),
            "tools[1]",
            "* GenerateContentRequest.tools[1]: codeExecution is not offered by this server yet; leave tools out.",
        ),
        (
            request(cachedContent="cachedContents/x"),
            "cached_content",
            "* GenerateContentRequest.cached_content: cachedContent is not offered by this server yet; leave it out.",
        ),
        (
            request(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "MAYBE"}]),
            "safety_settings[0].threshold",
            "Invalid value at 'safety_settings[0].threshold' (TYPE_ENUM), \"MAYBE\"",
        ),
        (
            request(model=PRO),
            "model",
            f'* GenerateContentRequest.model: "{PRO}" is not the model of the path, {FLASH}.',
        ),
        (
            configured(stopSequences=["END", "\ud800"]),
            "generation_config.stop_sequences[1]",
            "Invalid value at 'generation_config.stop_sequences[1]' (TYPE_STRING): it has half a character (U+D800, an "
            "unpaired surrogate) at position 1.",
        ),
        (
            request(systemInstruction={"parts": [{"text": "a\x00b"}]}),
            "system_instruction.parts[0]",
            "Invalid value at 'system_instruction.parts[0]' (TYPE_STRING): it has the control character U+0000 at "
            "position 2; only line breaks and tabs are allowed.",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(body, field, message):
    error = refusal(body)
    assert [(each.field, each.message) for each in error.errors] == [(field, message)]
    assert (error.status, error.rpc_status, error.code) == (400, "INVALID_ARGUMENT", "invalid")


@pytest.mark.parametrize("name", ["inlineData", "inline_data", "fileData", "functionCall"])
def test_parts_other_than_text_are_refused_by_name(name):
    body = {"contents": [{"parts": [{"text": "A fox"}, {name: {}}]}]}
    assert "is not offered by this server yet" in refusal(body).message
    assert refusal(body).field.startswith("contents[0].parts[1].")


def test_a_signature_on_the_prompt_itself_is_refused_and_not_lost():
    error = refusal({"contents": [{"parts": [{"text": "A fox", "thoughtSignature": "c2ln"}]}]})
    assert error.field == "contents[0].parts[0].thought_signature"


def test_a_ratio_that_the_model_lacks_names_those_that_it_has():
    body = configured(imageConfig={"aspectRatio": "1:8"})
    assert parse_request(FLASH, body).aspect_ratio == "1:8"
    assert refusal(body, PRO).message == (
        "* GenerateContentRequest.generation_config.image_config.aspect_ratio: aspect_ratio must be one of '1:1', "
        "'2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9' or '21:9', not \"1:8\"."
    )


def test_all_problems_are_told_together():
    body = request("", generationConfig={"seed": "x", "imageConfig": {"imageSize": "3K"}}, foo=1)
    assert {error.field for error in refusal(body).errors} == {
        *("foo", "contents", "generation_config.seed", "generation_config.image_config.image_size"),
    }


def test_a_thousand_problems_make_an_answer_of_twenty():
    assert len(refusal(request(**{f"field{n}": n for n in range(1000)})).errors) == 20


def test_a_request_nested_without_end_is_refused():
    schema: dict = {}
    for _ in range(3000):
        schema = {"items": schema}
    assert refusal(configured(responseSchema=schema)).message == "Invalid JSON payload received. Nested too deeply."


def test_numbers_that_json_does_not_have_are_refused():
    assert "NaN and Infinity" in refusal(configured(presencePenalty=float("inf"))).message


def test_a_history_over_the_cap_is_refused():
    old = {"role": "user", "parts": [{"text": "x" * 300_000}]}
    body = {"contents": [old, {"parts": [{"text": "A fox"}]}]}
    assert "history and settings are over 262144 bytes" in refusal(body).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "contents",
                        "parts",
                        "text",
                        "role",
                        "generationConfig",
                        "image_config",
                        "imageSize",
                        "seed",
                        "tools",
                    ),
                    *("thinkingConfig", "includeThoughts", "candidateCount", "responseModalities", "safetySettings"),
                    *("systemInstruction", "stopSequences", "model", "topK", "x"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@given(body=json_values, rest=json_values)
def test_an_arbitrary_request_is_read_or_refused_and_never_breaks(body, rest):
    for document in (body, {"contents": [{"parts": [{"text": "A fox"}]}], "generationConfig": body, "tools": rest}):
        try:
            spec = parse_request(FLASH, document)
        except WireError:
            continue
        built = build_request(
            spec,
            upstream_size_token=spec.image_size,
            thinking=spec.thinking or "off",
            include_thoughts=spec.include_thoughts,
            grounding=spec.grounding,
        )
        assert parse_request(FLASH, built) == spec
