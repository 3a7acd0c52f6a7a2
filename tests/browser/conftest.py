"""Chromium against a running instance. Skipped by name where no Chromium is found."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.contract import live as living
from tests.contract.live import PASSWORD, Instance

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1440, "height": 900}}
PATIENCE_MS = 15_000
# A violation reaches the console only as prose; this names the directive.
WATCH_POLICY = """addEventListener("securitypolicyviolation", event =>
    console.error(`CSP ${event.violatedDirective} ${event.blockedURI}`))"""


@dataclass
class Visitor:
    """One person's browser: a page, and everything it complained about."""

    page: Page
    site: Instance
    complaints: list[str]

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def sign_in(self, email: str, password: str = PASSWORD) -> None:
        self.go("/accounts/login/")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.wait_for_url("**/studio/**")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One running instance for all browser tests of a worker; each test makes its own people in it."""
    if not CHROMIUM:
        pytest.skip("no Chromium was found (CHROMIUM names one)")
    with living.instance(tmp_path_factory.mktemp("site")) as instance:
        yield instance


@pytest.fixture(scope="module")
def browser(site: Instance) -> Iterator[Browser]:
    """Chromium; no longer than a module, as its event loop would make Django refuse other tests their database."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, site: Instance) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser of somebody new: visit(size="phone", theme="dark", **context options); checks it at the end."""
    opened: list[tuple[BrowserContext, Visitor, tuple[str, ...]]] = []

    def open_one(size: str = "desktop", theme: str = "dark", allow: tuple[str, ...] = (), **options: object) -> Visitor:
        context = browser.new_context(
            viewport=SIZES[size],
            color_scheme=theme,
            has_touch=size == "phone",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH_POLICY)
        complaints: list[str] = []

        def listen(page: Page) -> None:
            page.on("console", lambda message: _note(complaints, message))
            page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))

        context.on("page", listen)
        visitor = Visitor(context.new_page(), site, complaints)
        opened.append((context, visitor, allow))
        return visitor

    yield open_one
    for context, visitor, allow in opened:
        context.close()
        unexpected = [text for text in visitor.complaints if not any(word in text for word in allow)]
        assert unexpected == [], unexpected


def _note(complaints: list[str], message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        complaints.append(f"{message.location.get('url', '')}: {message.text}")


@pytest.fixture
def member(site: Instance) -> Callable[..., str]:
    """Makes an account with a confirmed address and returns the address."""

    def make(credit: str = "10.00") -> str:
        return site.account(credit=credit).email  # type: ignore[attr-defined]

    return make


def mailed_code(site: Instance, email: str) -> str:
    """The newest code that was sent to this address; mail goes to the log of the instance."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        mails = [mail for mail in site.log().split("Content-Type: text/plain") if f"To: {email}" in mail]
        codes = re.findall(r"^\s*([A-Z0-9]{4}-[A-Z0-9]{4})\s*$", mails[-1], re.MULTILINE) if mails else []
        if codes:
            return codes[-1]
        time.sleep(0.05)  # the mail is written by another process
    raise AssertionError(f"no code was sent to {email}")
