"""Pages of lines with filters, in both directions, and which lines belong to a month, whatever the clock did."""

import re
from datetime import UTC, date, datetime
from itertools import pairwise
from uuid import uuid4

import pytest
from django.test import Client

from accounts import ledger, statement
from accounts.errors import InvalidInput
from accounts.models import Entry, Transfer
from accounts.periods import Period, parse_period
from accounts.statement import KINDS, Filters
from tests.accounts import money

pytestmark = pytest.mark.django_db

PAGE = "/account/ledger/"


@pytest.fixture
def job(alice):
    """A hold that was captured and partly refunded, and one that was released; gives the first one's reference."""
    reference, price = str(uuid4()), money.make_price()
    capture = ledger.capture(hold=money.reserve(alice, price, reference=reference))
    money.refund(capture, 8_000)
    ledger.release(hold=money.reserve(alice, price), reason="failed")
    return reference


@pytest.fixture
def dated(alice, guards_off):
    """Lines of Alice's, one micro each, with these times in this order; her first credit is a year older."""

    def write(*moments):
        for _ in moments:
            money.grant(alice, 1)
        with guards_off():
            Entry.objects.filter(account__owner=alice, version=1).update(created_at=datetime(2025, 1, 1, tzinfo=UTC))
            for number, moment in enumerate(moments, start=2):
                Entry.objects.filter(account__owner=alice, version=number).update(
                    created_at=datetime.fromisoformat(moment)
                )

    return write


def codes(user, **filters):
    lines = statement.lines_of(user, Filters(**filters)).order_by("version")
    return [line.transfer.code for line in lines]


def test_each_kind_of_line_is_found_by_what_it_does(alice, job):
    assert codes(alice) == ["grant", "hold", "capture", "refund", "hold", "release"]
    assert {kind: codes(alice, kind=kind) for kind in KINDS} == {
        "grant": ["grant"],
        "hold": ["hold", "hold"],
        "capture": ["capture"],
        "release": ["release"],
        "refund": ["refund"],
    }
    assert codes(alice, sign="added") == ["grant", "refund"]
    assert codes(alice, sign="charged") == ["capture"]
    assert codes(alice, reference=job) == ["hold", "capture", "refund"]
    assert codes(alice, reference=job, sign="added") == ["refund"]


@pytest.mark.parametrize("wrong", [{"kind": "gift"}, {"sign": "-"}, {"reference": "x" * 101}, {"reference": "\x00"}])
def test_a_filter_that_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(InvalidInput) as refusal:
        Filters(**wrong)
    assert [error.field for error in refusal.value.errors] == list(wrong)


def test_pages_lead_back_to_the_first_one(alice):
    for _ in range(6):
        money.grant(alice, 1)
    numbers = lambda page: [line.version for line in page.lines]  # noqa: E731
    first = statement.page_of(alice, Filters(), limit=3)
    second = statement.page_of(alice, Filters(), limit=3, before=first.older)
    third = statement.page_of(alice, Filters(), limit=3, before=second.older)
    assert [numbers(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert (first.newer, third.older) == (None, None)
    back = statement.page_of(alice, Filters(), limit=3, after=third.newer)
    assert numbers(back) == [4, 3, 2]
    top = statement.page_of(alice, Filters(), limit=3, after=back.newer)
    assert (numbers(top), top.newer, top.older) == ([7, 6, 5], None, 5)


def test_a_month_begins_at_midnight_in_its_own_zone(alice, dated):
    dated("2026-10-31T22:59:59+00:00", "2026-10-31T23:00:00+00:00", "2026-11-30T22:59:59+00:00", "2026-11-30T23:00:00Z")
    berlin = parse_period(month="2026-11", time_zone="Europe/Berlin")
    assert statement.range_of(alice, berlin) == (2, 4)
    assert statement.range_of(alice, parse_period(month="2026-11")) == (3, 5)
    assert statement.range_of(alice, parse_period(first="2026-11-01", last="2026-11-30")) == (3, 5)
    assert statement.range_of(alice, parse_period(month="2024-01")) == (0, 0)
    assert statement.range_of(alice, parse_period(month="2030-01")) == (5, 5)
    assert statement.range_of(alice, Period()) == (0, 5)


def test_a_clock_that_jumps_back_over_midnight_puts_each_line_into_one_month(alice, dated):
    dated("2026-10-30T12:00:00Z", "2026-11-01T00:00:05Z", "2026-10-31T23:59:58Z", "2026-11-01T00:00:02Z")
    months = [statement.range_of(alice, parse_period(month=f"2026-{month}")) for month in ("09", "10", "11", "12")]
    assert months[0].after == 1
    assert all(earlier.last == later.after for earlier, later in pairwise(months))
    assert months[-1].last == 5


def test_somebody_without_a_wallet_has_no_lines(alice):
    stranger = type(alice)(pk=0)
    assert statement.range_of(stranger, parse_period(month="2026-11")) == (0, 0)


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"month": "2026-13"}, ["month"]),
        ({"month": "2026-1"}, ["month"]),
        ({"month": "0001-01"}, ["month"]),
        ({"month": "٢٠٢٦-١١"}, ["month"]),
        ({"month": "2026-11", "first": "2026-11-01"}, ["month"]),
        ({"first": "2026-02-30"}, ["from"]),
        ({"first": "2026-11-02", "last": "2026-11-01"}, ["to"]),
        ({"last": "20261101"}, ["to"]),
        ({"last": "9999-12-31"}, ["to"]),
        ({"time_zone": "Mars/Olympus"}, ["time_zone"]),
        ({"time_zone": "Europe"}, ["time_zone"]),
        ({"time_zone": "../../etc/passwd", "month": "x"}, ["time_zone", "month"]),
    ],
)
def test_a_period_that_makes_no_sense_is_refused_by_name(sent, fields):
    with pytest.raises(InvalidInput) as refusal:
        parse_period(**sent)
    assert [error.field for error in refusal.value.errors] == fields


def test_a_period_has_a_name_for_its_file():
    assert parse_period(month="2026-12").name == "2026-12"
    assert parse_period(first="2026-11-03", last="2026-11-04").name == "2026-11-03-to-2026-11-04"
    assert parse_period().name == "all"
    assert parse_period(month="2026-12").last_day == date(2026, 12, 31)


def test_the_page_filters_and_keeps_its_filters_on_the_way(alice, job):
    client = Client()
    client.force_login(alice)
    for _ in range(31):
        money.grant(alice, 1)
    page = client.get(PAGE, {"kind": "grant"})
    html = page.content.decode()
    assert len(page.context["lines"]) == 30
    assert '<option value="grant" selected>' in html
    earlier = re.search(r'href="(\?kind=grant&amp;before=\d+)" rel="next"', html)[1].replace("&amp;", "&")
    second = client.get(PAGE + earlier)
    assert [line.entry.transfer.code for line in second.context["lines"]] == ["grant", "grant"]
    later = re.search(r'href="(\?kind=grant&amp;after=\d+)" rel="prev"', second.content.decode())[1]
    assert client.get(PAGE + later.replace("&amp;", "&")).context["lines"] == page.context["lines"]


def test_the_page_says_what_is_wrong_with_a_filter(alice):
    client = Client()
    client.force_login(alice)
    page = client.get(PAGE, {"month": "November"})
    assert page.status_code == 400
    assert "month is a month such as 2026-11." in page.content.decode()


def test_the_page_needs_few_queries_with_every_filter(alice, job, django_assert_max_num_queries):
    client = Client()
    client.force_login(alice)
    with django_assert_max_num_queries(8):
        page = client.get(
            PAGE, {"kind": "capture", "sign": "charged", "reference": job, "month": f"{date.today():%Y-%m}"}
        )
    assert [line.entry.transfer.code for line in page.context["lines"]] == ["capture"]
    assert Transfer.objects.filter(code="capture").count() == 1
