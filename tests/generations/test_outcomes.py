"""The table of outcomes."""

import pytest

from generations.outcomes import OUTCOMES, outcome_of_signal, outcome_of_status

RETRY_AND_PAID = {
    "ok": ("no", True),
    "partial": ("no", True),
    "blocked": ("no", False),
    "refused": ("no", False),
    "no_image": ("once", True),
    "text_only": ("no", True),
    "cut_short": ("no", True),
    "truncated": ("once", True),
    "malformed": ("once", True),
    "not_an_image": ("no", True),
    "too_large": ("no", True),
    "invalid": ("no", False),
    "auth": ("no", False),
    "rate_limited": ("after_delay", False),
    "unavailable": ("free", False),
    "redirected": ("no", False),
    "unknown": ("while_paid_left", True),
    "picture_gone": ("no", False),
    "timeout": ("no", False),
}


def test_every_outcome_has_the_retry_and_the_cost_of_the_protocol_table():
    assert {name: (outcome.retry, outcome.paid) for name, outcome in OUTCOMES.items()} == RETRY_AND_PAID


def test_another_key_is_tried_only_where_nothing_was_bought():
    assert {name for name, outcome in OUTCOMES.items() if outcome.other_upstream} == {"auth", "unavailable"}
    assert not any(outcome.paid for outcome in OUTCOMES.values() if outcome.other_upstream)


def test_only_two_outcomes_have_pictures():
    assert {name for name, outcome in OUTCOMES.items() if outcome.has_pictures} == {"ok", "partial"}


@pytest.mark.parametrize("name", [name for name in RETRY_AND_PAID if name not in ("ok", "partial")])
def test_a_failure_says_what_happened_and_what_to_do_but_nothing_of_money(name):
    outcome = OUTCOMES[name]
    texts = (outcome.title, outcome.message, outcome.remedy)
    assert all(texts)
    assert outcome.message.endswith(".")
    assert outcome.remedy.endswith(".")
    assert not outcome.title.endswith(".")
    assert not any(word in " ".join(texts).lower() for word in ("charge", "credit", "$", "!", "oops"))
    assert 400 <= outcome.http_status < 600


def test_a_refused_upstream_key_is_told_as_the_operators_matter():
    assert "operator's upstream key" in OUTCOMES["auth"].message
    assert OUTCOMES["auth"].http_status == 503


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((300, "redirected"), (302, "redirected"), (308, "redirected"), (400, "invalid"), (401, "auth")),
        *((402, "auth"), (403, "auth"), (404, "invalid"), (408, "unknown"), (413, "invalid"), (418, "invalid")),
        *((422, "invalid"), (429, "rate_limited"), (499, "unknown"), (500, "unknown"), (502, "unknown")),
        *((503, "unavailable"), (504, "unknown"), (520, "unknown")),
    ],
)
def test_a_status_means_one_outcome(status, expected):
    assert outcome_of_status(status) == expected


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        *(("IMAGE_SAFETY", "blocked"), ("SPII", "blocked"), ("moderation_blocked", "blocked")),
        *(("IMAGE_RECITATION", "refused"), ("NO_IMAGE", "no_image"), ("MAX_TOKENS", "cut_short")),
        *(("STOP", None), ("image_safety", None), ("NEVER_HEARD_OF", None)),
    ],
)
def test_a_signal_means_one_outcome_or_none(signal, expected):
    assert outcome_of_signal(signal) == expected


def test_no_signal_stands_in_two_rows():
    signals = [signal for outcome in OUTCOMES.values() for signal in outcome.signals]
    assert len(signals) == len(set(signals))
