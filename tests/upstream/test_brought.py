"""What goes out beside the wish: references, the turns behind an edit; and what comes back beside the picture."""

import base64

import pytest

from accounts import ledger
from accounts.errors import InvalidInput
from gallery.models import Image
from generations.audit import audit
from generations.models import Evidence, Output, Status
from tests.upstream import chat, native
from tests.upstream.pictures import png

pytestmark = pytest.mark.django_db(transaction=True)

SIGNATURE = base64.b64encode(b"signed by the model " * 20).decode()


@pytest.fixture
def picture_of(served_by, make):
    """Makes one picture and returns its id."""

    def make_one(upstream, **part):
        upstream.answers(native.answer(native.text("A fox."), native.picture(png(), **part)))
        generation = make(modalities=["TEXT", "IMAGE"])
        return str(generation.outputs.get().image.public_id)

    return make_one


def parts(request):
    return request.json["contents"][-1]["parts"]


def test_references_go_along_as_they_are_stored(served_by, make, picture_of):
    upstream = served_by("native")
    first, second = picture_of(upstream), picture_of(upstream)
    make(references=[second, first])
    sent = parts(upstream.requests[-1])
    assert [next(iter(part)) for part in sent] == ["text", "inlineData", "inlineData"]
    assert base64.b64decode(sent[1]["inlineData"]["data"]) == png()
    assert sent[1]["inlineData"]["mimeType"] == "image/png"


def test_an_edit_repeats_the_turns_before_it_with_their_signatures(served_by, make, picture_of):
    upstream = served_by("native")
    image = picture_of(upstream, thoughtSignature=SIGNATURE)
    make(edit_of=image)
    user, model, edit = upstream.requests[-1].json["contents"]
    assert (user["role"], user["parts"]) == ("user", [{"text": "a fox"}])
    assert model["role"] == "model"
    assert model["parts"][0]["text"] == "A fox."
    assert model["parts"][1]["thoughtSignature"] == SIGNATURE
    assert base64.b64decode(model["parts"][1]["inlineData"]["data"]) == png()
    assert edit["parts"] == [{"text": "a fox"}]


def test_an_edit_of_an_edit_repeats_both(served_by, make, picture_of):
    upstream = served_by("native")
    first = picture_of(upstream, thoughtSignature=SIGNATURE)
    second = make(edit_of=first).outputs.get().image.public_id
    make(edit_of=str(second))
    assert [turn["role"] for turn in upstream.requests[-1].json["contents"]] == ["user", "model"] * 2 + ["user"]


def test_a_picture_that_was_not_signed_is_looked_at_instead(served_by, make, picture_of):
    upstream = served_by("native")
    make(edit_of=picture_of(upstream))
    [turn] = upstream.requests[-1].json["contents"]
    assert [next(iter(part)) for part in turn["parts"]] == ["text", "inlineData"]


@pytest.mark.parametrize("field", ["references", "edit_of"])
def test_a_picture_of_somebody_else_is_refused_before_money_is_held(field, bob, served_by, make, picture_of, alice):
    upstream = served_by("native")
    image = Image.objects.get(public_id=picture_of(upstream))
    Image.objects.filter(pk=image.pk).update(owner=bob)
    before, calls = ledger.balance_of(alice), len(upstream.requests)
    with pytest.raises(InvalidInput) as refused:
        make(**{field: [str(image.public_id)] if field == "references" else str(image.public_id)})
    assert refused.value.errors[0].field == field
    assert ledger.balance_of(alice) == before
    assert len(upstream.requests) == calls


def test_pictures_that_weigh_too_much_are_refused_before_money_is_held(alice, served_by, make, picture_of):
    upstream = served_by("native")
    image = Image.objects.select_related("blob").get(public_id=picture_of(upstream))
    image.blob.byte_size = 16_000_000
    image.blob.save()
    before = ledger.balance_of(alice)
    with pytest.raises(InvalidInput, match="weigh 21 MB"):
        make(references=[str(image.public_id)])
    assert ledger.balance_of(alice) == before


def test_thinking_and_grounding_are_asked_for_and_kept(alice, served_by, make):
    upstream = served_by("native")
    evidence = native.grounding("<style>p{}</style><div>search</div>", query="a tower")
    upstream.answers(
        native.answer(
            native.text("I compose.", thought=True),
            native.picture(png(colour=(9, 9, 9)), thought=True),
            native.picture(png()),
            groundingMetadata=evidence,
        )
    )
    generation = make(grounding=True, thinking="high", include_thoughts=True)
    request = upstream.requests[-1].json
    assert request["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH", "includeThoughts": True}
    assert request["tools"] == [{"google_search": {}}]
    assert generation.status == Status.SUCCEEDED
    attempt = generation.attempts.get()
    assert attempt.thoughts == "I compose."
    kept = Evidence.objects.get(attempt=attempt)
    assert kept.rendered_content == "<style>p{}</style><div>search</div>"
    assert kept.queries == ["a tower"]
    assert [output.is_draft for output in Output.objects.order_by("is_draft")] == [False, True]
    assert generation.charged_micros == 58_000  # a draft is not charged
    assert ledger.balance_of(alice).spent == 58_000
    assert audit() == []


def test_drafts_are_not_kept_unless_they_were_asked_for(served_by, make):
    upstream = served_by("native")
    upstream.answers(native.answer(native.picture(png(colour=(9, 9, 9)), thought=True), native.picture(png())))
    assert make().outputs.count() == 1


def test_a_reply_of_drafts_only_is_the_last_of_them_and_paid_for(served_by, make):
    upstream = served_by("native")
    draft = native.picture(png(colour=(9, 9, 9)), thought=True)
    upstream.answers(native.answer(draft, native.picture(png(), thought=True)))
    generation = make(include_thoughts=True)
    assert generation.status == Status.SUCCEEDED
    assert generation.charged_micros == 58_000
    assert audit() == []


def test_a_style_goes_with_its_own_picture(served_by, make):
    upstream = served_by("native")
    upstream.answers(native.answer(native.picture(png())))
    make(count=2, styles=["ink", "oil"])
    said = sorted(parts(request)[0]["text"] for request in upstream.requests)
    assert said == ["a fox\n\nStyle: ink", "a fox\n\nStyle: oil"]


def test_the_upstream_is_told_a_token_and_not_who_asks(alice, served_by, make):
    upstream = served_by("chat")
    upstream.answers(chat.by_json(chat.picture(png())))
    make()
    make()
    first, second = (request.json["user"] for request in upstream.requests)
    assert first == second
    assert len(first) == 32
    sent = str([request.body for request in upstream.requests])
    assert alice.email not in sent
    assert str(alice.public_id) not in sent


def test_the_native_protocol_has_no_place_for_who_asks(alice, served_by, make):
    upstream = served_by("native")
    upstream.answers(native.answer(native.picture(png())))
    make()
    assert "user" not in upstream.requests[0].json
