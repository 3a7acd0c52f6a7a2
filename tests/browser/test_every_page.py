"""What holds on every page: accessible, no complaint of the browser, small, and no wider than the screen."""

import gzip
import re

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.contract.live import PASSWORD
from tests.upstream.pictures import png

PUBLIC = (
    "/",
    "/gallery/",
    "/models/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/docs/errors/",
    "/docs/errors/insufficient_credit",
    "/docs/upstream-key/",
    "/styleguide/",
)
OWN = (
    "/studio/",
    "/generations/",
    "/status/",
    "/library/",
    "/library/?kind=upload",
    "/library/trash/",
    "/collections/",
    "/account/",
    "/account/ledger/",
    "/account/keys/",
    "/account/profile/",
    "/account/data/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/webauthn/",
    "/accounts/sessions/",
)
MAX_HTML_BYTES = 50_000
MAX_ASSET_BYTES = 80_000


@pytest.fixture(scope="module")
def owner(site) -> requests.Session:
    """Somebody with a picture, a failure, a cancelled job, an upload and a key."""
    session = site.account(credit="10.00")
    for prompt in ("Blue hills, many layers", "Declined [fault:image_safety]", "Eight to one"):
        body = {"prompt": prompt, "aspect_ratio": "8:1" if "Eight" in prompt else "3:2"}
        answer = session.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30)
        assert answer.json()["finished_at"], answer.text
    session.post(f"{site.api}/images", files={"file": png(640, 480)}, timeout=30).raise_for_status()
    return session


def own_paths(site, owner) -> list[str]:
    generations = owner.get(f"{site.api}/generations", timeout=10).json()["results"]
    image = next(each["images"][0]["id"] for each in generations if each["images"])
    upload = owner.get(f"{site.api}/images?kind=upload", timeout=10).json()["results"][0]["id"]
    return [
        *OWN,
        f"/images/{image}/",
        f"/images/{image}/publish/",
        f"/images/{upload}/",
        *(f"/generations/{each['id']}/" for each in generations[:2]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_axe_finds_nothing_and_nothing_overflows(visit, site, owner, size, theme):
    visitor = visit(size, theme)
    for path in PUBLIC:
        visitor.go(path)
        check(visitor.page, path)
    visitor.sign_in(owner.email)
    for path in own_paths(site, owner):
        visitor.go(path)
        check(visitor.page, path)


def check(page: Page, path: str) -> None:
    expect(page.locator("h1")).to_have_count(1)
    results = Axe().run(page)
    assert results.violations_count == 0, f"{path}: {results.generate_report()}"
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room, f"{path} is {width} px wide on a screen of {room}"


def test_every_page_is_small_and_carries_the_policy(site, owner):
    browser = requests.Session()
    login = browser.get(f"{site.url}/accounts/login/", timeout=10)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', login.text)[1]
    browser.post(
        f"{site.url}/accounts/login/",
        data={"login": owner.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
        headers={"Referer": f"{site.url}/accounts/login/"},
        timeout=10,
    )
    assets: set[str] = set()
    for path in [*PUBLIC, *own_paths(site, owner)]:
        who = requests if path in PUBLIC else browser
        answer = who.get(site.url + path, timeout=10)
        assert answer.status_code == 200, path
        assert len(answer.content) <= MAX_HTML_BYTES, f"{path}: {len(answer.content)} bytes"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "script-src" not in policy
        assert "style-src " not in policy
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\son\w+=", answer.text), path
        assets |= set(re.findall(r'(?:href|src)="(/static/[^"#?]+\.(?:css|js))"', answer.text))
    modules = {"/static/js/" + name for name in ("app.js", "studio.js", "library.js", "image.js")}
    sizes = {
        path: len(gzip.compress(requests.get(site.url + path, timeout=10).content, 9))
        for path in assets | modules
        if requests.get(site.url + path, timeout=10).ok
    }
    assert sum(sizes.values()) <= MAX_ASSET_BYTES, sizes


@pytest.mark.slow
def test_the_admin_keeps_the_policy(visit, site):
    staff = f"staff{site.port}@example.org"
    site.manage("createaccount", "--email", staff, "--password", PASSWORD, "--staff")
    visitor = visit("desktop", "light")
    visitor.sign_in(staff)
    for path in ("/admin/", "/admin/accounts/user/", "/admin/generations/generation/", "/admin/accounts/price/"):
        visitor.go(path)
        expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
