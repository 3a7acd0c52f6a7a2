"""What a picture keeps of the pages that a search found for it."""

import pytest

from gallery.sources import MAX_SOURCES, Source, keepable, read


def test_each_https_page_is_kept_once_with_a_short_name():
    found = [
        {"uri": "https://example.org/a", "title": " A \n page\0 ", "domain": "example.org"},
        {"uri": "https://example.org/a", "title": "again"},
        {"uri": "https://example.net/b", "domain": "example.net"},
        {"uri": "https://example.net/c", "title": "x" * 500},
    ]
    kept = keepable(found)
    assert kept[:2] == [
        {"uri": "https://example.org/a", "name": "A page"},
        {"uri": "https://example.net/b", "name": "example.net"},
    ]
    assert [len(each["name"]) for each in kept] == [6, 11, 200]
    assert read(kept)[0] == Source("https://example.org/a", "A page")
    assert read(kept)[0].host == "example.org"


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//example.org",
        "https:example.org",
        "https://",
        "https://name@example.org/",
        "https://:secret@example.org/",
        "https://example.org:99999/",
        "https://example.org/a b",
        "https://example.org/a\nb",
        "https://[::1",
        "https://example.org/" + "x" * 2000,
        "",
        None,
    ],
)
def test_what_may_not_stand_in_a_link_is_not_kept_and_not_read(uri):
    assert keepable([{"uri": uri, "title": "t"}]) == []
    if uri is None or len(uri) < 2000:
        assert read([{"uri": uri, "name": "t"}]) == []


def test_a_flood_of_pages_is_cut():
    assert len(keepable({"uri": f"https://example.org/{number}"} for number in range(100))) == MAX_SOURCES
