"""The prompt filter in the studio: told while one types, masked by a click, and nothing that axe minds."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

PERSONAL = "A nude in oil for a.person@example.com"


@pytest.mark.slow
@pytest.mark.parametrize(("size", "theme"), [("desktop", "dark"), ("phone", "light")])
def test_personal_data_is_told_while_one_types_and_masked_by_a_click(size, theme, visit, member):
    visitor = visit(size, theme)
    visitor.sign_in(member())
    page = visitor.page
    prompt = page.get_by_role("textbox", name="Prompt")
    hints = page.locator("#hints")
    prompt.fill(PERSONAL)
    expect(hints).to_contain_text("a.person@example.com Email address: the provider would read it.")
    expect(hints).to_contain_text("nude Sexual content: made, and looked at before others may see it.")
    expect(page.get_by_role("button", name="Mask")).to_have_count(1)
    assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name="Mask it").click()
    expect(prompt).to_have_value("A nude in oil for [email]")
    expect(hints).not_to_contain_text("Email address")
    prompt.press("Control+z")
    expect(prompt).to_have_value(PERSONAL)
    expect(hints).to_contain_text("Email address")
    page.get_by_role("button", name="Mask it").click()
    page.get_by_role("button", name="Generate").click()
    article = page.get_by_role("region", name="Results").get_by_role("article")
    expect(article).to_have_count(1)
    expect(article).to_contain_text("A nude in oil for [email]")


@pytest.mark.slow
def test_without_a_script_the_form_comes_back_and_offers_to_mask(visit, member):
    visitor = visit(java_script_enabled=False, allow=("422",))
    visitor.sign_in(member())
    page = visitor.page
    page.get_by_role("textbox", name="Prompt").fill("For a.person@example.com")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("There is personal data in the prompt")).to_be_visible()
    page.get_by_role("button", name="Mask and generate").click()
    article = page.get_by_role("region", name="Results").get_by_role("article")
    expect(article).to_contain_text("For [email]")
