"""A reviewer without a mouse: run.py bench review_desk [--pictures 100]

Decides that many pictures in Chromium by single keys, and prints how long it took from the key to the next picture.
More than 150 ms at the 95th percentile, or a picture that is not decided at the end, is exit 1.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from playwright.sync_api import expect, sync_playwright  # noqa: E402

from tests.contract.live import PASSWORD, instance  # noqa: E402

SLOW_MS = 150.0
PATIENCE_MS = 30_000
KEYS = ("a", "4r", "s", "a", "7r")
STAFF = "desk@example.org"
FILL = """
from pathlib import Path
from accounts.users import create_account
from django.core.management import call_command
from gallery import renditions
from gallery.review import owners
from tests.gallery.pictures import keep_image, encode_picture
call_command("createaccount", email={staff!r}, password={password!r}, staff=True)
owner = create_account(email="maker@example.org", password={password!r}, name="Maker")
for number in range({count}):
    colour = f"#{{(number * 7919) % 0xFFFFFF:06x}}"
    data = encode_picture("png", size=(1264, 848), colour=colour)
    words = dict(prompt=f"A disc, number {{number}}", caption="A disc.")
    image = keep_image(owner, Path({directory!r}) / "spool", data, **words)
    renditions.make_eager(image.blob)  # as its task does after every picture
    owners.request_publication(owner=owner, public_id=image.public_id, visibility="public")
"""
COUNT = """
from gallery.models import Image
print(Image.objects.filter(review_status="pending").count())
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=100)
    pictures = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as directory, instance(Path(directory)) as live:
        script = FILL.format(staff=STAFF, password=PASSWORD, count=pictures, directory=directory)
        live.manage("shell", "--no-imports", "-c", script)
        times = decide_all(live.url, pictures)
        left = int(live.manage("shell", "--no-imports", "-c", COUNT))
    if not times:
        print("nothing was measured")
        return 1
    p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(
        f"{len(times)} next pictures: median {statistics.median(times):.0f} ms, p95 {p95:.0f} ms, max {max(times):.0f}"
    )
    print(f"{left} of {pictures} left undecided")
    return 1 if left or p95 > SLOW_MS else 0


def decide_all(url: str, pictures: int) -> list[float]:
    """Milliseconds from each key to the next picture, as the page measured them."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}/accounts/login/")
        page.get_by_label("Email").fill(STAFF)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/studio/**")
        page.goto(f"{url}/review/")
        expect.set_options(timeout=PATIENCE_MS)
        page.wait_for_load_state("networkidle")
        stage = page.locator(".exam[data-id]")
        for number in range(pictures):
            before = stage.get_attribute("data-id")
            page.keyboard.press("Space")
            page.wait_for_timeout(400)  # nobody decides faster than they look
            for key in KEYS[number % len(KEYS)]:
                page.keyboard.press(key)
            if number < pictures - 1:
                expect(stage).not_to_have_attribute("data-id", before or "")
        expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
        page.wait_for_load_state("networkidle")
        times: list[float] = page.evaluate("performance.getEntriesByName('next-shown').map(entry => entry.duration)")
        browser.close()
    return times


if __name__ == "__main__":
    sys.exit(main())
