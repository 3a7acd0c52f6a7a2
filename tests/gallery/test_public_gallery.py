"""The public gallery, its pictures' pages and the feed: what is published and no more, for anybody."""

from http import HTTPStatus

import pytest
from django.test import Client

from gallery import public_views, publishing
from gallery.models import Image, Report
from gallery.renditions import make_eager
from tests.gallery.published import PROMPT, publish_picture
from tests.people import client_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _at_once(settings):
    settings.REVIEW_MODE = "post"


@pytest.fixture
def publish(alice, settings):
    def run(**fields):
        return publish_picture(alice, settings.SPOOL_DIR, **fields)

    return run


def listed(client, query=""):
    return [picture.id for picture in client.get(f"/gallery/{query}").context["pictures"]]


def test_it_lists_what_is_public_the_newest_published_first(publish, stranger, alice):
    old, unlisted, new = publish(), publish(visibility="unlisted"), publish()
    assert listed(stranger) == [new.public_id, old.public_id]
    publishing.choose_visibility(owner=alice, public_id=unlisted.public_id, visibility="public")
    publishing.choose_visibility(owner=alice, public_id=new.public_id, visibility="private")
    assert listed(stranger) == [unlisted.public_id, old.public_id]


def test_it_says_when_nothing_is_published_and_when_nothing_matches(publish, stranger):
    assert "Nothing is published yet" in stranger.get("/gallery/").content.decode()
    publish()
    assert "Nothing matches these filters" in stranger.get("/gallery/?shape=tall").content.decode()


def test_pages_go_on_from_a_place_and_filters_go_with_them(publish, stranger, monkeypatch):
    monkeypatch.setattr(public_views, "PAGE", 2)
    wide = [publish(size=(40, 20)) for _ in range(3)]
    tall = publish(size=(20, 40))
    assert listed(stranger) == [tall.public_id, wide[2].public_id]
    page = stranger.get("/gallery/?shape=wide")
    assert page.context["older"] == f"shape=wide&before={wide[1].published_order}"
    assert listed(stranger, f"?{page.context['older']}") == [wide[0].public_id]
    assert listed(stranger, "?before=nonsense&model=") == [tall.public_id, wide[2].public_id]


def test_prompts_are_nowhere_until_their_owner_discloses_them(publish, stranger, alice):
    image = publish()
    paths = ("/gallery/", f"/gallery/{image.public_id}/", "/api/v1/gallery", "/")
    for path in paths:
        assert PROMPT not in stranger.get(path).content.decode(), path
    publishing.choose_visibility(owner=alice, public_id=image.public_id, visibility="public", discloses_prompt=True)
    assert PROMPT in stranger.get(f"/gallery/{image.public_id}/").content.decode()
    assert stranger.get("/api/v1/gallery").json()["results"][0]["prompt"] == PROMPT
    publishing.choose_visibility(owner=alice, public_id=image.public_id, visibility="public", discloses_prompt=False)
    assert stranger.get("/api/v1/gallery").json()["results"][0]["prompt"] is None


def test_pages_are_asked_for_anew_and_name_no_owner(publish, stranger):
    image = publish()
    for path in ("/gallery/", f"/gallery/{image.public_id}/", "/"):
        answer = stranger.get(path)
        assert answer.headers["Cache-Control"] == "private, max-age=0, must-revalidate"
        assert "alice" not in answer.content.decode().lower()


def test_a_page_of_many_pictures_costs_as_many_queries_as_one(
    publish, stranger, django_assert_num_queries, monkeypatch
):
    make_eager(publish().blob)
    for count in (0, 8):
        for _ in range(count):
            publish()
        with django_assert_num_queries(2):  # the pictures, and the digests of their copies
            stranger.get("/gallery/")


def test_an_unlisted_picture_has_a_page_that_search_engines_leave_alone(publish, stranger):
    image = publish(visibility="unlisted")
    assert '<meta name="robots" content="noindex">' in stranger.get(f"/gallery/{image.public_id}/").content.decode()


def test_a_viewer_reports_a_picture_from_its_page_without_an_account(publish, settings):
    settings.REPORTS_TO_REVIEW = 2
    image = publish()
    path = f"/gallery/{image.public_id}/report/"
    first, second = Client(REMOTE_ADDR="192.0.2.1"), Client(REMOTE_ADDR="192.0.2.2")
    answer = first.post(path, {"reason": "spam", "note": "An advertisement"})
    assert answer.headers["Location"] == f"/gallery/{image.public_id}/"
    assert Report.objects.get().note == "An advertisement"
    refused = first.post(path, {"reason": "no such"}, follow=True)
    assert Report.objects.count() == 1
    assert refused.context["messages"]
    assert second.post(path, {"reason": "spam"}).headers["Location"] == "/gallery/"
    assert first.get(f"/gallery/{image.public_id}/").status_code == HTTPStatus.NOT_FOUND


def test_the_feed_is_open_to_all_but_not_to_a_bad_key(publish, stranger, bob_key):
    image = publish()
    answer = stranger.get("/api/v1/gallery")
    (body,) = answer.json()["results"]
    assert answer.headers["Cache-Control"] == "max-age=60, public"
    assert body["id"] == str(image.public_id)
    assert body["url"] == f"http://testserver/gallery/{image.public_id}/"
    assert body["thumbnails"]["320"].startswith(f"http://testserver/p/{image.publication_key}/")
    assert (body["title"], body["alt_text"], body["prompt"], body["clip"]) == ("", "A yellow disc.", None, None)
    assert client_with(bob_key).get("/api/v1/gallery").headers["Cache-Control"] == "max-age=60, private"
    assert client_with("nbk_live_wrong").get("/api/v1/gallery").status_code == HTTPStatus.UNAUTHORIZED
    assert stranger.get("/api/v1/gallery?q=prompt").json()["errors"][0]["field"] == "q"


def test_the_feed_has_pages(publish, stranger):
    images = [publish() for _ in range(3)]
    first = stranger.get("/api/v1/gallery?limit=2").json()
    second = stranger.get(first["next"]).json()
    ids = [body["id"] for body in first["results"] + second["results"]]
    assert ids == [str(image.public_id) for image in reversed(images)]
    assert second["next"] is None


def test_the_front_page_shows_the_newest_or_says_that_there_are_none(publish, stranger):
    assert "Nothing is published here yet" in stranger.get("/").content.decode()
    image = publish()
    assert f"/gallery/{image.public_id}/" in stranger.get("/").content.decode()


def test_a_published_picture_keeps_saying_what_it_shows(publish, alice_key):
    image = publish()
    answer = client_with(alice_key).patch(
        f"/api/v1/images/{image.public_id}", {"alt_text": " "}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (HTTPStatus.BAD_REQUEST, "alt_text")
    assert Image.objects.get().alt_text == "A yellow disc."
