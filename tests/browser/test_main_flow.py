"""From a stranger to a kept picture: with a mouse or a finger, and by keyboard alone."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import mailed_code
from tests.contract.live import PASSWORD

# The emulator waits as long as its prompt says: time enough to reload the page in the middle.
PROMPT = "Layered fjord ridges at dawn, low sun [latency:2.5]"


def new_address() -> str:
    return f"{secrets.token_hex(5)}@example.org"


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_a_stranger_makes_a_picture_signs_up_and_finds_it_again(visit, site, size, theme, tmp_path):
    visitor = visit(size, theme)
    page, email = visitor.page, new_address()

    visitor.go("/")
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_role("button", name="Try it without an account").click()
    page.wait_for_url("**/studio/**")
    run = page.get_by_role("region", name="Results").get_by_role("article").first
    expect(run.get_by_role("progressbar")).to_be_visible()

    page.reload()  # in the middle: the state is the server's
    expect(run.get_by_role("progressbar")).to_be_visible()
    expect(run.get_by_role("link", name="Download")).to_be_visible()  # it appears by itself
    expect(run).to_contain_text("$0.058")
    expect(page.get_by_text("Free to try, 1 of 2 left").first).to_be_visible()

    page.get_by_role("main").get_by_role("link", name="Create account").click()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Code").fill(mailed_code(site, email))
    page.get_by_role("button", name="Confirm").click()

    page.wait_for_url("**/studio/**")
    expect(run.get_by_role("link", name="Download")).to_be_visible()  # what a guest has made stays
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Library").click()
    tiles = page.get_by_role("main").get_by_role("link").filter(has=page.locator("img"))
    expect(tiles).to_have_count(1)
    tiles.first.click()
    page.wait_for_url("**/images/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Layered fjord ridges")
    path = download(page, tmp_path)
    assert path.read_bytes()[:4] == b"\x89PNG"

    visitor.go("/account/")
    expect(page.get_by_role("main")).to_contain_text("$1.0")  # the credit, and what the trial left


def download(page: Page, directory: Path) -> Path:
    """The original, as the menu of the picture's page gives it."""
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as event:
        page.get_by_role("link", name="Original").click()
    path = directory / "picture"
    event.value.save_as(path)
    return path


@pytest.mark.slow
def test_the_whole_way_goes_by_keyboard_alone(visit, site, tmp_path):
    visitor = visit("desktop", "dark")
    page, email = visitor.page, new_address()
    visitor.go("/accounts/signup/")
    reach(page, "input[type=email]")
    page.keyboard.type(email)
    reach(page, "input[type=password]")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/confirm-email/**")
    reach(page, "input[name=code]")
    page.keyboard.type(mailed_code(site, email))
    page.keyboard.press("Enter")
    page.wait_for_url("**/studio/**")

    reach(page, "textarea[name=prompt]")
    page.keyboard.type("Fern stems on paper")
    reach(page, "input[name=aspect_ratio]")
    page.keyboard.press("ArrowRight")
    reach(page, "button:text('Generate')")
    page.keyboard.press("Enter")
    run = page.get_by_role("region", name="Results").get_by_role("article").first
    expect(run.get_by_role("link", name="Download")).to_be_visible()

    visitor.go("/library/")
    reach(page, "main a:has(img)")
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/**")
    reach(page, "button:has-text('Download')")
    page.keyboard.press("Enter")
    with page.expect_download() as event:
        reach(page, "a:has-text('Original')")
        page.keyboard.press("Enter")
    event.value.save_as(tmp_path / "picture")
    assert (tmp_path / "picture").stat().st_size > 1000


def reach(page: Page, selector: str) -> None:
    """Press Tab until the focus is on it, and see that the focus is visible."""
    for _ in range(80):
        if page.evaluate("selector => !!document.activeElement?.matches(selector)", plain(selector)) and matches_text(
            page, selector
        ):
            assert page.evaluate("document.activeElement.matches(':focus-visible')")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def plain(selector: str) -> str:
    """The CSS part of a selector with a text condition."""
    return selector.partition(":text(")[0].partition(":has-text(")[0]


def matches_text(page: Page, selector: str) -> bool:
    wanted = selector.partition("text('")[2].partition("'")[0]
    return wanted in page.evaluate("document.activeElement.textContent")
