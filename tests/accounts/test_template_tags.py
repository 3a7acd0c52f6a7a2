from datetime import UTC, datetime, timedelta

import pytest

from accounts.templatetags.plantain import duration, elapsed, icon, remaining, shape, usd


@pytest.mark.parametrize(
    ("micros", "places", "text"),
    [
        (58_000, 2, "$0.058"),
        (1_000_000, 2, "$1.00"),
        (1_000_000, 3, "$1.000"),
        (116_500, 2, "$0.1165"),
        (1, 2, "$0.000001"),
        (0, 2, "$0.00"),
        (-58_000, 2, "-$0.058"),
        (1_234_567_890_000, 2, "$1,234,567.89"),
    ],
)
def test_an_amount_keeps_every_digit_that_it_has(micros, places, text):
    assert usd(micros, places) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, ""), (0, "0.0 s"), (18_420, "18.4 s"), (59_940, "59.9 s"), (125_000, "2 min 5 s")]
)
def test_a_duration_reads_as_people_say_it(milliseconds, text):
    assert duration(milliseconds) == text


def test_just_under_a_minute_is_not_sixty_seconds():
    assert duration(59_999) == "1 min 0 s"


def test_an_icon_is_hidden_from_screen_readers_and_names_its_symbol():
    drawn = icon("check", "sm")
    assert 'aria-hidden="true"' in drawn
    assert "icons.svg#i-check" in drawn
    assert 'class="icon icon-sm"' in drawn


def test_a_shape_keeps_its_proportion():
    assert 'width="20" height="10"' in shape("2:1")
    assert 'width="20" height="20"' in shape("1:1")


def test_an_extreme_shape_stays_visible():
    assert 'width="3" height="20"' in shape("1:8")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (11_520, "3 h 12 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 day"),
        (432_000, "5 days"),
    ],
)
def test_a_span_of_time_has_one_or_two_units(seconds, text, monkeypatch):
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    monkeypatch.setattr("accounts.templatetags.plantain.timezone.now", lambda: now)
    assert elapsed(now - timedelta(seconds=seconds)) == text
    assert remaining(now + timedelta(seconds=seconds)) == text


def test_a_moment_that_has_passed_is_not_in_negative_seconds():
    assert remaining(datetime(2000, 1, 1, tzinfo=UTC)) == "0 s"
