"""Scrolling through a library: it goes on by itself, nothing jumps, and the way back leads to the same place."""

import threading
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.long_library import COUNT_SHIFTS, NEAREST_THE_MIDDLE, lengthen

MAX_SHIFT = 0.02
PICTURES = 200
BACKGROUND = "document.querySelector('main li.tile .pic').style.backgroundImage"
# The mean colour of a picture by its address.
MEAN_OF = """async (address) => {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


@pytest.fixture(scope="module")
def collector(site):
    """Somebody with 200 pictures of several shapes, over more than a week; nothing of it is changed."""
    session = site.account()
    for ratio in ("1:1", "16:9", "2:3", "8:1"):
        body = {"prompt": f"Dunes {ratio}", "aspect_ratio": ratio, "image_size": "0.5K"}
        session.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30)
    lengthen(site, session.email, pictures=PICTURES)
    return session


def scroll_to_the_end(page):
    tiles = page.locator("main li.tile")
    page.mouse.move(200, 400)
    for _ in range(120):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(60)  # as a hand does; the browser loads what comes into view
        if tiles.count() == PICTURES:
            break
    expect(tiles).to_have_count(PICTURES)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_scrolling_loads_on_and_nothing_jumps(visit, collector, size):
    visitor = visit(size)
    visitor.sign_in(collector.email)
    page = visitor.page
    page.add_init_script(COUNT_SHIFTS)
    visitor.go("/library/")
    before = page.locator("main li.tile").count()
    scroll_to_the_end(page)
    assert before < PICTURES
    assert page.locator("main h2").count() == len(set(page.locator("main h2").all_text_contents()))
    expect(page.locator("#shelf + [role=status]")).to_contain_text("which are the last.")
    # What is far away has given up its contents, and has them again when somebody comes back.
    first = page.locator("main li.tile").first
    expect(first.locator("*")).to_have_count(0)
    page.evaluate("scrollTo(0, 0)")
    expect(first.locator("a.pic img")).to_have_js_property("complete", True)
    assert page.evaluate("window.shifts") < MAX_SHIFT


@pytest.mark.slow
def test_a_range_reaches_over_tiles_that_were_far_away(visit, collector):
    visitor = visit()
    visitor.sign_in(collector.email)
    page = visitor.page
    visitor.go("/library/")
    scroll_to_the_end(page)
    page.evaluate("scrollTo(0, 0)")
    boxes = page.locator("main .pick input")
    boxes.first.check()
    expect(boxes).to_have_count(PICTURES)
    boxes.last.click(modifiers=["Shift"])
    expect(page.locator("[data-chosen]")).to_have_text(f"{PICTURES} selected")
    page.keyboard.press("Escape")
    expect(boxes).not_to_have_count(PICTURES)  # nobody chooses any more


@pytest.mark.slow
def test_the_keyboard_and_the_ear_follow_the_next_page(visit, collector):
    visitor = visit()
    visitor.sign_in(collector.email)
    page = visitor.page
    is_awaited = []
    page.route("**/library/?before=*", lambda route: is_awaited.append(route))
    visitor.go("/library/")
    page.mouse.move(200, 400)
    while not is_awaited:
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(50)
    page.get_by_role("link", name="Older").focus()
    is_awaited[0].continue_()
    expect(page.locator("#shelf + [role=status]")).to_have_text("32 more pictures.")
    expect(page.locator("main li.tile").nth(32).locator("a.pic")).to_be_focused()


@pytest.mark.slow
def test_the_way_back_from_a_picture_leads_to_the_same_tile_at_the_same_height(visit, collector):
    visitor = visit()
    visitor.sign_in(collector.email)
    page = visitor.page
    visitor.go("/library/")
    scroll_to_the_end(page)
    page.evaluate("scrollBy(0, -2500)")
    tile = page.evaluate(NEAREST_THE_MIDDLE)
    before = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top", tile)
    page.locator(f"#{tile} a").first.dispatch_event("click")  # a click of Playwright's own would scroll
    page.wait_for_url("**/images/**")
    page.go_back()
    page.wait_for_function("id => document.getElementById(id)?.querySelector('img').complete", arg=tile)
    after = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top", tile)
    assert abs(after - before) < 2
    expect(page.locator(f"#{tile} a").first).to_be_focused()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_until_a_picture_has_come_its_blur_stands_in_for_it(visit, collector, theme):
    visitor = visit(theme=theme)
    visitor.sign_in(collector.email)
    page = visitor.page
    page.add_init_script(COUNT_SHIFTS)
    may_come, held = threading.Event(), []
    page.route("**/file?variant=*", lambda route: route.continue_() if may_come.is_set() else held.append(route))
    visitor.go("/library/")
    page.wait_for_function(f"() => {BACKGROUND}.startsWith('url(\"data:image/png')")
    blur = page.evaluate(MEAN_OF, page.evaluate(f"{BACKGROUND}.slice(5, -2)"))
    address = page.locator("main li.tile img").first.get_attribute("src")
    picture = Image.open(BytesIO(collector.get(f"{visitor.site.url}{address}", timeout=30).content)).convert("RGB")
    mean = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert all(abs(a - b) <= 24 for a, b in zip(blur, mean, strict=True)), (blur, mean)
    may_come.set()
    for route in held:
        route.continue_()
    page.wait_for_function(f"() => {BACKGROUND} === ''")
    assert page.evaluate("window.shifts") < MAX_SHIFT
