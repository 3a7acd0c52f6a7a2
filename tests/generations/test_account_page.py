"""The page of one's balance: what is there, what each job holds, what may still be done."""

import re

import pytest

from accounts import ledger, quotas
from accounts.models import Transfer

pytestmark = pytest.mark.django_db

PRICE = 58_000


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return lambda: client.get("/account/").content.decode()


def test_a_stranger_is_sent_to_sign_in(client):
    answer = client.get("/account/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/?next=/account/")


def test_each_hold_is_shown_with_its_job_and_amount(page, alice, submit):
    generation = submit(alice)
    shown = page()
    assert f'href="/generations/{generation.public_id}/"' in shown
    assert "a fox</a>" in shown
    assert "$0.058" in shown
    available = ledger.balance_of(alice).available
    assert f"${available / 1_000_000:.3f} available, $0.058 held" in shown


@pytest.mark.django_db(transaction=True)  # the worker closes its connection
def test_what_was_captured_is_spent_this_month(page, alice, upstream, submit, work):
    work(submit(alice))
    assert ledger.balance_of(alice).spent == PRICE
    assert page().count("$0.058") >= 2
    assert "Nothing is held" in page()


def test_the_limits_are_meters(page, alice, submit):
    quotas.override_limits(user=alice, images_per_day=1, concurrent=quotas.UNLIMITED)
    submit(alice)
    shown = page()
    assert 'aria-label="Pictures today"' in shown
    assert "1 of 1" in shown
    assert 'class="is-near"' in shown
    assert "1, no limit" in shown


def test_somebody_without_money_is_told_what_to_do(client, penniless):
    client.force_login(penniless)
    assert "Ask whoever runs this Plantain for credit" in client.get("/account/").content.decode()


def test_a_prompt_is_text(client, alice, submit, spec):
    from dataclasses import replace

    submit(alice, wish=replace(spec, prompt="<img src=x onerror=alert(1)>"))
    client.force_login(alice)
    assert "<img src=x" not in client.get("/account/").content.decode()


def test_nobody_sees_the_holds_of_others(client, alice, bob, submit):
    submit(alice)
    client.force_login(bob)
    assert "a fox" not in client.get("/account/").content.decode()
    assert Transfer.objects.open_holds().count() == 1


def test_the_page_costs_few_queries(client, alice, submit, django_assert_max_num_queries):
    for _ in range(3):
        submit(alice)
    client.force_login(alice)
    with django_assert_max_num_queries(8):
        client.get("/account/")


def test_a_hold_says_how_old_it_is_and_when_it_ends_at_the_latest(page, alice, submit):
    hold = submit(alice).hold
    shown = page()
    assert re.search(
        r"\d s old, free by <time datetime=\"" + re.escape(hold.expires_at.strftime("%Y-%m-%dT%H:%M")), shown
    )


def test_when_everything_is_held_it_says_that_some_may_come_back(client, rich_in_pictures, submit):
    user = rich_in_pictures(1)
    submit(user)
    client.force_login(user)
    shown = client.get("/account/").content.decode()
    assert "All that is left is held by running work." in shown
    assert "Nothing is left to spend" not in shown


@pytest.mark.parametrize(
    ("used", "words"), [(2, None), (3, "Nearly used up."), (4, "Used up.")], ids=["half", "three quarters", "all"]
)
def test_a_limit_says_in_words_when_it_is_nearly_reached(page, alice, submit, used, words):
    quotas.override_limits(user=alice, images_per_day=4, concurrent=quotas.UNLIMITED)
    for _ in range(used):
        submit(alice)
    assert re.findall(r"<b>((?:Nearly u|U)sed up\.)</b>", page()) == ([words] if words else [])


def test_a_limit_says_when_it_starts_again(page):
    shown = page()
    assert re.search(r"Starts again in [\dhmins ]+, at 00:00 UTC\.", shown)
    assert re.search(r"Starts again in (?:\d+ s|1 min)\.", shown)


def test_of_many_jobs_the_oldest_are_shown_and_the_rest_is_counted(page, alice, submit, django_assert_max_num_queries):
    quotas.override_limits(user=alice, images_per_day=100, concurrent=100)
    ledger.grant(user=alice, amount_micros=10_000_000, reason="for many", key="many")
    for _ in range(23):
        submit(alice)
    with django_assert_max_num_queries(8):
        shown = page()
    assert shown.count("a fox</a>") == 20
    assert "and 3 more" in shown
    assert len(shown) < 50_000


def test_a_daily_limit_of_nothing_is_used_up(page, alice):
    quotas.override_limits(user=alice, images_per_day=0)
    shown = page()
    assert "0 of 0" in shown
    assert "<b>Used up.</b>" in shown
