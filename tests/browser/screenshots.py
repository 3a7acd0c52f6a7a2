"""The pictures of the README, taken from a running instance: make screenshots."""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import django
from PIL import Image
from playwright.sync_api import Page, sync_playwright

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from tests.browser.conftest import CHROMIUM, SIZES  # noqa: E402
from tests.contract.live import PASSWORD, Instance, instance  # noqa: E402

WISHES = (
    ("Terracotta dunes under a low sun, one long shadow", "16:9"),
    ("Fern stems pressed on paper", "2:3"),
    ("Bauhaus poster of quarter circles", "1:1"),
    ("Night harbour after rain, neon on black water", "3:2"),
    ("Aurora over a black spruce line", "16:9"),
    ("Cut agate in rose bands", "1:1"),
    ("Blue hills, many layers deep", "4:1"),
    ("Glazed spheres on a yellow table", "5:4"),
    ("Layered fjord ridges at dawn, thin mist in the valleys", "3:2"),
)
LATENCY_S = "6"  # as long as it takes to sign in and look
SHOTS = (
    ("studio", "/studio/", "desktop", "dark"),
    ("studio-phone", "/studio/", "phone", "light"),
    ("library", "/library/", "desktop", "light"),
    ("image", "", "desktop", "dark"),
    ("account", "/account/", "desktop", "light"),
)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data_dir,
        instance(Path(data_dir), EMULATOR_LATENCY_S=LATENCY_S) as site,
        sync_playwright() as playwright,
    ):
        owner = site.account(email="ines@example.org", credit="20.00")
        image = paint(site, owner)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, path, size, theme in SHOTS:
            context = browser.new_context(viewport=SIZES[size], color_scheme=theme, reduced_motion="reduce")
            page = context.new_page()
            sign_in(page, site)
            if name.startswith("studio"):
                busy = {"prompt": "A quiet lagoon, seen from above", "aspect_ratio": "3:2"}
                owner.post(f"{site.api}/generations", json=busy, timeout=30)
            page.goto(site.url + (path or f"/images/{image}/"))
            page.wait_for_timeout(1500)
            shot = Image.open(BytesIO(page.screenshot()))
            shot.save(directory / f"{name}.webp", quality=82, method=6)
        browser.close()


def paint(site: Instance, owner) -> str:
    """Make the sample pictures; returns the id of the last one."""

    def paint_one(wish: tuple[str, str]) -> str:
        body = {"prompt": wish[0], "aspect_ratio": wish[1]}
        answer = owner.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=30"}, timeout=40).json()
        image = answer["images"][0]["id"]
        owner.get(f"{site.api}/images/{image}/file?variant=640", timeout=30)
        return image

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(paint_one, WISHES[:-1]))
    return paint_one(WISHES[-1])


def sign_in(page: Page, site: Instance) -> None:
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_label("Email").fill("ines@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/studio/**")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
