"""The operators' pages of generations and pictures: each call with its redacted answer; nothing can be changed."""

import uuid

import pytest
from django.test import Client

from gallery.models import Image
from generations import leases
from generations.models import Generation, Output
from tests.generations.fakes import error, picture, reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(staff):
    client = Client()
    client.force_login(staff)
    return client


def words(response):
    return " ".join(response.content.decode().split())


def test_the_list_shows_who_asked_what_and_what_it_cost(alice, upstream, submit, work, operator):
    generation = work(submit(alice))
    page = words(operator.get("/admin/generations/generation/"))
    for fact in (str(generation.public_id), "alice@example.com", generation.model, "$0.058"):
        assert fact in page


@pytest.mark.parametrize("q", ["{public_id}", "alice@example.com", "upstream-1"])
def test_it_is_found_by_what_people_report(q, alice, bob, upstream, submit, work, operator):
    generation = work(submit(alice))
    other = submit(bob)
    page = words(operator.get("/admin/generations/generation/", {"q": q.format(public_id=generation.public_id)}))
    assert str(generation.public_id) in page
    assert str(other.public_id) not in page


def test_each_attempt_is_shown_with_its_redacted_answer(alice, upstream, submit, work, operator):
    upstream.says(
        error(503, "UNAVAILABLE", "busy: key=canary-of-a-key"), reply({"text": "<b>Here</b> it is."}, picture())
    )
    generation = work(submit(alice))
    page = words(operator.get(f"/admin/generations/generation/{generation.pk}/change/"))
    for fact in ("unavailable", "upstream-1", "upstream-2", "7 ms", "HTTP 503", "HTTP 200", "[base64, "):
        assert fact in page
    assert "&lt;b&gt;Here&lt;/b&gt; it is." in page
    assert "canary" not in page
    assert "iVBOR" not in page


def test_a_picture_is_linked_and_its_thumbnail_is_for_operators_only(alice, bob, upstream, submit, work, operator):
    generation = work(submit(alice))
    image = Output.objects.get(generation=generation).image
    thumbnail = f"/admin/gallery/image/{image.pk}/thumbnail/"
    assert thumbnail in words(operator.get(f"/admin/generations/generation/{generation.pk}/change/"))
    assert thumbnail in words(operator.get("/admin/gallery/image/"))
    response = operator.get(thumbnail)
    assert (response.status_code, response["Content-Type"]) == (200, "image/webp")
    stranger = Client()
    assert stranger.get(thumbnail).url.startswith("/admin/login/")
    stranger.force_login(bob)
    assert stranger.get(thumbnail).status_code == 302
    assert operator.get("/admin/gallery/image/999999/thumbnail/").status_code == 404


def test_looking_at_pictures_needs_its_permission(alice, upstream, submit, work, staff, operator):
    image = Output.objects.get(generation=work(submit(alice))).image
    staff.groups.clear()
    assert operator.get(f"/admin/gallery/image/{image.pk}/thumbnail/").status_code == 403
    assert operator.get(f"/admin/gallery/image/{image.pk}/change/").status_code == 403


@pytest.mark.parametrize("model", ["generations/generation", "gallery/image"])
def test_nothing_can_be_changed(model, alice, upstream, submit, work, staff):
    staff.is_superuser = True
    staff.save()
    root = Client()
    root.force_login(staff)
    generation = work(submit(alice))
    row = generation if "generation/" in f"{model}/" and "image" not in model else Image.objects.get()
    assert root.get(f"/admin/{model}/{row.pk}/change/").status_code == 200
    assert root.get(f"/admin/{model}/add/").status_code == 403
    for path in ("change", "delete"):
        assert root.post(f"/admin/{model}/{row.pk}/{path}/", {"post": "yes"}).status_code == 403
    root.post(f"/admin/{model}/", {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert type(row).objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("address", ["/admin/generations/generation/", "/admin/gallery/image/"])
def test_a_list_costs_the_same_queries_however_long_it_is(
    address, alice, bob, upstream, submit, work, operator, django_assert_num_queries
):
    work(submit(alice))
    with django_assert_num_queries(20, exact=False) as first:
        operator.get(address)
    for user in (alice, bob, bob):
        work(submit(user))
    assert Generation.objects.count() == 4
    with django_assert_num_queries(len(first.captured_queries)):
        operator.get(address)


def test_a_search_for_nothing_finds_nothing(alice, submit, operator):
    submit(alice)
    page = words(operator.get("/admin/generations/generation/", {"q": str(uuid.uuid4())}))
    assert "0 generations" in page


def test_operators_see_why_a_job_waits(alice, bob, submit, operator, settings):
    settings.WORKER_CONCURRENCY = 1
    leases.claim(submit(bob).pk)
    submit(bob)
    mine = submit(alice)
    page = words(operator.get(f"/admin/generations/generation/{mine.pk}/change/"))
    assert "Place 1. Next; waiting for a free worker. Its owner has 0 under way and 1 waiting, last turn never." in page
    assert "In all 1 of 1 workers are busy and 2 jobs wait." in page
