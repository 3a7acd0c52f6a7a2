"""Rules as rows: seeds, versions, two who write at once, and that the rules in force are always the latest."""

import pytest
from django.db import Error

from accounts.errors import Conflict, InvalidInput
from gallery.errors import PromptRejected
from gallery.models import Reason, Rule
from gallery.screening.matching import check_body
from gallery.screening.rules import Wording, admit, screen, switch_rule, write_rule
from tests.people import make_person

pytestmark = pytest.mark.django_db


def wording(**fields):
    wanted = {
        "label": "Zorps",
        "kind": "words",
        "body": "zorp",
        "action": "flag",
        "category": "spam",
        "risk": 10,
        "is_enabled": True,
    }
    return Wording(**{**wanted, **fields})


@pytest.fixture
def root(db):
    return make_person("root", is_staff=True)


def verdict(text):
    return screen({"prompt": text}).action


# --- What there is from the start -----------------------------------------------------------------


def test_the_first_rules_work_and_speak_of_categories_that_there_are():
    rules = list(Rule.objects.current())
    categories = set(Reason.objects.values_list("code", flat=True))
    assert {rule.category for rule in rules} <= categories
    assert {rule.version for rule in rules} == {1}
    for rule in rules:
        check_body(rule.kind, rule.body)
    assert [rule.code for rule in rules if not rule.is_enabled] == ["pii_national_id"]
    assert {rule.action for rule in rules if rule.kind == "detector"} == {"flag"}


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("A fox in the snow", "allow"),
        ("A solid blue circle on white background.", "allow"),
        ("A naked mole rat, seen with the naked eye", "allow"),
        ("Suicide prevention poster, nude tones", "allow"),
        ("Children at a birthday party, a kid with a cake", "allow"),
        ("An essay in Essex about the Middlesex coast", "allow"),
        ("Write to a.person@example.com", "flag"),
        ("A nude in oil, reclining", "flag"),
        ("A naked baby on a rug", "flag"),
        ("A decapitated statue", "flag"),
        ("a s\u200bеxy schoolgirl", "block"),
        ("12 years old girl, explicit nude", "block"),
        ("nudify this photo", "block"),
        ("my number is 12345678Z", "allow"),
    ],
)
def test_the_first_rules_say(text, action):
    assert verdict(text) == action


def test_a_refusal_names_rule_class_version_and_places(db):
    with pytest.raises(PromptRejected) as refusal:
        admit({"title": "fine", "prompt": "please nudify her"})
    error = refusal.value
    assert (error.status, error.code) == (422, "prompt_rejected")
    assert (error.facts["rule_class"], error.facts["rule"], error.facts["rule_version"]) == (
        "deepfake",
        "undressing",
        1,
    )
    assert error.facts["spans"] == [
        {
            "rule": "undressing",
            "version": 1,
            "class": "deepfake",
            "action": "block",
            "field": "prompt",
            "start": 7,
            "end": 13,
        }
    ]
    assert [(each.field, each.message) for each in error.errors] == [
        ("prompt", "A rule of this site refuses it: Real person.")
    ]


# --- Versions -------------------------------------------------------------------------------------


def test_a_change_is_a_new_version_that_holds_at_once(root):
    assert verdict("a zorp") == "allow"
    first = write_rule(code="zorps", wording=wording(), by=root, note="new")
    assert (first.version, first.created_by, first.note) == (1, root, "new")
    assert verdict("a zorp") == "flag"
    second = write_rule(code="zorps", wording=wording(action="block"), by=root, version=1)
    assert second.version == 2
    assert verdict("a zorp") == "block"
    assert screen({"prompt": "a zorp"}).hits[0].version == 2
    off = switch_rule(code="zorps", version=2, is_enabled=False, by=root)
    assert (off.version, off.is_enabled, off.action) == (3, False, "block")
    assert verdict("a zorp") == "allow"
    on = switch_rule(code="zorps", version=3, is_enabled=True, by=root)
    assert (on.version, on.note) == (4, "On")
    assert verdict("a zorp") == "block"
    assert list(Rule.objects.filter(code="zorps").values_list("version", flat=True).order_by("version")) == [1, 2, 3, 4]


def test_whoever_has_seen_an_older_version_does_not_write_over_the_newer(root):
    write_rule(code="zorps", wording=wording(), by=root)
    write_rule(code="zorps", wording=wording(body="zorps"), by=root, version=1)
    with pytest.raises(Conflict):
        write_rule(code="zorps", wording=wording(body="other"), by=root, version=1)
    with pytest.raises(Conflict):
        write_rule(code="zorps", wording=wording(body="other"), by=root)
    with pytest.raises(Conflict):
        switch_rule(code="zorps", version=1, is_enabled=False, by=root)
    assert Rule.objects.current().get(code="zorps").body == "zorps"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"body": ""}, "body"),
        ({"kind": "magic"}, "kind"),
        ({"action": "praise"}, "action"),
        ({"category": "weather"}, "category"),
        ({"risk": 101}, "risk"),
        ({"risk": -1}, "risk"),
    ],
)
def test_a_rule_that_would_not_work_is_not_written(fields, field, root):
    with pytest.raises(InvalidInput) as refusal:
        write_rule(code="zorps", wording=wording(**fields), by=root)
    assert refusal.value.errors[0].field == field
    assert not Rule.objects.filter(code="zorps").exists()


@pytest.mark.parametrize("code", ["", "Z", "two words", "x" * 41, "1st"])
def test_a_code_is_plain(code, root):
    with pytest.raises(InvalidInput, match="code"):
        write_rule(code=code, wording=wording(), by=root)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_change_the_same_version_one_writes(race):
    root = make_person("root", is_staff=True)
    write_rule(code="zorps", wording=wording(), by=root)
    results = race(8, lambda n: write_rule(code="zorps", wording=wording(risk=n), by=root, version=1))
    written = [each for each in results if isinstance(each, Rule)]
    assert [each.version for each in written] == [2]
    assert sum(isinstance(each, Conflict) for each in results) == 7


@pytest.mark.parametrize("change", [lambda rows: rows.update(risk=0), lambda rows: rows.delete()])
def test_the_rows_are_append_only(change):
    with pytest.raises(Error, match="append-only"):
        change(Rule.objects.filter(code="undressing"))


def test_asking_costs_one_small_query_once_the_rules_are_ready(django_assert_num_queries):
    screen({"prompt": "a fox"})
    with django_assert_num_queries(1):
        assert screen({"prompt": "nudify"}).action == "block"
