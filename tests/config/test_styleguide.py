"""The style guide: for those who build pages, with every icon and colour that there is."""

import re
from pathlib import Path

import pytest
from django.test import Client

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@pytest.fixture
def visitor(request, alice, staff):
    def come(who):
        client = Client()
        if who != "stranger":
            client.force_login({"alice": alice, "staff": staff}[who])
        return client

    return come


@pytest.mark.parametrize(
    ("who", "debug", "status"),
    [
        ("stranger", False, 404),
        ("alice", False, 404),
        ("staff", False, 200),
        ("stranger", True, 200),
        ("alice", True, 200),
        ("staff", True, 200),
    ],
)
def test_it_is_there_in_development_and_for_staff(who, debug, status, visitor, settings):
    settings.DEBUG = debug
    assert visitor(who).get("/styleguide/").status_code == status


def test_it_shows_every_icon_and_every_colour_once(visitor):
    page = visitor("staff").get("/styleguide/").content.decode()
    icons = re.findall(r'<symbol id="i-([a-z-]+)"', (ROOT / "static/img/icons.svg").read_text())
    assert len(icons) > 40
    assert [name for name in icons if f'<li title="{name}">' not in page] == []
    assert page.count('class="swatch"') == len(
        set(re.findall(r'class="swatch" style="background:var\(--([a-z0-9-]+)\)"', page))
    )
    assert 'style="background:var(--accent)"' in page


@pytest.mark.parametrize(
    "component",
    [
        "btn btn-primary", "btn btn-quiet", "btn btn-danger", "btn btn-sm", "btn btn-lg", "btn btn-block", "icon-btn",
        "segmented", "chip", "tabs", "field", "error-text", "select", "textarea", "search", "switch", "check",
        "badge badge-good", "badge badge-bad", "callout callout-warn", "meter", "progress", "empty", "table", "facts",
        "receipt", "timeline", "stat", "code", "justified", "pic", "menu", "dialog", "toast",
    ],
)  # fmt: skip
def test_it_shows_every_component(component, visitor):
    assert re.search(rf'class="(?:[a-z-]+ )*{component}[ "]', visitor("staff").get("/styleguide/").content.decode())


def test_it_shows_the_states(visitor):
    page = visitor("staff").get("/styleguide/").content.decode()
    for state in ('aria-busy="true"', "disabled>", 'aria-invalid="true"', 'aria-pressed="true"', 'aria-current="page"'):
        assert state in page


def test_it_is_a_page_of_normal_size(visitor):
    assert len(visitor("staff").get("/styleguide/").content) <= 50 * 1024
