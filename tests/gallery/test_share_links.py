"""Share links: a page and copies of its own, until a date, a revocation, or the end of the publication."""

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from accounts.errors import Conflict
from gallery import sharing
from gallery.models import ShareLink
from gallery.review import owners
from tests.gallery.pictures import C2PA_CHUNK
from tests.gallery.published import PROMPT, publish_picture
from tests.gallery.review.desk import make_picture
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture
def image(alice, settings):
    settings.REVIEW_MODE = "post"
    return publish_picture(alice, settings.SPOOL_DIR, visibility="unlisted")


@pytest.fixture
def link(alice, image):
    return sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)


@pytest.fixture
def mine(alice):
    client = Client()
    client.force_login(alice)
    return client


def path_of(link):
    return f"/s/{sharing.token_of(link)}/"


def test_a_link_opens_a_page_and_copies_without_metadata_for_anybody(link, image, stranger):
    page = stranger.get(path_of(link))
    html = page.content.decode()
    assert page.status_code == HTTPStatus.OK
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in page.headers["Cache-Control"]
    assert PROMPT not in html
    assert image.publication_key not in html  # that address would outlive the link
    copy = stranger.get(f"{path_of(link)}1280.webp")
    data = b"".join(copy.streaming_content)
    assert copy.headers["Cache-Control"] == "private, no-store"
    assert b"trainedAlgorithmicMedia" in data
    assert C2PA_CHUNK not in data
    for name in ("original.png", "clip", "2000.webp", "full.png", "full"):
        assert stranger.get(path_of(link) + name).status_code == HTTPStatus.NOT_FOUND, name


def test_it_counts_how_often_its_page_was_opened_and_nothing_else(link, stranger):
    stranger.get(path_of(link))
    stranger.get(path_of(link))
    stranger.head(path_of(link))
    stranger.get(f"{path_of(link)}320.webp")
    link.refresh_from_db()
    assert link.views == 2


def test_it_ends_at_its_date(alice, image, stranger):
    ends = timezone.now() + timedelta(hours=1)
    link = sharing.create_link(owner=alice, public_id=image.public_id, expires_at=ends)
    assert stranger.get(path_of(link)).status_code == HTTPStatus.OK
    ShareLink.objects.update(expires_at=timezone.now())
    for path in (path_of(link), f"{path_of(link)}320.webp"):
        assert stranger.get(path).status_code == HTTPStatus.NOT_FOUND


def test_it_ends_alone_when_it_is_revoked(link, image, alice, stranger):
    other = sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)
    sharing.revoke_link(owner=alice, public_id=image.public_id, link_id=link.public_id)
    revoked_at = ShareLink.objects.get(pk=link.pk).revoked_at
    sharing.revoke_link(owner=alice, public_id=image.public_id, link_id=link.public_id)
    assert ShareLink.objects.get(pk=link.pk).revoked_at == revoked_at
    assert stranger.get(path_of(link)).status_code == HTTPStatus.NOT_FOUND
    assert stranger.get(f"{path_of(link)}320.webp").status_code == HTTPStatus.NOT_FOUND
    assert stranger.get(path_of(other)).status_code == HTTPStatus.OK


def test_it_ends_with_the_publication(link, image, alice, stranger):
    owners.withdraw(owner=alice, public_id=image.public_id)
    assert stranger.get(path_of(link)).status_code == HTTPStatus.NOT_FOUND
    with pytest.raises(Conflict):
        sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)


def test_a_token_that_was_changed_anywhere_opens_nothing(link, stranger):
    token = sharing.token_of(link)
    for place in (0, 20, 21, 22, 30, 41, 42, 43):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert stranger.get(f"/s/{changed}/").status_code == HTTPStatus.NOT_FOUND, place
    assert stranger.get(f"/s/{'-' * 44}/").status_code == HTTPStatus.NOT_FOUND


def test_links_stay_when_keys_are_rotated_and_end_with_their_key(alice, image, stranger, settings):
    settings.URL_SIGNING_KEYS = {"first": FIRST}
    link = sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)
    path = path_of(link)
    settings.URL_SIGNING_KEYS = {"second": SECOND, "first": FIRST}
    assert stranger.get(path).status_code == HTTPStatus.OK
    settings.URL_SIGNING_KEYS = {"second": SECOND}
    assert stranger.get(path).status_code == HTTPStatus.NOT_FOUND
    assert sharing.live_links(owner=alice, public_id=image.public_id) == []


def test_the_owner_makes_reads_and_revokes_links_on_the_page(image, mine, stranger):
    mine.post(f"/images/{image.public_id}/links/", {"days": "7"})
    link = ShareLink.objects.get()
    assert abs(link.expires_at - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)
    stranger.get(path_of(link))
    page = mine.get(f"/images/{image.public_id}/").content.decode()
    assert f'value="http://testserver{path_of(link)}"' in page, "the host by which the owner came, as over REST"
    assert "opened 1 time<" in page
    mine.post(f"/images/{image.public_id}/links/{link.public_id}/revoke/")
    assert path_of(link) not in mine.get(f"/images/{image.public_id}/").content.decode()
    mine.post(f"/images/{image.public_id}/links/", {"days": "8"})
    assert ShareLink.objects.count() == 1


def test_links_over_rest(alice, image, alice_key, bob_key, stranger):
    path, client = f"/api/v1/images/{image.public_id}/links", client_with(alice_key)
    ends = (timezone.now() + timedelta(days=2)).isoformat()
    made = client.post(path, {"expires_at": ends}, content_type="application/json")
    assert made.status_code == HTTPStatus.CREATED
    assert stranger.get(made.json()["url"]).status_code == HTTPStatus.OK
    assert client.get(path).json() == [made.json() | {"views": 1}]
    for wrong in ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "tomorrow"):
        refused = client.post(path, {"expires_at": wrong}, content_type="application/json")
        assert refused.status_code == HTTPStatus.BAD_REQUEST
    own = f"{path}/{made.json()['id']}"
    for other, status in ((client_with(bob_key), 404), (client_with(make_key(alice, "read")), 403), (stranger, 401)):
        assert other.get(path).status_code == status
        assert other.post(path, {}, content_type="application/json").status_code == status
        assert other.delete(own).status_code == status
    assert ShareLink.objects.get().revoked_at is None
    assert client.delete(own).status_code == HTTPStatus.NO_CONTENT
    assert client.get(path).json() == []


def test_a_private_picture_has_no_links(alice, alice_key):
    image = make_picture(alice)
    answer = client_with(alice_key).post(f"/api/v1/images/{image.public_id}/links", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.CONFLICT, "conflict")
    assert ShareLink.objects.count() == 0


def test_there_is_an_end_to_the_links_of_one_picture(alice, image, monkeypatch):
    monkeypatch.setattr(sharing, "MAX_LIVE", 1)
    sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)
    with pytest.raises(Conflict, match="1 links already"):
        sharing.create_link(owner=alice, public_id=image.public_id, expires_at=None)
