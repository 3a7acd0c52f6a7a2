"""The first steps: ticked by what was really done, gone when all are done or when they were put away."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client

from accounts.keys import create_key
from accounts.models import User

pytestmark = pytest.mark.django_db(transaction=True)

STUDIO = "/studio/"


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def client(alice):
    EmailAddress.objects.filter(user=alice).delete()
    client = Client()
    client.force_login(alice)
    return client


def steps(client):
    """What is ticked and what is not, or None without a list."""
    html = client.get(STUDIO).content.decode()
    found = re.search(r'<section class="panel checklist".*?</section>', html, re.DOTALL)
    return found and ["is-done" in item for item in re.findall(r"<li.*?</li>", found[0], re.DOTALL)]


def test_each_step_is_ticked_when_it_is_done_and_the_list_goes_with_the_last(client, alice, submit, upstream, work):
    assert steps(client) == [False, False, False]
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    assert steps(client) == [True, False, False]
    work(submit(alice))
    assert steps(client) == [True, True, False]
    create_key(user=alice)
    assert steps(client) is None
    assert steps(client) is None


def test_an_address_that_is_not_confirmed_is_no_step(client, alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=False, primary=True)
    assert steps(client) == [False, False, False]


def test_what_others_have_done_ticks_nothing(client, alice, bob, submit, upstream, work):
    EmailAddress.objects.update_or_create(user=bob, email=bob.email, defaults={"verified": True, "primary": True})
    work(submit(bob))
    create_key(user=bob)
    assert steps(client) == [False, False, False]


@pytest.mark.parametrize(("headers", "status"), [({}, 302), ({"HX-Request": "true"}, 200)], ids=["plain", "htmx"])
def test_a_list_that_was_put_away_stays_away(client, alice, headers, status):
    assert client.post("/studio/onboarding/", headers=headers).status_code == status
    assert steps(client) is None
    first = User.objects.get(pk=alice.pk).onboarding_dismissed_at
    client.post("/studio/onboarding/")
    assert User.objects.get(pk=alice.pk).onboarding_dismissed_at == first is not None


def test_reading_the_address_puts_nothing_away(client, alice, stranger):
    assert client.get("/studio/onboarding/").status_code == 405
    assert stranger.post("/studio/onboarding/").status_code == 303
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/studio/onboarding/").status_code == 403
    assert User.objects.get(pk=alice.pk).onboarding_dismissed_at is None
