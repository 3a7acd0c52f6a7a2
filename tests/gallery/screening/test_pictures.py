"""What screening found goes with a picture into its review, and a picture's own words are screened too."""

import pytest

from gallery import services
from gallery.desk import mark_hits
from gallery.errors import PromptRejected
from gallery.models import Review, ReviewStep
from gallery.review.figures import figures
from gallery.screening.rules import screen
from tests.gallery.review.desk import decide, make_picture, make_reviewer, review_of, state_of
from tests.gallery.review.test_owners import ask

pytestmark = pytest.mark.django_db

PROMPT = "A nude, for a.person@example.com"


def flagged(owner, **fields):
    return make_picture(owner, prompt=PROMPT, rule_hits=screen({"prompt": PROMPT}).kept(), **fields)


def rules_of(image):
    return sorted(hit["rule"] for hit in review_of(image).rule_hits)


def test_hits_of_the_prompt_put_a_picture_in_the_queue_by_their_risk(alice):
    image = flagged(alice)
    ask(alice, image)
    review = review_of(image)
    assert (review.source, review.risk, review.categories) == ("rule", 60, "|privacy|sexual|")
    assert rules_of(image) == ["pii_email", "sexual_words"]
    assert ReviewStep.objects.get().rule_hits == review.rule_hits
    assert "person" not in str(review.rule_hits)


@pytest.mark.parametrize(("prompt", "status"), [(PROMPT, "pending"), ("A fox", "approved")])
def test_where_only_marked_pictures_are_reviewed_the_hits_decide(prompt, status, alice, settings):
    settings.REVIEW_MODE = "flagged"
    image = make_picture(alice, prompt=prompt, rule_hits=screen({"prompt": prompt}).kept())
    ask(alice, image)
    assert state_of(image)[0] == status


def test_rules_that_came_after_the_picture_look_at_its_prompt_too(alice):
    image = make_picture(alice, prompt=PROMPT)  # of a time without rules
    ask(alice, image)
    assert rules_of(image) == ["pii_email", "sexual_words"]


def test_title_and_alternative_text_are_screened_when_others_shall_read_them(alice):
    image = make_picture(alice, caption="Call 0171 2345678")
    services.edit_image(owner=alice, public_id=image.public_id, title="Gore")
    ask(alice, image)
    assert [(hit["rule"], hit["field"]) for hit in review_of(image).rule_hits] == [
        ("violence_words", "title"),
        ("pii_phone", "alt_text"),
    ]


def test_a_caption_that_a_rule_blocks_is_not_published_until_it_is_changed(alice):
    image = make_picture(alice, caption="csam")
    with pytest.raises(PromptRejected) as refusal:
        ask(alice, image)
    assert refusal.value.errors[0].field == "alt_text"
    assert state_of(image) == ("none", "private", False)
    assert not Review.objects.exists()
    services.edit_image(owner=alice, public_id=image.public_id, alt_text="A circle")
    ask(alice, image)
    assert state_of(image)[0] == "pending"


@pytest.mark.parametrize("field", ["title", "alt_text"])
def test_words_that_a_rule_blocks_are_not_given_to_a_picture(field, alice):
    image = make_picture(alice)
    before = (image.title, image.alt_text, image.version)
    with pytest.raises(PromptRejected):
        services.edit_image(owner=alice, public_id=image.public_id, **{field: "nudify"})
    image.refresh_from_db()
    assert (image.title, image.alt_text, image.version) == before


def test_the_desk_marks_only_what_stands_in_the_prompt():
    hits = [
        {"rule": "a", "field": "title", "start": 0, "end": 3},
        {"rule": "b", "field": "prompt", "start": 4, "end": 7},
    ]
    assert [(part.text, part.rule) for part in mark_hits("one two", hits)] == [("one ", ""), ("two", "b")]


def test_the_precision_of_a_rule_is_the_share_of_its_marks_that_was_refused(alice):
    ines = make_reviewer("ines")
    for verb, fields in (("reject", {"reason": "sexual"}), ("approve", {}), ("approve", {})):
        image = flagged(alice)
        ask(alice, image)
        decide(verb, ines, image, **fields)
    found = {row.rule: (row.marked, row.upheld, row.percent) for row in figures().rules}
    assert found == {"pii_email v1": (3, 1, 33), "sexual_words v1": (3, 1, 33)}


def test_new_words_of_a_published_picture_bring_their_hits_to_the_reviewers(alice):
    image = flagged(alice)
    ask(alice, image)
    decide("approve", make_reviewer("ines"), image)
    services.edit_image(owner=alice, public_id=image.public_id, title="Gore")
    review = review_of(image)
    assert (state_of(image)[0], review.source, review.risk) == ("pending", "reword", 60)
    assert rules_of(image) == ["pii_email", "sexual_words", "violence_words"]
    assert review.categories == "|privacy|sexual|violence|"
    services.edit_image(owner=alice, public_id=image.public_id, title="A calm circle")
    assert rules_of(image) == ["pii_email", "sexual_words"]
