"""The library: one's own pictures by day, in pages that cost the same however far down they are."""

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gallery import search, services
from gallery.models import Blob, Image
from gallery.pages import AHEAD, PAGE
from tests.gallery.pictures import add_image, encode_picture, write_file

pytestmark = pytest.mark.django_db

LIBRARY = "/library/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def facts(settings):
    return write_file(settings.SPOOL_DIR, encode_picture("png", size=(600, 400)))[1]


@pytest.fixture
def browser(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def fill(alice, facts):
    """So many pictures of Alice, the first of them the oldest, all of `day` days ago."""

    def make(count, *, day=0, **fields):
        first = add_image(alice, facts)
        created = timezone.now() - timedelta(days=day)
        wanted = {"prompt": "A fox", "model": first.model, "aspect_ratio": "3:2", "shape": first.shape, **fields}
        rows = [Image(owner=alice, blob=first.blob, created_at=created, **wanted) for _ in range(count)]
        first.delete()
        made = Image.objects.bulk_create(rows)
        search.index(made)
        return made

    return make


def tiles(answer):
    """The ids of the tiles, in their order."""
    assert answer.status_code == HTTPStatus.OK
    return re.findall(r'id="t-([0-9a-f-]{36})"', answer.content.decode())


def ids(images):
    return [str(image.public_id) for image in images]


def link(answer, rel):
    """The address of the link to the older (next) or newer (prev) page."""
    found = re.search(rf'rel="{rel}" href="([^"]+)"', answer.content.decode())
    return found and found[1].replace("&amp;", "&")


# --- What is shown -------------------------------------------------------------------------------


def test_my_pictures_are_there_the_newest_first_and_nobody_elses(browser, fill, bob, facts):
    mine = fill(3)
    add_image(bob, facts)
    assert tiles(browser.get(LIBRARY)) == ids(mine)[::-1]


def test_days_have_headings_with_their_date(browser, fill):
    fill(1, day=5)
    fill(1, day=1)
    fill(2)
    page = browser.get(LIBRARY).content.decode()
    days = [timezone.now().date() - timedelta(days=day) for day in (0, 1, 5)]
    assert re.findall(r'<time datetime="([^"]+)" data-show="day">', page) == [day.isoformat() for day in days]
    assert [word in page for word in ("Today, <time", "Yesterday, <time")] == [True, True]


def test_a_tile_offers_both_small_copies_by_their_true_widths_and_reserves_its_box(browser, alice, settings):
    facts = write_file(settings.SPOOL_DIR, encode_picture("png", size=(400, 800)), name="tall")[1]
    image = add_image(alice, facts, prompt='A "tall" <b>tower</b>')
    page = browser.get(LIBRARY).content.decode()
    address = f"/api/v1/images/{image.public_id}/file"
    assert f'src="{address}?variant=320"' in page
    assert f'srcset="{address}?variant=320 160w, {address}?variant=640 320w"' in page
    assert 'width="400" height="800"' in page
    assert 'loading="lazy" decoding="async"' in page
    assert 'style="--ar:0.5"' in page
    assert f"background:{image.blob.dominant_colour}" in page
    assert 'alt="A &quot;tall&quot; &lt;b&gt;tower&lt;/b&gt;"' in page
    assert "<b>tower" not in page


@pytest.mark.parametrize(("size", "ratio", "shape"), [((1600, 200), "3.2", "8:1"), ((200, 1600), "0.4", "1:8")])
def test_an_extreme_shape_is_cut_in_the_grid_and_named(browser, alice, settings, size, ratio, shape):
    facts = write_file(settings.SPOOL_DIR, encode_picture("png", size=size), name="extreme")[1]
    add_image(alice, facts, aspect_ratio=shape)
    page = browser.get(LIBRARY).content.decode()
    assert f'style="--ar:{ratio}"' in page
    assert f'<span class="pic-plate">{shape}</span>' in page


def test_an_extreme_shape_that_was_not_asked_for_is_named_by_what_it_is(browser, alice, settings):
    facts = write_file(settings.SPOOL_DIR, encode_picture("png", size=(1500, 300)), name="extreme")[1]
    add_image(alice, facts, aspect_ratio="1:1", honours_aspect_ratio=False)
    assert '<span class="pic-plate">5:1</span>' in browser.get(LIBRARY).content.decode()


def test_an_empty_library_leads_to_the_studio(browser):
    page = browser.get(LIBRARY).content.decode()
    assert "Pictures you make will live here" in page
    assert 'href="/studio/"' in page


def test_a_picture_in_the_trash_is_not_in_the_library(browser, fill, alice):
    first, second = fill(2)
    services.trash_image(owner=alice, public_id=first.public_id)
    assert tiles(browser.get(LIBRARY)) == ids([second])


# --- Pages ---------------------------------------------------------------------------------------


def test_older_and_newer_links_walk_through_all_pictures_and_back(browser, fill):
    images = fill(2 * PAGE + 5)[::-1]
    first = browser.get(LIBRARY)
    assert tiles(first) == ids(images[:PAGE])
    assert link(first, "prev") is None
    second = browser.get(LIBRARY + link(first, "next"))
    assert tiles(second) == ids(images[PAGE : 2 * PAGE])
    third = browser.get(LIBRARY + link(second, "next"))
    assert (tiles(third), link(third, "next")) == (ids(images[2 * PAGE :]), None)
    assert tiles(browser.get(LIBRARY + link(third, "prev"))) == tiles(second)
    assert tiles(browser.get(LIBRARY + link(second, "prev"))) == tiles(first)


def test_a_picture_that_came_meanwhile_moves_no_page(browser, fill):
    images = fill(PAGE + 3)[::-1]
    older = link(browser.get(LIBRARY), "next")
    fill(2)
    assert tiles(browser.get(LIBRARY + older)) == ids(images[PAGE:])


def test_a_page_goes_on_from_a_picture_that_was_moved_to_the_trash(browser, fill, alice):
    images = fill(PAGE + 3)[::-1]
    older = link(browser.get(LIBRARY), "next")
    services.trash_image(owner=alice, public_id=images[PAGE - 1].public_id)
    assert tiles(browser.get(LIBRARY + older)) == ids(images[PAGE:])


def test_the_page_around_a_picture_has_it_in_the_middle(browser, fill):
    images = fill(3 * PAGE)[::-1]
    around = tiles(browser.get(f"{LIBRARY}?at={images[50].public_id}"))
    assert around == ids(images[50 - PAGE // 2 : 50 + PAGE // 2])
    assert tiles(browser.get(f"{LIBRARY}?at={images[3].public_id}")) == ids(images[:PAGE])


def test_htmx_gets_the_tiles_alone_and_a_day_that_goes_on_has_no_second_heading(browser, fill):
    fill(3, day=1)
    fill(PAGE + 2)
    older = link(browser.get(LIBRARY), "next")
    part = browser.get(LIBRARY + older, headers=HTMX)
    assert "<html" not in part.content.decode()
    today, yesterday = (timezone.now().date() - timedelta(days=day) for day in (0, 1))
    assert re.findall(r'<time datetime="([^"]+)"', part.content.decode()) == [yesterday.isoformat()]
    whole = browser.get(LIBRARY + older).content.decode()
    assert re.findall(r'<time datetime="([^"]+)" data-show="day"', whole) == [today.isoformat(), yesterday.isoformat()]
    assert "HX-Request" in part["Vary"]


def test_the_boxes_of_the_next_pictures_of_the_day_are_laid_out_ahead(browser, fill):
    fill(3, day=1)
    fill(PAGE + 2)
    page = browser.get(LIBRARY).content.decode()
    assert page.count('<i class="tile"') == 2
    fill(AHEAD)
    assert browser.get(LIBRARY).content.decode().count('<i class="tile"') == AHEAD


@pytest.mark.parametrize("place", ["before=nonsense", "after=17", "before=11111111-1111-4111-8111-111111111111"])
def test_a_place_that_is_not_there_is_not_found(browser, fill, place):
    fill(1)
    assert browser.get(f"{LIBRARY}?{place}").status_code == HTTPStatus.NOT_FOUND


def test_another_persons_picture_is_no_place(browser, bob, facts):
    foreign = add_image(bob, facts)
    assert browser.get(f"{LIBRARY}?before={foreign.public_id}").status_code == HTTPStatus.NOT_FOUND


def test_every_page_costs_the_same_few_queries_and_skips_no_rows(browser, fill):
    fill(5)
    with CaptureQueriesContext(connection) as small:
        browser.get(LIBRARY)
    images = fill(4 * PAGE)[::-1]
    with CaptureQueriesContext(connection) as first:
        browser.get(LIBRARY)
    with CaptureQueriesContext(connection) as deep:
        browser.get(f"{LIBRARY}?before={images[3 * PAGE].public_id}")
    assert len(small) == len(first) == 4
    assert len(deep) == 5  # and the place itself
    spoken = " ".join(query["sql"].upper() for query in [*first, *deep])
    assert "OFFSET" not in spoken
    assert "COUNT(" not in spoken


def test_the_list_is_read_from_its_index(alice):
    images = Image.objects.owned_by(alice).kept().filter(pk__lt=10).order_by("-pk")[:5]
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads an empty table as a whole")
    assert "image_kept_of_owner" in images.explain()
    assert "TEMP B-TREE" not in images.explain()
    assert "image_trashed_of_owner" in Image.objects.owned_by(alice).trashed()[:5].explain()


def test_a_full_page_of_long_prompts_stays_below_50_kb(browser, fill):
    fill(2 * PAGE, prompt="Üppige Föhren über dämmrigen Höhen, " * 100)
    assert len(browser.get(LIBRARY).content) <= 50 * 1024


# --- Filters -------------------------------------------------------------------------------------


@pytest.fixture
def mixed(alice, settings):
    sizes = {"square": (400, 404), "wide": (600, 400), "tall": (300, 600)}
    made = {}
    for name, size in sizes.items():
        facts = write_file(settings.SPOOL_DIR, encode_picture("png", size=size), name=name)[1]
        made[name] = add_image(alice, facts, prompt=f"A {name} fox, 100%", model=f"model-{name}")
    assert Blob.objects.count() == 3
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("shape=square", ["square"]),
        ("shape=wide", ["wide"]),
        ("shape=tall", ["tall"]),
        ("model=model-tall", ["tall"]),
        ("q=TALL", ["tall"]),
        ("q=100%25", ["tall", "wide", "square"]),
        ("q=fox&shape=wide&model=model-wide", ["wide"]),
        ("q=fox&shape=wide&model=model-tall", []),
        ("shape=round", ["tall", "wide", "square"]),
        ("q=%00", ["tall", "wide", "square"]),
    ],
)
def test_filters_narrow_the_library(browser, mixed, query, found):
    assert tiles(browser.get(f"{LIBRARY}?{query}")) == ids(mixed[name] for name in found)


def test_a_filter_without_results_says_so_and_shows_the_way_back(browser, mixed):
    page = browser.get(f"{LIBRARY}?q=lighthouse<b>").content.decode()
    assert "Nothing matches &ldquo;lighthouse&lt;b&gt;&rdquo;" in page
    assert '<a class="btn" href="/library/">Show all pictures</a>' in page


def test_links_to_other_pages_keep_the_filters(browser, fill):
    fill(2 * PAGE)
    older = link(browser.get(f"{LIBRARY}?q=a+fox&shape=wide"), "next")
    assert older.startswith("?q=a+fox&shape=wide&before=")


# --- Who may -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LIBRARY, "/library/trash/"])
def test_strangers_are_sent_to_sign_in(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == HTTPStatus.FOUND
    assert answer["Location"].endswith(f"?next={path}")


def test_the_page_is_kept_by_no_cache(browser):
    assert "no-store" in browser.get(LIBRARY)["Cache-Control"]
    assert browser.post(LIBRARY).status_code == HTTPStatus.METHOD_NOT_ALLOWED


# --- Uploads -------------------------------------------------------------------------------------

UPLOADS = "/library/?kind=upload"


def test_uploads_have_a_page_of_their_own_and_are_in_no_other(browser, fill, bob, facts):
    made, sent = fill(2), fill(3, kind="upload", prompt="", model="")
    add_image(bob, facts, kind="upload")
    assert tiles(browser.get(UPLOADS)) == ids(sent)[::-1]
    assert tiles(browser.get(LIBRARY)) == ids(made)[::-1]
    assert tiles(browser.get("/library/?kind=draft")) == ids(made)[::-1]


def test_an_upload_is_offered_as_a_reference_and_named_by_its_time(browser, fill):
    [image] = fill(1, kind="upload", prompt="", model="")
    page = browser.get(UPLOADS).content.decode()
    assert f'href="/studio/?references={image.public_id}"' in page
    assert f"Use as reference: Upload of {image.created_at:%-d %B %Y, %H:%M}" in page
    assert "Use as reference" not in browser.get(LIBRARY).content.decode()


def test_uploads_are_paged_by_id(browser, fill):
    sent = ids(fill(PAGE + 5, kind="upload", prompt=""))[::-1]
    fill(3)
    first = browser.get(UPLOADS)
    assert tiles(first) == sent[:PAGE]
    second = browser.get(f"{LIBRARY}{link(first, 'next')}")
    assert tiles(second) == sent[PAGE:]
    back = browser.get(f"{LIBRARY}{link(second, 'prev')}")
    assert tiles(back) == sent[:PAGE]
    assert tiles(browser.get(f"{LIBRARY}{link(first, 'next')}", headers=HTMX)) == sent[PAGE:]


def test_uploads_are_found_by_title_and_shape(browser, fill):
    fill(1, kind="upload", title="Kitchen wall")
    [wanted] = fill(1, kind="upload", title="Garden gate")
    assert tiles(browser.get(f"{UPLOADS}&q=garden&shape=wide")) == ids([wanted])
    page = browser.get(f"{UPLOADS}&q=attic").content.decode()
    assert 'href="/library/?kind=upload">Show all uploads' in page
    assert 'name="kind" value="upload"' in page


def test_an_upload_goes_to_the_trash_and_comes_back(browser, fill):
    [image] = fill(1, kind="upload", prompt="")
    answer = browser.post(f"/images/{image.public_id}/trash/")
    assert answer.headers["Location"] == f"/library/?kind=upload&at={image.public_id}"
    assert "Pictures you upload will stand here" in browser.get(UPLOADS).content.decode()
    browser.post(f"/images/{image.public_id}/restore/")
    assert tiles(browser.get(UPLOADS)) == ids([image])


def test_the_page_of_an_upload_has_uploads_beside_it_and_no_wish(browser, fill):
    first, second = fill(2, kind="upload", prompt="", model="")
    fill(1)
    page = browser.get(f"/images/{second.public_id}/").content.decode()
    assert f"/library/?kind=upload&amp;at={second.public_id}" in page
    assert re.findall(r'href="/images/([0-9a-f-]{36})/" rel="(?:prev|next)"', page) == [str(first.public_id)]
    assert "Use as reference" in page
    assert "Uploaded <time" in page
    assert "Use again" not in page
    assert "Asked and received" not in page


def test_uploads_cost_the_same_few_queries(browser, fill):
    fill(2, kind="upload")
    with CaptureQueriesContext(connection) as few:
        browser.get(UPLOADS)
    fill(PAGE + AHEAD, kind="upload")
    with CaptureQueriesContext(connection) as many:
        page = browser.get(UPLOADS)
    assert len(many) == len(few) <= 8
    assert len(page.content) < 50_000


# --- Days and states -----------------------------------------------------------------------------


def day_ago(days):
    return (timezone.now() - timedelta(days=days)).date().isoformat()


def test_a_day_begins_the_page_and_the_newer_ones_are_a_link_away(browser, fill):
    old, middle, new = fill(2, day=9), fill(2, day=5), fill(1)
    for on, first in ((5, middle), (7, old), (0, new), (30, old[:1])):
        page = browser.get(LIBRARY, {"on": day_ago(on)})
        assert tiles(page)[0] == ids(first)[-1], on
        assert tiles(page)[-1] == ids(old)[0]
    page = browser.get(LIBRARY, {"on": day_ago(5)})
    assert tiles(browser.get(f"{LIBRARY}{link(page, 'prev')}")) == ids([*old, *middle, *new])[::-1]


def test_a_span_of_days_has_both_its_ends_and_pages_of_its_own(browser, fill):
    fill(1, day=9)
    wanted = fill(PAGE + 3, day=5)
    fill(1)
    span = {"since": day_ago(6), "until": day_ago(5)}
    first = browser.get(LIBRARY, span)
    assert tiles(first) == ids(wanted)[::-1][:PAGE]
    second = browser.get(f"{LIBRARY}{link(first, 'next')}")
    assert tiles(second) == ids(wanted)[::-1][PAGE:]
    assert tiles(browser.get(f"{LIBRARY}{link(second, 'prev')}")) == tiles(first)


def test_days_that_are_none_are_no_filter(browser, fill):
    images = ids(fill(2))[::-1]
    for query in (
        "since=0001-01-01",
        "until=9999-12-31",
        "on=yesterday",
        "since=2026-02-30",
        "state=odd",
        "collection=1",
    ):
        assert tiles(browser.get(f"{LIBRARY}?{query}")) == images


def test_pictures_are_found_by_state_ratio_and_favourites_together(browser, fill):
    status = Image.ReviewStatus
    [waiting] = fill(1, review_status=status.PENDING)
    [public] = fill(1, review_status=status.APPROVED, visibility="public", aspect_ratio="16:9")
    [refused] = fill(1, review_status=status.REJECTED, visibility="public")
    [loved] = fill(1, is_favourite=True, aspect_ratio="16:9")
    expected = {
        "state=review": [waiting],
        "state=public": [public],
        "state=refused": [refused],
        "state=private": [loved, waiting],
        "favourite=1": [loved],
        "shape=16:9": [loved, public],
        "shape=16:9&state=private&favourite=1&q=fox": [loved],
    }
    for query, images in expected.items():
        assert tiles(browser.get(f"{LIBRARY}?{query}")) == ids(images), query


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        ({"model": "a"}, "image_model_of_owner"),
        ({"kind": "upload"}, "image_kind_of_owner"),
        ({"aspect_ratio": "1:1"}, "image_ratio_of_owner"),
        ({"visibility": "public"}, "image_seen_of_owner"),
        ({"review_status": "approved"}, "image_review_of_owner"),
        ({"favourite": True}, "image_favourite_of_owner"),
    ],
)
def test_each_filter_is_read_from_an_index_in_its_order(alice, fill, filters, name):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL reads a small table as a whole")
    fill(50)
    images = Image.objects.owned_by(alice).kept().matching(**filters).filter(pk__lt=10).order_by("-pk")[:5]
    assert name in images.explain()
    assert "TEMP B-TREE" not in images.explain()
