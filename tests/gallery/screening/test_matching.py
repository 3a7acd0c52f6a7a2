"""Word lists, close words and patterns: every way of writing a word, exact places, and work that stays linear."""

import sys

import pytest

from accounts.errors import InvalidInput
from gallery.screening.matching import MAX_HITS, MAX_PROGRAM, check_body, compile_pattern
from tests.gallery.screening.asking import ask, detector, found, only, rule

NUDE = rule("nude\nsnuff film\nbehead*\n*порно*")
# How "nude" is written by somebody who would rather not be found; each is a hit of exactly this part.
DISGUISES = [
    "nude",
    "NUDE",
    "ｎｕｄｅ",  # full width
    "𝖓𝖚𝖉𝖊",  # mathematical letters
    "ⓝⓤⓓⓔ",
    "🅽🆄🅳🅴",
    "🇳🇺🇩🇪",
    "ɴᴜᴅᴇ",  # small capitals
    "nudе",  # Cyrillic е
    "пudе",  # Cyrillic п and е
    "ηυdε",  # Greek
    "nüdé",
    "n\u0308u\u0308d\u0308e\u0308",
    "n\u200bu\u200dd\u2060e",  # nothing that can be seen
    "nu\u00adde",
    "n\u202eude",
    "nu\u3164de",
    "nu\ufe0fde",
    "nud3",
    "nuuuude",
    "n-u-d-e",
    "n u d e",
    "n.u.d.e",
]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguised_word_is_found_and_its_place_is_that_of_the_original(disguise):
    text = f"Ein Gemälde — {disguise}, in öl"
    assert found(text, NUDE) == [disguise]


@pytest.mark.parametrize("text", ["denude", "nudes", "a nud e", "nu de", "The n. u. dome", "snuff a film", "1nu2de3"])
def test_a_part_of_a_word_is_not_the_word(text):
    assert found(text, NUDE) == []


def test_phrases_beginnings_and_insides():
    assert found("A  Snuff\n Film!", NUDE) == ["Snuff\n Film"]
    assert found("he was beheaded", NUDE) == ["beheaded"]
    assert found("киберпорнография", NUDE) == ["порно"]


def test_a_phrase_may_end_in_a_beginning():
    assert found("child pornography, child portrait", rule("child porn*")) == ["child pornography"]


def test_a_rule_in_another_script_is_found_in_every_case():
    assert found("ΓΥΜΝΗ, Γυμνη, γυμνη", rule("γυμνη")) == ["ΓΥΜΝΗ", "Γυμνη", "γυμνη"]
    assert found("Война и мир", rule("война")) == ["Война"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("an erotic scene with a child", "erotic scene with a child"),
        ("a 12 years old girl, erotic", "12 years old girl, erotic"),
        ("ѕех and ｃｈｉｌｄ", "ѕех and ｃｈｉｌｄ"),
    ],
)
def test_close_words_are_one_hit_from_the_first_to_the_last(text, part):
    assert found(text, rule("erotic*\nsex\n~ 4\nchild\n12 years old", kind="near")) == [part]


def test_words_that_are_too_far_apart_are_no_hit():
    close = rule("erotic\n~ 4\nchild", kind="near")
    assert found("erotic one two three child", close) != []
    assert found("erotic one two three four child", close) == []
    assert found("erotic and more erotic", close) == []


def test_an_exception_clears_what_lies_inside_it_and_nothing_else():
    exception = rule("naked mole rat*", action="allow", code="exception")
    text = "a naked mole rat beside a naked man"
    assert found(text, rule("naked"), exception) == ["naked"]
    assert only(ask(text, rule("naked"), exception)).start == text.rindex("naked")


def test_the_severest_action_is_that_of_the_text():
    flag, block = rule("blue", code="one"), rule("green", code="two", action="block")
    assert ask("red", flag, block).action == "allow"
    assert ask("blue", flag, block).action == "flag"
    verdict = ask("blue green", flag, block)
    assert verdict.action == "block"
    assert [hit.rule for hit in verdict.blocking] == ["two"]


def test_a_hit_is_kept_with_rule_version_class_place_and_score():
    assert ask("very nude", rule("nude", version=7)).kept() == [
        {
            "rule": "rule",
            "version": 7,
            "class": "sexual",
            "action": "flag",
            "field": "prompt",
            "start": 5,
            "end": 9,
            "score": 0.6,
            "masked": "nude",
        }
    ]


def test_nothing_private_is_kept_of_a_hit_that_has_it_inside():
    close = rule("write\n~ 9\nnow", kind="near")
    kept = ask("write to a.person@example.com now", close, detector("email")).kept()
    assert [hit["masked"] for hit in kept] == ["…", "a…@….com"]
    assert ask("staff number 12345", rule("number [0-9]+", kind="pattern", category="privacy")).kept()[0]["masked"] == (
        "n…"
    )


# --- Patterns -------------------------------------------------------------------------------------


def test_a_pattern_reads_the_folded_text_and_its_places_are_the_originals():
    text = "Ünd ᴘʀᴏᴊᴇᴄᴛ-0042 x"
    assert found(text, rule(r"project-[0-9]{4}", kind="pattern")) == ["ᴘʀᴏᴊᴇᴄᴛ-0042"]


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("pattern", r"(a)\1", "RE2"),
        ("pattern", r"(?=a)b", "RE2"),
        ("pattern", "(", "RE2"),
        ("pattern", "", "1 to 2000"),
        ("pattern", "a*", "everything"),
        ("pattern", "größe", "reads 'ö' as 'o'"),
        ("pattern", "(((a{1,90}){1,90}){1,9})", ""),
        ("pattern", r"[\pL]{1,900}", ""),
        ("words", "", "0 words"),
        ("words", "a*b", "no word"),
        ("words", "*ab", "no word"),
        ("words", "!!!", "no word"),
        ("words", "x" * 61, "no word"),
        ("words", "\n".join(f"w{n}" for n in range(2001)), "2001 words"),
        ("near", "a\nb", "Two lists"),
        ("near", "a\n~ 31\nb", "Two lists"),
        ("near", "a\n~ 3\nb\n~ 3\nc", "Two lists"),
        ("near", "~ 3\nb", "0 words"),
        ("detector", "shoe_size", "no detector"),
        ("magic", "a", "A rule is one of"),
    ],
)
def test_a_rule_that_would_not_work_is_refused_in_words(kind, body, said):
    with pytest.raises(InvalidInput, match="(?s)" + said):
        check_body(kind, body)


# What takes a backtracking engine ages. RE2 has no backtracking: at most its program, once for each character.
REDOS = [r"(a+)+$", r"(a|aa)+b", r"([a-z]+)*[0-9]", r"(.*a){12}", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(x+x+)+y"]
HOSTILE = ["a" * 4000, "ab" * 2000, "x" * 3999 + "!", "a " * 2000]


@pytest.mark.parametrize("pattern", REDOS)
def test_the_steps_of_a_pattern_are_bounded_by_its_program_and_the_text(pattern):
    compiled = compile_pattern(pattern)
    steps = max(compiled.programsize, compiled.reverseprogramsize) * 4000
    assert steps <= MAX_PROGRAM * 4000
    for text in HOSTILE:
        assert len(ask(text, rule(pattern, kind="pattern")).hits) <= MAX_HITS


def lines_run(function):
    """How many lines of Python are executed: steps, which no busy machine changes."""
    steps = 0

    def count(frame, event, argument):
        nonlocal steps
        steps += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(before)
    return steps


PIECES = [
    *("a", "a ", "n-u-d-e ", "0 ", "4242 ", "4 ", "nude ", "nude child ", "snuff ", "@", "a@", "a@b.c", "+1", "DE89"),
    *("DE89 3704 ", "(at)", "é", "\u0301", "0171-", "n3", "\u200b", "𝖓", "behead", "_", "child " * 9),
]


@pytest.mark.parametrize("piece", PIECES)
def test_twice_the_text_takes_about_twice_the_steps(piece):
    rules = [
        *(NUDE, rule("nude\n~ 8\nchild", kind="near", code="near"), rule(r"(n+)+e$", kind="pattern", code="pattern")),
        *map(detector, ("email", "phone", "card", "iban", "national_id")),
    ]
    long, longer = (piece * (size // len(piece)) for size in (2000, 4000))
    ask(longer, *rules)  # so that what is remembered of single words is there for both
    half, whole = (lines_run(lambda text=text: ask(text, *rules)) for text in (long, longer))
    assert whole <= 2.2 * half + 2000


def test_one_rule_brings_a_bounded_number_of_hits():
    assert len(ask("nude " * 800, NUDE).hits) == MAX_HITS


def test_a_text_of_every_character_is_read():
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), *range(0x1D400, 0x1F200)]))
    assert ask(everything, NUDE).action in ("allow", "flag")
