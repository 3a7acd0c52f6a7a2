"""Several pictures at once in Chromium: by keys alone, away at once, and back by undo."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def collector(site):
    session = site.account()
    for name in ("Dunes", "Fjord", "Harbour", "Aurora"):
        body = {"prompt": name, "image_size": "0.5K"}
        session.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30)
    return session.email


@pytest.mark.slow
def test_pictures_are_selected_by_keys_go_at_once_and_come_back(visit, collector):
    visitor = visit()
    visitor.sign_in(collector)
    page = visitor.page
    visitor.go("/library/")
    tiles, bar = page.locator("main li.tile:visible"), page.get_by_role("toolbar")
    expect(tiles).to_have_count(4)
    expect(bar).to_be_hidden()
    tiles.first.get_by_role("link").focus()
    for key in ("x", "ArrowRight", "ArrowRight", "Shift+X"):
        page.keyboard.press(key)
    expect(bar.get_by_role("status")).to_have_text("3 selected")
    with page.expect_response("**/images/actions") as answer:
        bar.get_by_role("button", name="Move to trash").click()
    assert answer.value.ok
    expect(tiles).to_have_count(1)
    expect(bar).to_be_hidden()
    with page.expect_response("**/images/actions"):
        page.get_by_role("button", name="Undo").click()
    expect(tiles).to_have_count(4)
    page.reload()
    expect(tiles).to_have_count(4)
    tiles.nth(1).get_by_role("checkbox").check(force=True)
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
