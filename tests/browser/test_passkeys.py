"""Passkeys, with Chromium's own virtual authenticator in the place of a finger."""

import pytest

from tests.browser.conftest import PASSWORD

FINGER = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def visitor(visit, member):
    """A member on the page that adds a passkey, at localhost: passkeys belong to names."""
    visitor = visit()
    page = visitor.page
    visitor.email = member()
    visitor.home = visitor.site.url.replace("127.0.0.1", "localhost")
    page.goto(f"{visitor.home}/accounts/login/?next=/accounts/2fa/webauthn/add/")
    page.get_by_label("Email").fill(visitor.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="Confirm that it is you").wait_for()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("heading", name="Add a passkey").wait_for()
    page.wait_for_load_state()  # the script that talks to the authenticator is there from then on
    return visitor


@pytest.fixture
def authenticator(visitor):
    session = visitor.page.context.new_cdp_session(visitor.page)
    session.send("WebAuthn.enable")
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": FINGER})
    return lambda **change: session.send("WebAuthn.setUserVerified", {**made, **change})


def sign_out(visitor):
    visitor.page.goto(f"{visitor.home}/accounts/logout/")
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url(f"{visitor.home}/")


def test_a_passkey_is_added_and_then_signs_in_alone(visitor, authenticator):
    page = visitor.page
    page.get_by_label("Name").fill("My laptop")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    page.goto(f"{visitor.home}/accounts/2fa/webauthn/")
    page.get_by_role("link", name="Rename My laptop").wait_for()
    sign_out(visitor)
    page.goto(f"{visitor.home}/accounts/login/?next=/library/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{visitor.home}/library/")


def test_after_the_password_it_is_the_second_step(visitor, authenticator):
    page = visitor.page
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="Recovery codes").wait_for()
    sign_out(visitor)
    page.goto(f"{visitor.home}/accounts/login/")
    page.get_by_label("Email").fill(visitor.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("heading", name="One more step").wait_for()
    page.wait_for_load_state()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{visitor.home}/studio/")


def test_a_finger_that_is_not_known_adds_nothing_and_the_page_says_so(visitor, authenticator):
    page = visitor.page
    authenticator(isUserVerified=False)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("alert").get_by_text("It was cancelled, or it took too long.").wait_for()
    assert page.get_by_role("button", name="Add", exact=True).is_enabled()
    page.goto(f"{visitor.home}/accounts/2fa/webauthn/")
    page.get_by_text("You have none yet.").wait_for()


def test_an_address_that_is_a_number_cannot_have_passkeys_and_the_page_says_what_to_do(visit):
    visitor = visit()
    visitor.go("/accounts/login/")
    visitor.page.get_by_role("button", name="Use a passkey").click()
    visitor.page.get_by_role("alert").get_by_text(
        "Open the site by its name; on this machine that is localhost."
    ).wait_for()
