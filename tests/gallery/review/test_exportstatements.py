"""manage exportstatements: one line of JSON for every refusal that was told."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.gallery.review.desk import decide, make_pending, make_reviewer

pytestmark = pytest.mark.django_db


def export(**options):
    output = StringIO()
    call_command("exportstatements", stdout=output, **options)
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_every_refusal_is_a_line_and_one_that_was_taken_back_is_none(alice):
    ines, omar = make_reviewer("ines"), make_reviewer("omar")
    refused, shut_away, taken_back = make_pending(alice), make_pending(alice), make_pending(alice)
    decide("reject", ines, refused, reason="hate")
    for reviewer in (ines, omar):
        decide("quarantine", reviewer, shut_away, reason="csam")
    decide("reject", ines, taken_back, reason="spam")
    decide("undo", ines, taken_back)
    lines = export()
    assert [line["category"] for line in lines] == [
        "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
        "STATEMENT_CATEGORY_PROTECTION_OF_MINORS",
    ]
    assert lines[1]["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT"
    assert lines[1]["illegal_content_legal_ground"] == "Directive 2011/93/EU, Article 5"
    assert "alice" not in json.dumps(lines)
    assert "Ines" not in json.dumps(lines)


def test_since_is_a_day_and_a_wrong_one_is_named(alice):
    decide("reject", make_reviewer("ines"), make_pending(alice), reason="hate")
    today = timezone.now().date()
    assert len(export(since=f"{today}")) == 1
    assert export(since=f"{today + timedelta(days=1)}") == []
    with pytest.raises(CommandError, match="'yesterday' is no date"):
        export(since="yesterday")
