"""The review desk without a mouse: several pictures decided, skipped, gone back to and taken back by single keys."""

import re
import secrets

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.contract.live import PASSWORD

PICTURES = 5


@pytest.fixture
def waiting(site):
    """Pictures whose publication was asked for, oldest first: (id, prompt)."""
    owner = site.account(credit="10.00")
    made = []
    for index in range(PICTURES):
        prompt = f"Harbour {index} {secrets.token_hex(3)}"
        body = {"prompt": prompt, "aspect_ratio": "3:2"}
        answer = owner.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30).json()
        image = answer["images"][0]["id"]
        owner.patch(f"{site.api}/images/{image}", json={"alt_text": f"A harbour, {prompt}"}, timeout=10)
        made.append((image, prompt))
    # The key of the fixture has not the scope publish; its person has.
    site.manage(
        "shell",
        "--no-imports",
        "-c",
        "from gallery.models import Image; from gallery.review import owners\n"
        f"for image in Image.objects.filter(public_id__in={[image for image, _ in made]!r}).order_by('pk'):\n"
        "    owners.request_publication(owner=image.owner, public_id=image.public_id, visibility='public')",
    )
    return owner, made


@pytest.mark.slow
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_pictures_are_decided_by_keyboard_alone(visit, site, waiting, size):
    owner, pictures = waiting
    staff = f"{secrets.token_hex(4)}@example.org"
    site.manage("createaccount", "--email", staff, "--password", PASSWORD, "--staff")
    visitor = visit(size, allow=("400",))
    visitor.sign_in(staff)
    visitor.go("/review/")
    page = visitor.page

    def on_stage(index):
        expect(page.locator(".exam[data-id]")).to_have_attribute("data-id", pictures[index][0])
        expect(page.locator("#stage")).to_be_focused()

    def status(index):
        return owner.get(f"{site.api}/images/{pictures[index][0]}", timeout=10).json()["review_status"]

    on_stage(0)
    for name in ("Show picture", "Approve", "Reject", "Second look", "Skip"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    assert Axe().run(page).violations_count == 0
    stage = page.locator("#stage")
    expect(stage).to_have_attribute("data-blur", "on")
    page.keyboard.press("Space")
    expect(stage).to_have_attribute("data-blur", "off")
    expect(stage.locator("img")).to_have_attribute("alt", f"A harbour, {pictures[0][1]}")

    page.keyboard.press("a")
    on_stage(1)
    expect(stage).to_have_attribute("data-blur", "on")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_visible()
    expect(page.get_by_text(f"Approved: {pictures[0][1]}")).to_be_visible()

    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_have_text("Choose a reason first: 1 to 8.")
    page.keyboard.press("4")
    page.keyboard.press("n")
    page.keyboard.type("Remove the sign.")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    on_stage(2)

    page.keyboard.press("j")
    on_stage(3)
    page.keyboard.press("k")
    on_stage(2)
    page.keyboard.press("s")
    on_stage(3)
    page.keyboard.press("a")
    on_stage(4)
    page.keyboard.press("z")
    on_stage(3)
    expect(page.get_by_role("status").filter(has_text="Taken back")).to_have_count(1)
    page.keyboard.press("a")
    on_stage(4)
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    expect(page.get_by_text(re.compile("^Approved: "))).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert [status(index) for index in range(PICTURES)] == ["approved", "rejected", "escalated", "approved", "approved"]
