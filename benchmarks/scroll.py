"""Scrolling through a long library in Chromium: run.py bench scroll [--pictures 2000] [--phone]

Prints at every quarter of the way what the page holds: DOM nodes, JS heap, and the memory of its process; at the end
how much moved that nobody touched (CLS), and whether the way back from a picture's page leads to the same place. A CLS
of 0.02, a process that has grown by more than a quarter since the first look, or another place is exit 1.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from benchmarks._chromium import Tab, opened_tab  # noqa: E402
from tests.browser.long_library import COUNT_SHIFTS, NEAREST_THE_MIDDLE, lengthen  # noqa: E402
from tests.contract.live import PASSWORD, instance  # noqa: E402

MAX_SHIFT, MAX_GROWTH = 0.02, 1.25
MAX_MOVED_PX = 10
DESKTOP, PHONE = (1440, 900), (390, 844)
WHEEL_PX, WHEEL_S = 900, 0.08
OWNER = "scroller@example.org"
FILES = 24
# Photographs as far as their bytes go: those of our own pages, in other colours.
FILL = """
from io import BytesIO
from pathlib import Path
from PIL import Image, ImageOps
from accounts.users import create_account
from gallery import renditions
from tests.gallery.pictures import keep_image
owner = create_account(email={email!r}, password={password!r}, name="Scroller")
sources = sorted(Path("static/img").glob("*.webp"))
for number in range({files}):
    hue, saturation, value = Image.open(sources[number % len(sources)]).convert("HSV").split()
    turned = hue.point(lambda level: (level + 40 * number) % 256)
    data = BytesIO()
    Image.merge("HSV", (turned, saturation, value)).convert("RGB").save(data, "PNG", compress_level=1)
    image = keep_image(owner, Path({directory!r}) / "spool", data.getvalue(), prompt=f"Picture {{number}}")
    renditions.make_eager(image.blob)
"""
IN_VIEW_HAVE_COME = """[...document.querySelectorAll("main .tile img")].every((picture) => {
  const { top, bottom } = picture.getBoundingClientRect();
  return bottom < 0 || top > innerHeight || (picture.complete && picture.naturalWidth > 0);
})"""


@dataclass(frozen=True)
class Held:
    """What a page holds: memory in MiB after a collection, that of the process without what it shares."""

    pictures: int
    nodes: int
    heap: float
    process: float

    def __str__(self) -> str:
        return f"{self.pictures:>8} {self.nodes:>10} {self.heap:>8.1f} MiB {self.process:>8.1f} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--phone", action="store_true")
    options = parser.parse_args()
    width, height = PHONE if options.phone else DESKTOP
    with (
        tempfile.TemporaryDirectory() as directory,
        instance(Path(directory)) as live,
        opened_tab(width=width, height=height) as tab,
    ):
        script = FILL.format(email=OWNER, password=PASSWORD, files=FILES, directory=directory)
        live.manage("shell", "--no-imports", "-c", script)
        lengthen(live, OWNER, pictures=options.pictures)
        sign_in(tab, live.url)
        tab.call("Page.enable")
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=COUNT_SHIFTS)
        tab.go(f"{live.url}/library/")
        held = scroll(tab, options.pictures)
        shift = tab.ask("window.shifts")
        moved = way_back(tab)
    growth = held[-1].process / held[0].process
    print(f"CLS {shift:.4f}; the process grew {growth:.2f} times from {held[0].pictures} pictures on")
    print(
        "the way back leads elsewhere" if moved is None else f"the way back leads to the same tile, {moved:.0f} px off"
    )
    is_same_place = moved is not None and abs(moved) <= MAX_MOVED_PX
    return 0 if shift < MAX_SHIFT and growth <= MAX_GROWTH and is_same_place else 1


def sign_in(tab: Tab, url: str) -> None:
    tab.go(f"{url}/accounts/login/")
    tab.ask(
        f"document.querySelector('[name=login]').value = {json.dumps(OWNER)};"
        f"document.querySelector('[name=password]').value = {json.dumps(PASSWORD)};"
        "document.querySelector('[name=password]').form.requestSubmit()"
    )
    tab.wait_for("location.pathname.startsWith('/studio/') && document.readyState === 'complete'")


def scroll(tab: Tab, pictures: int) -> list[Held]:
    """Down to the last picture, with a look at what the page holds at every quarter."""
    tab.call("Performance.enable")
    print(f"{'pictures':>8} {'DOM nodes':>10} {'JS heap':>12} {'process':>12}")
    held = []
    for quarter in range(1, 5):
        wanted = pictures * quarter // 4
        while (count := tab.ask("document.querySelectorAll('main li.tile').length")) < wanted:
            tab.call("Input.dispatchMouseEvent", type="mouseWheel", x=200, y=400, deltaX=0, deltaY=WHEEL_PX)
            time.sleep(WHEEL_S)  # as a hand does; the browser loads what comes into view
        tab.wait_for(IN_VIEW_HAVE_COME)
        held.append(look(tab, count))
        print(held[-1], flush=True)
    return held


def look(tab: Tab, count: int) -> Held:
    tab.call("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}
    return Held(count, int(metrics["Nodes"]), metrics["JSHeapUsedSize"] / 2**20, tab.own_mib())


def way_back(tab: Tab) -> float | None:
    """To the picture in the middle and back again: by how many pixels its tile has moved, None when it is not there."""
    tile = tab.ask(NEAREST_THE_MIDDLE)
    place = f"document.getElementById({json.dumps(tile)}).getBoundingClientRect()"
    before = tab.ask(f"{place}.top")
    tab.ask(f"document.getElementById({json.dumps(tile)}).querySelector('a').click()")
    tab.wait_for("location.pathname.startsWith('/images/') && document.readyState === 'complete'")
    tab.ask("history.back()")
    tab.wait_for("location.pathname === '/library/' && document.readyState === 'complete'")
    tab.wait_for(f"document.getElementById({json.dumps(tile)})")
    tab.wait_for(IN_VIEW_HAVE_COME)
    is_seen = tab.ask(f"{place}.bottom > 0 && {place}.top < innerHeight")
    return tab.ask(f"{place}.top") - before if is_seen else None


if __name__ == "__main__":
    sys.exit(main())
