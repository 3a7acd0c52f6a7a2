"""What goes wrong on the way: no scripts, no network, no money, no session, two clicks, two tabs, odd texts."""

import re

import pytest
from playwright.sync_api import expect

from tests.contract.live import PASSWORD

EMOJI = "🍌🦊 ردا على الشمس فوق الجبال " + "a" * 60


def results(page):
    return page.get_by_role("region", name="Results").get_by_role("article")


@pytest.mark.slow
def test_everything_works_without_javascript(visit, member):
    visitor = visit("phone", "light", java_script_enabled=False)
    page = visitor.page
    visitor.sign_in(member())
    page.get_by_role("textbox", name="Prompt").fill("Dunes without scripts [latency:1]")
    page.get_by_role("button", name="Generate").click()
    expect(results(page)).to_have_count(1)
    results(page).get_by_role("link", name="Dunes without scripts").first.click()
    page.wait_for_url("**/generations/**")  # which reloads itself until it has ended
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    page.get_by_role("link", name="Open").click()
    page.get_by_role("button", name="Move to trash").click()
    page.goto(visitor.site.url + "/library/trash/")
    page.get_by_role("button", name="Restore : Dunes without").click()
    page.goto(visitor.site.url + "/library/")
    expect(page.locator("main a img")).to_have_count(1)


@pytest.mark.slow
def test_a_double_click_makes_one_job(visit, member):
    visitor = visit()
    visitor.sign_in(member())
    page = visitor.page
    page.get_by_role("textbox", name="Prompt").fill("One fox, not two [latency:1]")
    page.get_by_role("button", name="Generate").dblclick()
    expect(results(page).first.get_by_role("link", name="Download")).to_be_visible()
    expect(results(page)).to_have_count(1)
    page.reload()
    expect(results(page)).to_have_count(1)


@pytest.mark.slow
def test_a_job_of_one_tab_appears_in_the_other(visit, member):
    visitor = visit()
    visitor.sign_in(member())
    first, second = visitor.page, visitor.page.context.new_page()
    second.goto(visitor.site.url + "/studio/")
    first.get_by_role("textbox", name="Prompt").fill("Seen from the other tab [latency:1]")
    first.get_by_role("button", name="Generate").click()
    expect(results(second).first.get_by_role("link", name="Download")).to_be_visible()


@pytest.mark.slow
def test_a_lost_connection_is_caught_up_with(visit, member):
    visitor = visit(allow=("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK"))
    visitor.sign_in(member())
    page = visitor.page
    page.get_by_role("textbox", name="Prompt").fill("Across a gap [latency:1.5]")
    page.get_by_role("button", name="Generate").click()
    expect(results(page).first.get_by_role("progressbar")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline")).to_be_visible()
    page.wait_for_timeout(2000)  # the picture ends meanwhile
    page.context.set_offline(False)
    expect(results(page).first.get_by_role("link", name="Download")).to_be_visible()


@pytest.mark.slow
def test_an_account_without_money_is_told_so_and_keeps_its_words(visit, member):
    visitor = visit(allow=("402",))
    visitor.sign_in(member(credit="0"))
    page = visitor.page
    page.get_by_role("textbox", name="Prompt").fill("A picture I cannot pay")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("not charged").first).to_be_visible()
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("A picture I cannot pay")
    expect(results(page)).to_have_count(0)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_long_and_odd_texts_are_shown_as_they_are(visit, member, size):
    visitor = visit(size)
    visitor.sign_in(member())
    page = visitor.page
    for prompt in (EMOJI, "word " * 800, "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"):
        page.get_by_role("textbox", name="Prompt").fill(prompt.strip())
        page.get_by_role("button", name="Generate").click()
        expect(results(page).first).to_contain_text(prompt.strip()[:40])
        expect(results(page).first.get_by_role("link", name="Download")).to_be_visible()
        width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= room, prompt[:20]


@pytest.mark.slow
def test_a_session_that_ended_keeps_what_was_typed(visit, member):
    visitor = visit(allow=("401", "403"))
    email = member()
    visitor.sign_in(email)
    page = visitor.page
    page.get_by_role("textbox", name="Prompt").fill("Typed before the session ended")
    page.context.clear_cookies(name=re.compile("sessionid"))
    page.get_by_role("button", name="Generate").click()
    page.wait_for_url("**/accounts/login/**")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/studio/**")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("Typed before the session ended")


@pytest.mark.slow
def test_another_persons_picture_is_not_there(visit, site, member):
    owner = site.account()
    answer = owner.post(f"{site.api}/generations", json={"prompt": "Mine"}, headers={"Prefer": "wait=20"}, timeout=30)
    image = answer.json()["images"][0]["id"]
    visitor = visit(allow=("404",))
    visitor.sign_in(member())
    assert visitor.page.goto(f"{site.url}/images/{image}/").status == 404
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.slow
def test_an_unconfirmed_address_is_asked_for_its_code_again(visit, site):
    email = f"unconfirmed{site.port}@example.org"
    visitor = visit()
    page = visitor.page
    visitor.go("/accounts/signup/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_label("Code")).to_be_visible()
    page.context.clear_cookies()
    visitor.go("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Code")).to_be_visible()
