"""The operators' money page: every figure equals the ledger, to the micro, and is said in one sentence first."""

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import ledger
from accounts.models import Price, Transfer
from generations import money_report, reconciliation
from generations.models import Attempt
from generations.money_report import Period

pytestmark = pytest.mark.django_db(transaction=True)

MONEY = "/status/money/"
CSV = "/status/money/csv/"
PRICE, COST = 58_000, 30_000


@pytest.fixture
def operator(staff):
    client = Client()
    client.force_login(staff)
    return client


def words(answer):
    return " ".join(answer.content.decode().split())


def sold(user, *, price=None, key="job", micros=None):
    """A capture by the ledger's own verbs, with what the upstream took for it."""
    price = price or Price.objects.filter(is_placeholder=False, amount_micros=PRICE).first()
    with transaction.atomic():
        hold = ledger.reserve(
            user=user,
            amount_micros=price.amount_micros,
            reference=key,
            key=f"hold:{key}",
            price=price,
            expires_at=timezone.now() + timedelta(hours=1),
        )
    capture = ledger.capture(hold=hold, amount_micros=micros)
    ledger.record_cost(amount_micros=COST, reference=key, key=f"cost:{key}", price=price, is_certain=True)
    return capture


def account(code):
    """What an account received less what it gave, over all transfers that moved money."""
    moved = Transfer.objects.filter(kind__in=("direct", "post"))
    into, out = moved.filter(credit__code=code), moved.filter(debit__code=code)
    return sum(sign * (rows.aggregate(sum=Sum("amount_micros"))["sum"] or 0) for sign, rows in ((1, into), (-1, out)))


def this_month():
    return money_report.report(money_report.parse_period())


@pytest.mark.parametrize("address", [MONEY, CSV])
def test_it_is_for_operators_only(address, alice, stranger):
    assert stranger.get(address).headers["Location"].startswith("/accounts/login/")
    client = Client()
    client.force_login(alice)
    assert client.get(address).status_code == 403
    assert client.get("/status/").content.decode().count(MONEY) == 0


def test_in_production_it_asks_for_the_second_step(operator, settings):
    settings.ENVIRONMENT = "production"
    assert operator.get(MONEY, secure=True).status_code == 403


def test_an_empty_month_says_so(operator):
    page = words(operator.get(f"{MONEY}?month=2020-02"))
    assert "February 2020: $0.00 came in, $0.00 went out, $0.00 is left" in page
    assert "Nothing was sold in this period." in page


def test_every_figure_equals_the_accounts_to_the_micro(alice, bob, staff, upstream, submit, work, operator):
    work(submit(alice))
    odd = sold(bob, key="odd", micros=57_999)
    ledger.refund(transfer=odd, amount_micros=1_001, actor="staff", reason="sorry", key="refund")
    upstream.says({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [{"text": "no"}]}}]})
    work(submit(alice))  # paid for, and without a picture
    found = this_month()
    total = found.total
    assert (total.captured, total.refunded) == (PRICE + 57_999, 1_001)
    assert total.revenue == account("revenue") == found.account_revenue == PRICE + 57_999 - 1_001
    assert total.cost == account("expense")
    assert total.suspense == account("suspense") == found.uncertain_micros > 0
    assert total.granted == -account("external")
    assert sum(sums.revenue for sums in found.by_day.values()) == total.revenue
    assert sum(line.sums.margin for line in found.by_model) == total.margin == total.revenue - total.cost
    page = words(operator.get(MONEY))
    assert "The table adds up to $0.114998, which is what the revenue account received less what it gave back." in page
    assert "1 refund, $0.001001" in page
    assert 'href="/status/costs/"' in page


def test_a_verdict_moves_the_cost_out_of_suspense(alice, staff, upstream, submit, work):
    upstream.says({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [{"text": "no"}]}}]})
    work(submit(alice))
    before = this_month().total
    uncertain = list(reconciliation.uncertain_attempts())
    for attempt, billed in zip(uncertain, (True, False), strict=False):
        reconciliation.resolve_cost(attempt, was_billed=billed, actor="staff", reason="the bill")
    after = this_month()
    assert after.total.suspense == account("suspense") == after.uncertain_micros
    assert after.total.cost == account("expense") == before.cost + Attempt.objects.get(pk=uncertain[0].pk).cost_micros


def test_a_day_begins_at_midnight_utc(alice, at):
    at(datetime(2026, 3, 31, 23, 59, 59, 999_999, UTC))
    sold(alice, key="march")
    at(datetime(2026, 4, 1, tzinfo=UTC))
    sold(alice, key="april")
    march = money_report.report(money_report.parse_period(month="2026-03"))
    april = money_report.report(Period(date(2026, 4, 1), date(2026, 4, 1)))
    assert (march.total.revenue, april.total.revenue) == (PRICE, PRICE)
    assert march.by_day[date(2026, 3, 31)].revenue == PRICE
    assert (march.is_even, april.is_even) == (True, True)


def test_a_placeholders_price_is_marked(alice, operator):
    placeholder = Price.objects.filter(is_placeholder=True).first()
    sold(alice, price=placeholder)
    page = words(operator.get(MONEY))
    assert "Placeholder price</span>" in page
    assert "Some of it was sold at a placeholder&#x27;s price." in page
    assert 'href="/admin/accounts/price/"' in page


def test_what_is_held_now_names_the_oldest_job(alice, submit, operator):
    first = submit(alice)
    submit(alice)
    found = this_month()
    assert (found.held.micros, found.held.oldest) == (2 * PRICE, first)
    assert f'href="/admin/generations/generation/{first.pk}/change/"' in words(operator.get(MONEY))


def test_the_csv_has_the_same_figures_and_no_formula(alice, at, operator):
    at(datetime(2026, 3, 2, 12, tzinfo=UTC))
    evil = Price.objects.create(
        model='=HYPERLINK("x")', size="1K", amount_micros=10, cost_micros=0, valid_from=timezone.now()
    )
    sold(alice, key="good")
    sold(alice, key="evil", price=evil)
    answer = operator.get(f"{CSV}?from=2026-03-01&to=2026-03-05")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="money-2026-03-01-2026-03-05.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["day"] for row in rows] == ["2026-03-02"] * 2
    assert rows[0]["model"] == '\'=HYPERLINK("x")'
    assert [row["revenue_usd"] for row in rows] == ["0.000010", "0.058000"]
    assert [row["margin_usd"] for row in rows] == ["-0.029990", "0.028000"]


@pytest.mark.parametrize(
    "query",
    [
        "month=2026-13",
        "month=x",
        "from=2026-02-30",
        "from=2026-03-02&to=2026-03-01",
        "from=2020-01-01&to=2026-01-01",
        "month=9999-12",
    ],
)
def test_a_period_that_is_none_is_refused(query, operator):
    assert operator.get(f"{MONEY}?{query}").status_code == 400


def test_a_long_period_is_small_and_takes_eight_queries(alice, at, operator):
    ledger.grant(user=alice, amount_micros=10_000_000, reason="test", key="more")
    for day in range(0, 365, 4):
        at(datetime(2025, 1, 1, 8, tzinfo=UTC) + timedelta(days=day))
        sold(alice, key=f"day {day}")
    with CaptureQueriesContext(connection) as queries:
        page = operator.get(f"{MONEY}?from=2025-01-01&to=2025-12-31")
    assert sum(query["sql"].startswith("SELECT") for query in queries) <= 8
    assert len(page.content) < 50_000
    assert "The latest 90 lines; the CSV has all" in words(page)


def test_a_table_that_disagrees_with_the_account_is_said_aloud(alice, operator, monkeypatch):
    sold(alice)
    monkeypatch.setattr("accounts.ledger.results_of", lambda kind, days: [PRICE + 1] + [0] * (len(days) - 1))
    page = words(operator.get(MONEY))
    assert "The table and the ledger disagree" in page
    assert "but the revenue account received $0.058001" in page


def test_operators_find_it_from_the_status_page_and_the_admin(operator):
    for address in ("/status/", "/admin/"):
        assert f'href="{MONEY}"' in words(operator.get(address))
