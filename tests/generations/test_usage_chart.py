"""The chart of the account page: every picture of the last 30 days is in it, and in words too."""

import re
from datetime import date, timedelta

import pytest

from accounts import ledger
from accounts.periods import Period
from accounts.usage import DayUsage, Usage
from generations.views.usage import draw
from tests.accounts import money

START = date(2026, 11, 1)


def usage(*days):
    rows = [
        DayUsage(day=START + timedelta(days=number), model=model, unit="image", pictures=pictures, spent=spent)
        for number, model, pictures, spent in days
    ]
    return Usage(period=Period(start=START, end=START + timedelta(days=30)), days=rows)


def test_bars_stand_on_each_other_in_true_proportion():
    chart = draw(usage((0, "a", 6, 60), (0, "b", 3, 30), (29, "a", 12, 120)))
    assert (chart.pictures, chart.spent, chart.legend) == (21, 210, [(1, "a"), (2, "b")])
    first, last = chart.columns[0], chart.columns[29]
    assert first.words == "6 a, 3 b"
    assert [bar.height for bar in first.bars] == [59.4, 29.7]
    assert first.bars[0].y + first.bars[0].height == 206.0
    assert first.bars[1].y + first.bars[1].height == pytest.approx(first.bars[0].y, abs=0.11)
    assert last.bars[0].height == pytest.approx(2 * first.bars[0].height, abs=0.11)
    assert last.bars[0].x + last.bars[0].width <= chart.width
    assert [many for _, many in chart.lines] == [0, 5, 10, 15, 20]
    assert chart.busiest.day == date(2026, 11, 30)


def test_more_models_than_colours_share_the_last_one():
    chart = draw(usage(*((0, model, many, 0) for many, model in enumerate("abcd", start=1))))
    assert [name for _, name in chart.legend] == ["d", "c", "Others"]
    assert chart.columns[0].words == "4 d, 3 c, 3 Others"


def test_a_day_of_refunds_has_no_bar_and_is_told():
    chart = draw(usage((3, "a", 0, -58_000)))
    assert chart.columns[3].bars == []
    assert [(column.day.day, column.words, column.spent) for column in chart.used] == [(4, "refunds only", -58_000)]


def test_nothing_is_a_chart_without_bars():
    assert draw(usage()).used == []


@pytest.mark.django_db
def test_the_page_shows_it_and_says_so_when_there_is_nothing(client, alice, django_assert_max_num_queries):
    client.force_login(alice)
    assert "No picture was charged in these 30 days." in client.get("/account/").content.decode()
    ledger.capture(hold=money.reserve(alice, money.make_price(), 3 * money.IMAGE))
    with django_assert_max_num_queries(8):
        html = client.get("/account/").content.decode()
    assert "3 pictures in 30 days, $0.174" in html
    assert re.search(r"<title>\d+ \w+: 3 m</title><rect class=\"s1\"", html)
    assert '<td>3 m</td><td class="r">$0.174</td>' in html
