"""An answer that cannot be read is one error in the log, with its attempt (SF011)."""

import pytest

from generations import pipeline
from generations.models import Status
from tests.generations.fakes import picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def errors(monkeypatch):
    lines = []
    monkeypatch.setattr(pipeline.log, "error", lambda event, **facts: lines.append((event, facts)), raising=False)
    return lines


@pytest.mark.parametrize(
    ("answer", "outcome", "calls"),
    [
        ((200, b"<html>"), "malformed", 2),
        ((200, b""), "malformed", 2),
        (reply(picture(png()[:-20])), "truncated", 2),
        (reply(picture(b"<html>no</html>")), "not_an_image", 1),
    ],
)
def test_each_is_told_once_with_its_attempt(answer, outcome, calls, alice, upstream, submit, work, errors):
    upstream.says(answer)
    generation = work(submit(alice))
    assert (generation.status, generation.error_code) == (Status.FAILED, outcome)
    attempts = [str(attempt.public_id) for attempt in generation.attempts.all()]
    assert len(attempts) == calls
    assert [(event, facts["attempt"], facts["outcome"]) for event, facts in errors] == [
        ("answer_unreadable", attempt, outcome) for attempt in attempts
    ]


def test_a_blocked_prompt_is_no_error(alice, upstream, submit, work, errors):
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}})
    work(submit(alice))
    assert errors == []
