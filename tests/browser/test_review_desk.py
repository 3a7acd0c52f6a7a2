"""The review desk without a mouse: several pictures decided, skipped, gone back to and taken back by single keys."""

import re
import secrets

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import SIZES
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
        "from gallery.models import Image, Review; from gallery.review import owners\n"
        "Review.objects.update(queued_at=None, due_at=None)\n"  # what other tests have left waiting
        f"for image in Image.objects.filter(public_id__in={[image for image, _ in made]!r}).order_by('pk'):\n"
        "    owners.request_publication(owner=image.owner, public_id=image.public_id, visibility='public')",
    )
    return owner, made


def check_at_both_sizes(page):
    for size in ("phone", "desktop"):
        page.set_viewport_size(SIZES[size])
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= room


@pytest.mark.slow
def test_pictures_are_decided_by_keyboard_alone(visit, site, waiting):
    owner, pictures = waiting
    staff = f"{secrets.token_hex(4)}@example.org"
    site.manage("createaccount", "--email", staff, "--password", PASSWORD, "--staff")
    visitor = visit("desktop")
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
    check_at_both_sizes(page)
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
    for path in ("/review/settings/", "/review/figures/"):
        visitor.go(path)
        check_at_both_sizes(page)


@pytest.fixture
def alike(site):
    """Four copies of one picture that wait, the first one riskier; a fifth was refused already."""
    owner = site.account(credit="10.00")
    body = {"prompt": f"Lighthouse {secrets.token_hex(3)}", "aspect_ratio": "3:2"}
    answer = owner.post(f"{site.api}/generations", json=body, headers={"Prefer": "wait=20"}, timeout=30).json()
    made = site.manage(
        "shell",
        "--no-imports",
        "-c",
        "from accounts.models import User; from gallery.models import Image, Review\n"
        "from gallery.review import decisions, owners; from tests.people import make_person\n"
        "Review.objects.update(queued_at=None, due_at=None)\n"
        f"first = Image.objects.get(public_id={answer['images'][0]['id']!r})\n"
        "copies = [first]\n"
        "for index in range(4):\n"
        "    copies.append(Image.objects.create(owner=first.owner, blob=first.blob, prompt=f'Copy {index}'))\n"
        "for image in copies:\n"
        "    Image.objects.filter(pk=image.pk).update(alt_text='A lighthouse.')\n"
        "    owners.request_publication(owner=image.owner, public_id=image.public_id, visibility='public')\n"
        f"colleague = make_person('colleague{secrets.token_hex(3)}', is_staff=True, name='Omar')\n"
        "decisions.reject(reviewer=colleague, image_id=copies[4].public_id, version=1, reason='trademark')\n"
        "Review.objects.filter(image=first).update(risk=90)\n"
        "print(' '.join(str(image.public_id) for image in copies))",
    )
    return owner, str(made).split()[-5:]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pictures_that_look_alike_are_decided_by_one_key_and_taken_back(visit, site, alike, theme):
    owner, pictures = alike
    staff = f"{secrets.token_hex(4)}@example.org"
    site.manage("createaccount", "--email", staff, "--password", PASSWORD, "--staff")
    visitor = visit("desktop", theme)
    visitor.sign_in(staff)
    visitor.go("/review/")
    page = visitor.page

    def states():
        page.wait_for_load_state("networkidle")
        return [owner.get(f"{site.api}/images/{image}", timeout=10).json()["review_status"] for image in pictures]

    expect(page.locator(".exam[data-id]")).to_have_attribute("data-id", pictures[0])
    near = page.get_by_role("group", name="Near duplicates already decided")
    expect(near).to_contain_text("Refused: brand or trademark")
    expect(near).to_contain_text("Omar")
    expect(page.get_by_role("heading", name="3 more like it wait")).to_be_visible()
    check_at_both_sizes(page)
    page.keyboard.press("Space")
    expect(near).to_have_attribute("data-blur", "off")
    check_at_both_sizes(page)

    page.keyboard.press("x")
    expect(page.get_by_role("alert")).to_have_text("Choose a reason first: 1 to 8.")
    page.locator("input[name=also]").nth(2).uncheck()
    page.keyboard.press("Enter")
    assert states()[:4] == ["pending"] * 4, "Enter on a field decides nothing"
    page.keyboard.press("d")
    expect(page.get_by_text("Approved: 3 of 3")).to_be_visible()
    expect(page.locator(".exam[data-id]")).to_have_attribute("data-id", pictures[3])
    assert states() == ["approved", "approved", "approved", "pending", "rejected"]
    page.keyboard.press("z")
    expect(page.locator(".exam[data-id]")).to_have_attribute("data-id", pictures[0])
    assert states() == ["pending", "pending", "pending", "pending", "rejected"]
    page.keyboard.press("4")
    page.keyboard.press("x")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert states() == ["rejected"] * 5
