"""Full-text search: the same words find the same pictures on both engines, whatever is typed."""

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gallery import search, services
from gallery.models import Image, SearchEntry
from gallery.order import ByPlace
from tests.gallery.pictures import add_image, encode_picture, write_file
from tests.people import client_with, make_key

pytestmark = pytest.mark.django_db

TEXTS = {
    "fox": {"prompt": 'A red fox in a "quiet" fjord, 100% calm', "caption": "An animal by the water."},
    "german": {"prompt": "Große Föhren über dämmrigen Höhen"},
    "hindi": {"prompt": "हिन्दी में एक चित्र"},
    "japanese": {"prompt": "東京の夜景、雨"},
    "arabic": {"prompt": "مدينة في الليل"},
    "turkish": {"prompt": "İstanbul ışıkları"},
    "e-mail": {"prompt": "The word e-mail, painted_blue, ﬁne lines, ½ moon"},
    "titled": {"prompt": "quiet"},
}


@pytest.fixture
def facts(settings):
    return write_file(settings.SPOOL_DIR, encode_picture("png", size=(60, 40)))[1]


@pytest.fixture
def made(alice, facts):
    pictures = {name: add_image(alice, facts, **{"caption": "", **texts}) for name, texts in TEXTS.items()}
    services.edit_image(owner=alice, public_id=pictures["titled"].public_id, title="Fjord")
    return pictures


# What the planner of PostgreSQL expects decides how it is asked: all at once, span by span, or picture by picture.
WAYS = {"few": {}, "spans": {"FEW": -1, "MUCH": 1e9}, "pictures": {"FEW": -1, "MUCH": 1e-9}}


@pytest.fixture(params=WAYS if connection.vendor == "postgresql" else ["few"])
def each_way(request, monkeypatch):
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(search, name, value)


def found(owner, query):
    images = ByPlace(images=Image.objects.all(), owner_id=owner.pk, query=query).following(None, 100)
    names = {texts["prompt"]: name for name, texts in TEXTS.items()}
    return [names[image.prompt] for image in images]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("fox", ["fox"]),
        ("RED fox", ["fox"]),
        ("fox red lighthouse", []),
        ("fo", []),
        ("anim*", ["fox"]),
        ("fjord", ["titled", "fox"]),
        ("fjord -fox", ["titled"]),
        ("-fox -fjord e-mail", ["e-mail"]),
        ('"red fox"', ["fox"]),
        ('"fox red"', []),
        ("“red fox”", ["fox"]),
        ('"calm an animal"', []),  # the prompt ends, the caption begins
        ('fjord -"red fox"', ["titled"]),
        ('"red fox', ["fox"]),
        ("animal", ["fox"]),
        ("große", ["german"]),
        ("GROSSE fohren", ["german"]),
        ("Höhen", ["german"]),
        ("ho\u0308hen", ["german"]),
        ("हिन्दी", ["hindi"]),
        ("東京", ["japanese"]),
        ("夜景", ["japanese"]),
        ("京東", []),
        ("الليل", ["arabic"]),
        ("istanbul", ["turkish"]),
        ("e-mail", ["e-mail"]),
        ("blue", ["e-mail"]),
        ("fine", ["e-mail"]),
        ("100%", ["fox"]),
    ],
)
def test_words_find_pictures_the_newest_first(alice, made, each_way, query, names):
    assert found(alice, query) == names


@pytest.mark.parametrize("query", ["*", "-", '""', '"', "AND OR", "! & | <-> :*", "()", "'", "\\", "NEAR(", "-*"])
def test_operators_of_any_engine_are_words_or_nothing_and_no_error(alice, made, each_way, query):
    assert found(alice, query) == []


def test_what_has_no_word_says_so_on_the_page_and_is_an_empty_list_over_rest(alice, made, client):
    client.force_login(alice)
    page = client.get("/library/", {"q": "-*"})
    assert page.status_code == HTTPStatus.OK
    assert "There is no word in that to search for." in page.content.decode()
    answer = client_with(make_key(alice, "read")).get("/api/v1/images", {"q": '"" *'})
    assert answer.json() == {"results": [], "next": None, "previous": None}


def test_a_search_finds_no_pictures_of_others_nor_by_the_name_of_their_owner(alice, bob, facts, made, each_way):
    add_image(bob, facts, prompt="fox fox fox")
    assert found(alice, "fox") == ["fox"]
    assert found(bob, f"@{alice.pk}") == []
    assert found(bob, f'"@{alice.pk} fox"') == []


def test_changed_words_are_found_and_the_earlier_ones_are_not(alice, made):
    image = made["titled"]
    services.edit_image(owner=alice, public_id=image.public_id, title="Harbour", alt_text="Boats at rest")
    assert found(alice, "fjord") == ["fox"]
    assert found(alice, "harbour boats") == ["titled"]


def test_an_entry_goes_with_its_image(made):
    pk = made["fox"].pk
    made["fox"].delete()
    assert not SearchEntry.objects.filter(pk=pk).exists()


def test_long_words_long_texts_and_many_repeats_can_be_kept(alice, facts):
    image = add_image(alice, facts, prompt="fox " * 1000, caption=f"{'x' * 5000} {'é ' * 30_000}")
    order = ByPlace(images=Image.objects.all(), owner_id=alice.pk, query=f"fox {'x' * 100}")
    assert order.following(None, 100) == [image]


def test_pages_of_a_search_go_on_by_place(alice, facts, each_way):
    images = [add_image(alice, facts, prompt=f"fox {number}") for number in range(5)]
    browser = client_with(make_key(alice, "read"))
    first = browser.get("/api/v1/images", {"q": "fox", "limit": 3}).json()
    second = browser.get(first["next"]).json()
    seen = [result["id"] for page in (first, second) for result in page["results"]]
    assert seen == [str(image.public_id) for image in reversed(images)]


def test_pages_of_a_search_go_both_ways_over_the_borders_of_spans(alice, facts, each_way, monkeypatch):
    monkeypatch.setattr(search, "SPAN_BITS", 1)
    images = [add_image(alice, facts, prompt=f"{'fox' if number % 3 else 'hen'} {number}") for number in range(12)]
    foxes = [image for number, image in enumerate(images) if number % 3][::-1]
    order = ByPlace(images=Image.objects.owned_by(alice).listed(), owner_id=alice.pk, query="fox -9 fo*")
    assert order.following(None, 3) == foxes[:3]
    assert order.following(foxes[2].pk, 3) == foxes[3:6]
    assert order.following(foxes[-1].pk, 3) == []
    assert order.preceding(foxes[5].pk, 3) == foxes[4:1:-1]
    assert order.preceding(None, 2) == foxes[:-3:-1]


def test_a_search_in_a_span_of_time_leaves_out_nothing_of_its_ends(alice, facts, each_way):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    images = []
    for minutes in (0, 50, 55, 110, 105, 300):  # two were stored the other way round than they were made
        images.append(add_image(alice, facts, prompt="fox"))
        Image.objects.filter(pk=images[-1].pk).update(created_at=noon + timedelta(minutes=minutes))
    after, before = noon + timedelta(minutes=50), noon + timedelta(minutes=110)
    within = Image.objects.owned_by(alice).listed().matching(created_after=after, created_before=before)
    for query in ("", "fox"):
        order = ByPlace(images=within, owner_id=alice.pk, query=query, after=after, before=before)
        assert order.following(None, 9) == [images[4], images[2]]
        assert order.following(images[4].pk, 9) == [images[2]]
        assert order.preceding(None, 1) == [images[2]]


def test_the_index_is_read_in_the_order_of_the_list(alice, made):
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL reads an empty table as a whole")
    order = ByPlace(images=Image.objects.owned_by(alice).listed(), owner_id=alice.pk, query="fox")
    with CaptureQueriesContext(connection) as captured:
        order.following(9, 5)
    for is_analysed in (False, True):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {captured.captured_queries[0]['sql']}")
            plan = [re.sub(r"(INDEX|SUBQUERY) \d.*", r"\1", row[-1]) for row in cursor.fetchall()]
            assert plan[0].endswith("id=?)"), is_analysed  # the pictures of the page, by their ids
            assert plan[1:] == [
                "LIST SUBQUERY",
                "SCAN entry VIRTUAL TABLE INDEX",
                "CORRELATED SCALAR SUBQUERY",
                "SEARCH gallery_image USING INTEGER PRIMARY KEY (rowid=?)",
            ]
            cursor.execute("ANALYZE")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL alters tables where they stand")
def test_a_remade_table_keeps_the_entries_and_gets_its_trigger_back(alice, made):
    assert found(alice, "fox") == ["fox"]
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER gallery_search_forget")  # what Django does to every trigger of a remade table
    call_command("migrate", "gallery", verbosity=0)
    assert found(alice, "fox") == ["fox"]
    test_an_entry_goes_with_its_image(made)


def test_the_migration_indexes_what_is_there_a_few_at_a_time(alice, made, monkeypatch):
    monkeypatch.setattr(search, "BATCH", 3)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM gallery_search")
    assert found(alice, "fox") == []
    search.fill_index(Image.objects.order_by("pk"), using=connection)
    assert (found(alice, "fox"), found(alice, "fjord")) == (["fox"], ["titled", "fox"])
