"""The parsed wish: what is accepted, what is refused, and when two wishes are the same."""

import dataclasses
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidInput
from generations.catalog import MODELS
from generations.spec import GenerationSpec, canonical_json, parse_create_body

FLASH = "gemini-3.1-flash-image-preview"
PRO = "gemini-3-pro-image-preview"
IMAGE_ID = "0b6b5a1e-3f53-4b0e-8a3c-4f9b1a2c3d4e"
FLASH_FIELDS = (
    "prompt, model, kind, aspect_ratio, image_size, modalities, seed, count, grounding, thinking, include_thoughts, "
    "styles, references, edit_of"
)


def parse(**body: object) -> GenerationSpec:
    return GenerationSpec.parse({"prompt": "A fox", **body}, default_image_size="1K")


def refusal(**body: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(**body)
    return caught.value


def test_a_prompt_alone_gets_every_default():
    assert parse() == GenerationSpec(
        prompt="A fox",
        model=FLASH,
        image_size="1K",
        kind="image",
        aspect_ratio="1:1",
        count=1,
        modalities=("IMAGE",),
        seed=None,
        native="{}",
    )


def test_a_full_body_is_read():
    spec = parse(
        model="nano-banana-pro",
        kind="image",
        aspect_ratio="21:9",
        image_size="4K",
        count=1,
        grounding=False,
        include_thoughts=False,
        modalities=["TEXT", "IMAGE"],
        seed=-(2**31),
        styles=[],
        references=[],
        edit_of=None,
    )
    assert spec == GenerationSpec(
        prompt="A fox", model=PRO, aspect_ratio="21:9", image_size="4K", modalities=("TEXT", "IMAGE"), seed=-(2**31)
    )


def test_the_operators_default_size_holds_where_the_model_has_it():
    body = {"prompt": "A fox", "model": PRO}
    assert GenerationSpec.parse(body, default_image_size="2K").image_size == "2K"
    assert GenerationSpec.parse(body, default_image_size="0.5K").image_size == "1K"


@pytest.mark.parametrize("alias", ["512", "512px", "0.5K"])
def test_the_small_size_has_three_spellings(alias):
    assert parse(image_size=alias).image_size == "0.5K"


def test_the_modalities_are_a_set_in_one_order():
    assert parse(modalities=["IMAGE", "TEXT"]).modalities == ("TEXT", "IMAGE")


def test_thinking_off_is_the_default_of_flash():
    assert parse(thinking="off") == parse()


def test_pictures_that_are_brought_along_are_counted_with_the_edited_one():
    ids = [str(uuid.UUID(int=number)) for number in range(14)]
    assert parse(references=ids).references == tuple(ids)
    message = refusal(references=ids, edit_of=IMAGE_ID).message
    assert message == "15 pictures are brought along; Nano Banana 2 takes at most 14."


def test_a_wish_without_the_later_fields_has_the_fingerprint_it_always_had():
    later = {"grounding", "thinking", "include_thoughts", "styles", "references", "edit_of"}
    assert later.isdisjoint(parse().canonical())
    assert later & set(parse(grounding=True, edit_of=IMAGE_ID).canonical()) == {"grounding", "edit_of"}


def test_outer_white_space_of_a_prompt_goes_and_inner_stays():
    assert parse(prompt=" \n A  fox,\n\tred. ").prompt == "A  fox,\n\tred."


def test_a_prompt_is_counted_in_code_points_without_outer_white_space():
    assert parse(prompt="  " + "🦊" * 4000 + "\n").prompt == "🦊" * 4000
    assert refusal(prompt="🦊" * 4001).message == "prompt has 4001 characters; 1 to 4000 are allowed."


@pytest.mark.parametrize("blank", ["", " ", "\n\t\r\n", "\u00a0\u2003", "\u200b\u200d\ufeff"])
def test_a_prompt_of_nothing_visible_is_refused(blank):
    assert refusal(prompt=blank).message == "prompt is empty; 1 to 4000 characters are allowed."


@pytest.mark.parametrize("control", ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x1f"])
def test_control_characters_in_a_prompt_are_refused_and_their_place_named(control):
    assert refusal(prompt=f"ab{control}").message == (
        f"prompt has the control character U+{ord(control):04X} at position 3; only line breaks and tabs are allowed."
    )


@pytest.mark.parametrize("code", [0xD800, 0xDFFF])
def test_half_a_character_in_a_prompt_is_refused(code):
    message = refusal(prompt=f"fox {chr(code)}").message
    assert message == f"prompt has half a character (U+{code:04X}, an unpaired surrogate) at position 5."


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", None, "prompt null is not a text; allowed: a text of 1 to 4000 characters."),
        ("prompt", ["a"], 'prompt ["a"] is not a text; allowed: a text of 1 to 4000 characters.'),
        ("model", "gemini-3-pro", 'There is no model "gemini-3-pro"; did you mean "gemini-3-pro-image"?'),
        ("model", 3, f"model 3 is not the id of a model; allowed: {FLASH}, {PRO}."),
        ("kind", "audio", 'kind "audio" is not valid; allowed: "image", "video".'),
        (
            "aspect_ratio",
            "5:3",
            f'aspect_ratio "5:3" is not available for Nano Banana 2 ({FLASH}); allowed: 1:1, 2:3, 3:2, 3:4, 4:3, 4:5, '
            "5:4, 9:16, 16:9, 21:9, 1:4, 4:1, 1:8, 8:1.",
        ),
        (
            "image_size",
            "1k",
            f'image_size "1k" is not available for Nano Banana 2 ({FLASH}); allowed: 0.5K, 1K, 2K, 4K.',
        ),
        (
            "image_size",
            512,
            f"image_size 512 is not available for Nano Banana 2 ({FLASH}); allowed: 0.5K, 1K, 2K, 4K.",
        ),
        (
            "image_size",
            None,
            f"image_size null is not available for Nano Banana 2 ({FLASH}); allowed: 0.5K, 1K, 2K, 4K.",
        ),
        (
            "modalities",
            ["TEXT"],
            f'modalities ["TEXT"] is not available for Nano Banana 2 ({FLASH}); allowed: ["IMAGE"], ["TEXT", "IMAGE"].',
        ),
        (
            "modalities",
            ["IMAGE", "IMAGE"],
            f'modalities ["IMAGE", "IMAGE"] is not available for Nano Banana 2 ({FLASH}); '
            'allowed: ["IMAGE"], ["TEXT", "IMAGE"].',
        ),
        ("seed", True, "seed true is not valid; allowed: a whole number from -2147483648 to 2147483647, or null."),
        (
            "seed",
            2**31,
            "seed 2147483648 is not valid; allowed: a whole number from -2147483648 to 2147483647, or null.",
        ),
        ("seed", 1.0, "seed 1.0 is not valid; allowed: a whole number from -2147483648 to 2147483647, or null."),
        (
            "seed",
            2**90,
            "seed a huge number is not valid; allowed: a whole number from -2147483648 to 2147483647, or null.",
        ),
        ("count", 5, "count 5 is not valid; expected a whole number from 1 to 4."),
        ("count", True, "count true is not valid; expected a whole number from 1 to 4."),
        ("grounding", 0, "grounding 0 is not valid; expected true or false."),
        ("thinking", "low", 'thinking "low" is not valid; expected off, minimal or high.'),
        ("include_thoughts", "yes", 'include_thoughts "yes" is not valid; expected true or false.'),
        ("styles", ["noir", "ink"], "styles has 2 texts for count 1; expected one per picture."),
        (
            "styles",
            ["a\0b"],
            "A style has the control character U+0000 at position 2; only line breaks and tabs are allowed.",
        ),
        ("styles", ["x" * 201], "A style has 201 characters; at most 200 are allowed."),
        ("styles", "noir", 'styles "noir" is not valid; expected a list of texts.'),
        ("references", ["a1"], 'references ["a1"] is not valid; expected a list of image ids.'),
        ("references", [IMAGE_ID, IMAGE_ID], "references names a picture twice."),
        ("references", {}, "references an object is not valid; expected a list of image ids."),
        ("edit_of", "a1", 'edit_of "a1" is not valid; expected an image id or null.'),
        ("edit_of", 5, "edit_of 5 is not valid; expected an image id or null."),
        ("sizee", "1K", f'There is no field "sizee"; allowed: {FLASH_FIELDS}.'),
        ("native", {}, f'There is no field "native"; allowed: {FLASH_FIELDS}.'),
        ("client_id", None, f'There is no field "client_id"; allowed: {FLASH_FIELDS}.'),
    ],
)
def test_a_wrong_field_is_refused_with_its_value_and_what_is_allowed(field, value, message):
    error = refusal(**{field: value})
    assert [(each.field, each.message) for each in error.errors] == [(field, message)]
    assert (error.message, error.status, error.code) == (message, 400, "invalid")


def test_a_missing_prompt_is_named():
    with pytest.raises(InvalidInput) as caught:
        GenerationSpec.parse({}, default_image_size="1K")
    assert caught.value.message == "prompt is missing; allowed: a text of 1 to 4000 characters."


@pytest.mark.parametrize(("body", "shown"), [([], "[]"), (None, "null"), ("A fox", '"A fox"')])
def test_a_body_that_is_no_object_is_refused(body, shown):
    with pytest.raises(InvalidInput) as caught:
        GenerationSpec.parse(body, default_image_size="1K")
    assert caught.value.message == f"The body must be a JSON object, not {shown}."


@pytest.mark.parametrize(("field", "value"), [("aspect_ratio", "1:8"), ("image_size", "0.5K"), ("image_size", "512")])
def test_what_only_the_other_model_has_is_refused_for_pro(field, value):
    assert parse(**{field: value})
    error = refusal(**{"model": PRO, field: value})
    assert [each.field for each in error.errors] == [field]
    assert f'{field} "{value}" is not available for Nano Banana Pro ({PRO}); allowed: 1' in error.message


def test_thinking_off_is_refused_where_the_model_always_thinks():
    message = refusal(model=PRO, thinking="off").message
    assert message == f'thinking "off" is not offered by this server yet for {PRO}; allowed: leave the field out.'


def test_all_problems_are_told_together():
    error = refusal(prompt="", model="nope", aspect_ratio="7:7", image_size="3K", seed="x", count=9, foo=1)
    assert [each.field for each in error.errors] == [
        *("foo", "model", "prompt", "aspect_ratio", "image_size", "seed", "count"),
    ]
    names = "foo, model, prompt, aspect_ratio, image_size, seed, count"
    assert error.message == f"Several fields are not valid: {names}."


def test_a_thousand_problems_make_an_answer_of_twenty():
    assert len(refusal(**{f"field{n}": n for n in range(1000)}).errors) == 20


def test_what_is_refused_is_not_repeated_at_length():
    assert len(refusal(model="x" * 100_000).message) < 300
    assert len(refusal(**{"y" * 100_000: 1}).message) < 400


def test_the_envelope_is_read_apart_from_the_wish():
    client_id = uuid.uuid4()
    body = {"prompt": "A fox", "client_id": str(client_id), "reuse": "never"}
    created = parse_create_body(body, default_image_size="1K")
    assert (created.spec, created.client_id) == (parse(), client_id)
    assert parse_create_body({"prompt": "A fox"}, default_image_size="1K").client_id is None


def test_a_wrong_envelope_is_told_together_with_a_wrong_wish():
    body = {"prompt": "A fox", "client_id": "7", "reuse": "sometimes", "seed": "x", "foo": 1}
    with pytest.raises(InvalidInput) as caught:
        parse_create_body(body, default_image_size="1K")
    assert [(each.field, each.message) for each in caught.value.errors] == [
        ("client_id", 'client_id "7" is not valid; allowed: a UUID or null.'),
        ("reuse", 'reuse "sometimes" is not valid; allowed: "never", "auto".'),
        ("foo", f'There is no field "foo"; allowed: {FLASH_FIELDS}, client_id, parent, reuse.'),
        ("seed", 'seed "x" is not valid; allowed: a whole number from -2147483648 to 2147483647, or null.'),
    ]


@pytest.mark.parametrize("reuse", [None, True, "always", ["never"]])
def test_a_reuse_that_does_not_exist_is_refused(reuse):
    with pytest.raises(InvalidInput) as caught:
        parse_create_body({"prompt": "A fox", "reuse": reuse}, default_image_size="1K")
    assert caught.value.errors[0].message.endswith('is not valid; allowed: "never", "auto".')


def test_the_canonical_form_has_every_field_in_one_order():
    document = parse(seed=7, modalities=["TEXT", "IMAGE"]).canonical()
    assert list(document) == sorted(document)
    assert document == {
        "aspect_ratio": "1:1",
        "count": 1,
        "image_size": "1K",
        "kind": "image",
        "modalities": ["TEXT", "IMAGE"],
        "model": FLASH,
        "native": {},
        "prompt": "A fox",
        "seed": 7,
    }


def test_the_parameters_leave_out_prompt_and_model():
    assert parse(seed=7).parameters() == {
        "aspect_ratio": "1:1",
        "image_size": "1K",
        "count": 1,
        "modalities": ["IMAGE"],
        "grounding": False,
        "thinking": None,
        "include_thoughts": False,
        "styles": [],
        "references": [],
        "edit_of": None,
        "seed": 7,
    }


@st.composite
def specs(draw):
    model = draw(st.sampled_from(list(MODELS.values())))
    native = draw(st.dictionaries(st.text(max_size=5), st.none() | st.floats(0, 9) | st.text(max_size=5), max_size=3))
    return GenerationSpec(
        prompt=draw(st.text(min_size=1, max_size=50)),
        model=model.id,
        image_size=draw(st.sampled_from(model.sizes)),
        aspect_ratio=draw(st.sampled_from(model.aspect_ratios)),
        modalities=draw(st.sampled_from(model.capabilities.modalities)),
        grounding=draw(st.booleans()),
        thinking=draw(st.sampled_from([None, "minimal", "high"])),
        include_thoughts=draw(st.booleans()),
        styles=tuple(draw(st.lists(st.text(min_size=1, max_size=9), max_size=3))),
        references=tuple(draw(st.lists(st.uuids().map(str), max_size=3, unique=True))),
        edit_of=draw(st.none() | st.uuids().map(str)),
        seed=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        native=canonical_json(native),
    )


@given(specs())
def test_a_spec_comes_back_from_its_canonical_form_exactly(spec):
    stored = json.loads(json.dumps(spec.canonical()))
    again = GenerationSpec.from_canonical(stored)
    assert again == spec
    assert again.fingerprint == spec.fingerprint


def test_a_stored_wish_outlives_its_model():
    document = parse().canonical() | {"model": "gone-1", "image_size": "9K"}
    assert GenerationSpec.from_canonical(document).model == "gone-1"


def test_the_fingerprint_is_known_and_stable():
    # A change here makes every stored fingerprint worthless: replays and reuse would miss.
    assert parse().fingerprint == "be58ba04df26a3e5cc29b047dda18a47d71cb1110e6e20a4fc1821da3f9a6599"


@pytest.mark.parametrize("same", ["A fox", " A fox ", "A  fox", "A\n\tfox", "A\u00a0fox"])
def test_white_space_does_not_change_the_fingerprint(same):
    assert parse(prompt=same).fingerprint == parse().fingerprint


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a fox"},
        {"prompt": "A fox."},
        {"model": PRO},
        {"aspect_ratio": "16:9"},
        {"image_size": "2K"},
        {"modalities": ["TEXT", "IMAGE"]},
        {"seed": 0},
    ],
)
def test_anything_else_changes_the_fingerprint(other):
    assert parse(**other).fingerprint != parse().fingerprint


def test_aliases_and_spelled_out_defaults_make_the_same_wish():
    spelled_out = parse(model="models/nano-banana-2", aspect_ratio="1:1", image_size="1K", seed=None, count=1)
    assert spelled_out.fingerprint == parse().fingerprint
    assert parse(image_size="512").fingerprint == parse(image_size="0.5K").fingerprint


def test_a_spec_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse().seed = 1
    spec = parse()
    spec.native_fields()["temperature"] = 2
    assert spec.native_fields() == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*FLASH_FIELDS.split(", "), "client_id", "reuse", "x"]), json_values))
def test_an_arbitrary_body_is_read_or_refused_and_never_breaks(body):
    try:
        created = parse_create_body({"prompt": "A fox", **body}, default_image_size="1K")
    except InvalidInput as error:
        json.dumps([error.message, *(each.message for each in error.errors)], ensure_ascii=False).encode()
    else:
        assert GenerationSpec.from_canonical(created.spec.canonical()) == created.spec


def test_a_picture_without_a_style_gets_the_bare_prompt():
    spec = GenerationSpec.parse({"prompt": "a fox", "count": 2, "styles": ["ink", " "]}, default_image_size="1K")
    assert [spec.for_slot(slot).prompt for slot in range(2)] == ["a fox\n\nStyle: ink", "a fox"]
