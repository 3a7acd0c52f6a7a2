"""Scrolling through a library: it goes on by itself, nothing jumps, and the way back leads to the same place."""

import pytest
from playwright.sync_api import expect

# Layout shifts that no key or click explains, as the browser itself counts them.
COUNT_SHIFTS = """
window.shifts = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
COPIES = """
from gallery.models import Image
from accounts.models import User
from datetime import timedelta
import uuid
owner = User.objects.get(email={email!r})
rows = list(Image.objects.filter(owner=owner))
made = []
for number in range({count}):
    row = rows[number % len(rows)]
    row = Image.objects.get(pk=row.pk)
    row.pk, row.public_id = None, uuid.uuid4()
    row.created_at -= timedelta(hours=number)
    made.append(row)
made.reverse()
Image.objects.bulk_create(made)
# The first ones have the lowest ids, so they are the oldest.
Image.objects.filter(pk__in=[row.pk for row in rows]).update(created_at=made[0].created_at - timedelta(hours=1))
"""
MAX_SHIFT = 0.02


@pytest.fixture
def collector(site):
    """Somebody with 150 pictures of several shapes, over a week."""
    session = site.account()
    for ratio in ("1:1", "16:9", "2:3", "8:1"):
        body = {"prompt": f"Dunes {ratio}", "aspect_ratio": ratio, "image_size": "0.5K"}
        session.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30)
    site.manage("shell", "--no-imports", "-c", COPIES.format(email=session.email, count=146))
    return session.email


@pytest.mark.slow
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_scrolling_loads_on_and_nothing_jumps(visit, collector, size):
    visitor = visit(size)
    visitor.sign_in(collector)
    page = visitor.page
    page.add_init_script(COUNT_SHIFTS)
    visitor.go("/library/")
    tiles = page.locator("main .tile")
    before = tiles.count()
    page.mouse.move(200, 400)
    for _ in range(80):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(60)  # as a hand does; the browser loads what comes into view
        if tiles.count() == 150:
            break
    expect(tiles).to_have_count(150)
    assert before < 150
    assert page.locator("main h2").count() == len(set(page.locator("main h2").all_text_contents()))
    assert page.evaluate("window.shifts") < MAX_SHIFT


@pytest.mark.slow
def test_the_way_back_from_a_picture_leads_to_the_same_tile(visit, collector):
    visitor = visit()
    visitor.sign_in(collector)
    page = visitor.page
    visitor.go("/library/")
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/library/?**")
    chosen = page.locator("main .tile a").nth(3)
    address = chosen.get_attribute("href")
    assert address
    chosen.click()
    page.wait_for_url("**/images/**")
    page.go_back()
    expect(page.locator(f'main .tile a[href="{address}"]').first).to_be_in_viewport()
