"""The page of one's balance: what is there, what each job holds, what may still be done."""

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
