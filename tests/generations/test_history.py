"""/generations/ and /generations/<id>/: every job of a person with what became of it and of its money."""

import re
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import quotas
from generations import services
from tests.generations.fakes import error

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()


@pytest.fixture
def client(alice):
    quotas.override_limits(user=alice, concurrent=1000, images_per_day=1000)
    client = Client()
    client.force_login(alice)
    return client


def listed(page):
    return re.findall(r'<a class="run-prompt" dir="auto" href="/generations/([0-9a-f-]+)/">', page.content.decode())


def test_nothing_was_asked_for_yet(client):
    html = client.get("/generations/").content.decode()
    assert "Nothing was asked for yet" in html


def test_every_job_of_mine_is_listed_newest_first_whatever_its_door(client, alice, bob, submit):
    submit(bob)
    made = [str(submit(alice, source=source).public_id) for source in ("rest", "web", "cli")]
    assert listed(client.get("/generations/")) == made[::-1]


def test_a_status_filters_by_the_address(client, alice, upstream, submit, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    failed = work(submit(alice))
    cancelled = services.cancel(user=alice, public_id=submit(alice).public_id)
    waiting = submit(alice)
    for status, generation in (("failed", failed), ("canceled", cancelled), ("running", waiting)):
        assert listed(client.get(f"/generations/?status={status}")) == [str(generation.public_id)]
    assert "No run is in this state." in client.get("/generations/?status=succeeded").content.decode()
    assert client.get("/generations/?status=nonsense").status_code == 404


def test_the_list_goes_on_and_keeps_its_filter(client, alice, submit):
    made = [str(services.cancel(user=alice, public_id=submit(alice).public_id).public_id) for _ in range(32)]
    submit(alice)
    first = client.get("/generations/?status=canceled")
    assert listed(first) == made[::-1][:30]
    address = re.search(r'href="\?(status=canceled&amp;before=[0-9a-f-]+)" rel="next"', first.content.decode())[1]
    second = client.get("/generations/?" + address.replace("&amp;", "&"))
    assert listed(second) == made[::-1][30:]
    assert 'rel="next"' not in second.content.decode()
    assert client.get("/generations/?before=nonsense").status_code == 404


def test_a_full_list_takes_eight_queries_and_is_small(
    client, alice, upstream, submit, work, django_assert_max_num_queries
):
    for _ in range(15):
        work(submit(alice))
    client.get("/generations/")
    with django_assert_max_num_queries(8):
        page = client.get("/generations/")
    assert len(listed(page)) == 15
    assert len(page.content) < 50_000


def test_a_run_by_itself_tells_its_parameters_attempts_and_money(client, alice, upstream, submit, work):
    upstream.says(error(400, "INVALID_ARGUMENT"))
    failed = work(submit(alice))
    html = client.get(f"/generations/{failed.public_id}/").content.decode()
    assert "<dt>Aspect ratio</dt><dd>1:1</dd><dt>Size</dt><dd>1K</dd>" in html
    assert "A program (rest)" in html
    assert "(invalid, HTTP 400, 7 ms, request upstream-1)" in html
    assert re.findall(r'</time></td><td>([A-Za-z ]+)</td><td class="r">(\$[\d.]+)</td>', html) == [
        ("Held", "$0.058"),
        ("Given back", "$0.058"),
    ]
    services.retry(user=alice, public_id=failed.public_id)
    html = client.get(f"/generations/{failed.public_id}/").content.decode()
    assert re.findall(r"</time></td><td>([A-Za-z ]+)</td>", html) == ["Held", "Given back", "Held"]


def test_what_the_house_paid_is_not_the_users_business(client, alice, upstream, submit, work):
    ready = work(submit(alice))
    html = client.get(f"/generations/{ready.public_id}/").content.decode()
    assert re.findall(r"</time></td><td>([A-Za-z ]+)</td>", html) == ["Held", "Charged"]


def test_without_scripts_the_page_of_a_run_reloads_until_it_has_ended(client, alice, submit):
    generation = submit(alice)
    refresh = '<noscript><meta http-equiv="refresh" content="3"></noscript>'
    assert refresh in client.get(f"/generations/{generation.public_id}/").content.decode()
    services.cancel(user=alice, public_id=generation.public_id)
    assert refresh not in client.get(f"/generations/{generation.public_id}/").content.decode()


def test_another_persons_run_is_not_there(client, bob, submit, stranger):
    generation = submit(bob)
    for path in (f"/generations/{generation.public_id}/", f"/generations/{generation.public_id}/card/"):
        assert client.get(path).status_code == 404
        assert stranger.get(path)["Location"] == f"/accounts/login/?next={path}"
    assert client.get(f"/generations/{uuid4()}/").status_code == 404
    assert stranger.get("/generations/")["Location"] == "/accounts/login/?next=/generations/"
