"""Thoughts and drafts while a picture is painted: seen as they come, spoken never."""

import pytest
from playwright.sync_api import expect

SPOKEN = """() => {
  window.spoken = [];
  const said = document.getElementById("said");
  new MutationObserver(() => window.spoken.push(said.textContent)).observe(said, { childList: true });
}"""


@pytest.mark.parametrize(("size", "theme"), [("desktop", "dark"), ("phone", "light")])
def test_thoughts_and_drafts_appear_beside_what_is_painted(visit, member, size, theme):
    visitor = visit(size=size, theme=theme)
    visitor.sign_in(member())
    page = visitor.page
    page.evaluate(SPOKEN)
    wish = {"prompt": "a fox at dusk [latency:5]", "thinking": "high", "include_thoughts": True, "image_size": "0.5K"}
    page.evaluate(
        """wish => fetch("/api/v1/generations", { method: "POST", body: JSON.stringify(wish), headers: {
            "Content-Type": "application/json",
            "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value } })""",
        wish,
    )
    run = page.locator("article.run")
    expect(run.locator(".thoughts.is-live")).to_contain_text("Composing the picture")
    painted = run.locator(".wet").element_handle()
    expect(run.get_by_role("img", name="Draft 1")).to_be_visible()
    # Only the thoughts grow: what is being painted is not drawn anew twice a second.
    assert painted.evaluate("element => element.isConnected")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(run.locator(".shot img")).to_be_visible()
    expect(run.locator("[data-interim]")).to_have_count(0)
    run.locator("summary").click()
    expect(run.get_by_role("img", name="Draft 1")).to_be_visible()
    words = page.evaluate("window.spoken")
    assert words[-1] == "Your picture is ready."
    assert words[:-1] == list(dict.fromkeys(words[:-1]))
    assert not any("Composing" in word for word in words)
