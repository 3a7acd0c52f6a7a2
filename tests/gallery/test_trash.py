"""Moving a picture to the trash, and bringing it back, on the pages; and the words of a picture."""

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from accounts.errors import InvalidInput, NotFound
from gallery import services
from gallery.models import Image
from gallery.views import TRASH_PAGE
from tests.gallery.pictures import add_image, encode_picture, write_file

pytestmark = pytest.mark.django_db

TRASH = "/library/trash/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def facts(settings):
    return write_file(settings.SPOOL_DIR, encode_picture("png", size=(600, 400)))[1]


@pytest.fixture
def image(alice, facts):
    return add_image(alice, facts, prompt="A <b>bold</b> fox", caption="A fox.")


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


def verb(image, name):
    return f"/images/{image.public_id}/{name}/"


def state(image):
    image.refresh_from_db()
    return image.trashed_at is not None, image.version


# --- The verbs -----------------------------------------------------------------------------------


def test_trash_and_restore_move_a_picture_once(alice, image):
    first = services.trash_image(owner=alice, public_id=image.public_id)
    again = services.trash_image(owner=alice, public_id=image.public_id)
    assert first.trashed_at == again.trashed_at is not None
    assert (first.version, again.version) == (2, 2)
    assert services.restore_image(owner=alice, public_id=image.public_id).trashed_at is None
    assert services.restore_image(owner=alice, public_id=image.public_id).version == 3


@pytest.mark.parametrize("service", [services.trash_image, services.restore_image, services.edit_image])
def test_another_persons_picture_is_not_found(bob, image, service):
    with pytest.raises(NotFound):
        service(owner=bob, public_id=image.public_id)
    assert state(image) == (False, 1)


def test_a_caption_that_is_longer_than_an_alt_text_is_kept_whole_beside_it(alice, facts):
    image = add_image(alice, facts, caption="x" * 3000)
    assert (len(image.caption), len(image.alt_text)) == (3000, 2000)
    assert services.edit_image(owner=alice, public_id=image.public_id, title="A title").title == "A title"


@pytest.mark.parametrize("words", [{"title": "a\0b"}, {"alt_text": "a\ud800b"}, {"title": "x" * 201}])
def test_words_that_cannot_be_kept_are_refused(alice, image, words):
    with pytest.raises(InvalidInput) as refusal:
        services.edit_image(owner=alice, public_id=image.public_id, **words)
    assert [problem.field for problem in refusal.value.errors] == list(words)
    assert state(image) == (False, 1)


# --- The pages -----------------------------------------------------------------------------------


def test_moving_to_the_trash_leads_back_to_the_library_with_a_way_to_undo_it(browser, image):
    answer = browser.post(verb(image, "trash"), follow=True)
    assert answer.redirect_chain == [(f"/library/?at={image.public_id}", HTTPStatus.FOUND)]
    assert state(image) == (True, 2)
    page = answer.content.decode()
    assert "Moved to trash: A &lt;b&gt;bold&lt;/b&gt; fox" in page
    assert f'<form method="post" action="{verb(image, "restore")}">' in page


def test_undo_brings_it_back_to_its_page(browser, image):
    browser.post(verb(image, "trash"))
    answer = browser.post(verb(image, "restore"))
    assert answer["Location"] == f"/images/{image.public_id}/"
    assert state(image) == (False, 3)


def test_restoring_in_the_trash_stays_there(browser, image):
    browser.post(verb(image, "trash"))
    answer = browser.post(verb(image, "restore"), {"from": "trash"}, follow=True)
    assert answer.redirect_chain == [(TRASH, HTTPStatus.FOUND)]
    assert "The trash is empty" in answer.content.decode()
    assert f'href="/library/?at={image.public_id}#t-{image.public_id}"' in answer.content.decode()


def test_scripts_get_an_empty_answer(browser, image):
    for name, is_trashed in (("trash", True), ("restore", False)):
        answer = browser.post(verb(image, name), headers=HTMX)
        assert (answer.status_code, answer.content) == (HTTPStatus.NO_CONTENT, b"")
        assert state(image)[0] is is_trashed


@pytest.mark.parametrize("name", ["trash", "restore", "edit"])
def test_the_verbs_are_for_the_owner_alone(image, bob, staff, stranger, name):
    for person in (bob, staff):
        visitor = Client()
        visitor.force_login(person)
        assert visitor.post(verb(image, name)).status_code == HTTPStatus.NOT_FOUND
    assert stranger.post(verb(image, name))["Location"].startswith("/accounts/login/")
    assert state(image) == (False, 1)


@pytest.mark.parametrize("name", ["trash", "restore", "edit"])
def test_nothing_moves_without_the_forms_token(alice, image, name):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    assert careful.post(verb(image, name), {"title": "New"}).status_code == HTTPStatus.FORBIDDEN
    assert state(image) == (False, 1)


@pytest.mark.parametrize("name", ["trash", "restore"])
def test_looking_moves_nothing(browser, image, name):
    assert browser.get(verb(image, name)).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert state(image) == (False, 1)


def test_the_trash_lists_my_pictures_the_latest_moved_first_in_pages(browser, alice, bob, facts):
    add_image(alice, facts)
    foreign = add_image(bob, facts)
    services.trash_image(owner=bob, public_id=foreign.public_id)
    now = timezone.now()
    moved = [add_image(alice, facts, prompt=f"Number {number}") for number in range(TRASH_PAGE + 2)]
    for number, each in enumerate(moved):
        # Several of one moment: the order among them must not lose any at the border of a page.
        Image.objects.filter(pk=each.pk).update(trashed_at=now + timedelta(hours=number // 8))
    wanted = [str(each.public_id) for each in reversed(moved)]
    first = browser.get(TRASH)
    assert [str(tile.id) for _, tile in first.context["images"]] == wanted[:TRASH_PAGE]
    second = browser.get(f"{TRASH}?before={first.context['older']}")
    assert [str(tile.id) for _, tile in second.context["images"]] == wanted[TRASH_PAGE:]
    assert second.context["older"] is None


def test_a_page_of_the_trash_whose_place_was_restored_begins_again(browser, image):
    assert browser.get(f"{TRASH}?before={image.public_id}")["Location"] == TRASH


def test_the_trash_costs_three_queries(browser, alice, facts, django_assert_num_queries):
    for _ in range(5):
        services.trash_image(owner=alice, public_id=add_image(alice, facts).public_id)
    browser.get(TRASH)
    with django_assert_num_queries(3):
        browser.get(TRASH)


# --- Title and alternative text ------------------------------------------------------------------


def test_the_form_of_the_words_works_as_a_page(browser, image):
    page = browser.get(verb(image, "edit")).content.decode()
    assert ">\nA fox.</textarea>" in page
    answer = browser.post(verb(image, "edit"), {"title": "Fox & vixen", "alt_text": "Two\r\nfoxes"})
    assert answer["Location"] == f"/images/{image.public_id}/"
    image.refresh_from_db()
    assert (image.title, image.alt_text, image.version) == ("Fox & vixen", "Two\nfoxes", 2)


def test_the_form_of_the_words_works_in_the_pictures_page(browser, image):
    assert "<html" not in browser.get(verb(image, "edit"), headers=HTMX).content.decode()
    answer = browser.post(verb(image, "edit"), {"title": "<i>Fox</i>", "alt_text": ""}, headers=HTMX)
    assert "&lt;i&gt;Fox&lt;/i&gt;" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    image.refresh_from_db()
    assert (image.title, image.alt_text) == ("<i>Fox</i>", "")


@pytest.mark.parametrize(("headers", "status"), [({}, HTTPStatus.BAD_REQUEST), (HTMX, HTTPStatus.OK)])
@pytest.mark.parametrize(
    ("words", "said"), [({"title": "x" * 201}, "title-error"), ({"alt_text": "y" * 2001}, "alt-text-error")]
)
def test_words_that_are_too_long_are_kept_in_the_form_and_nowhere_else(browser, image, words, said, headers, status):
    answer = browser.post(verb(image, "edit"), {"title": "", "alt_text": "", **words}, headers=headers)
    assert answer.status_code == status
    page = answer.content.decode()
    assert f'id="{said}" role="alert"' in page
    assert next(iter(words.values())) in page
    image.refresh_from_db()
    assert (image.title, image.alt_text, image.version) == ("", "A fox.", 1)
