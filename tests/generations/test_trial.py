"""The trial from outside: the front page, the studio of a guest, what a guest may not do, signing up, and the end."""

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts import ledger
from accounts.errors import AccountNeeded, ConcurrencyLimit
from accounts.guest_sessions import MARK
from accounts.models import LedgerAccount, User
from gallery import publishing
from gallery import services as gallery
from gallery.models import Image
from generations import erasure, services, trial, turns
from generations.audit import audit
from generations.models import Attempt, Generation
from generations.spec import GenerationSpec
from tests.accounts.door import CONFIRM, code_in, is_signed_in, sign_in, sign_up, words
from tests.generations.fakes import error, png, reply
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db

# Everything that a guest gets; whoever opens another view to guests thinks about it here.
OPEN = {
    "generations:studio",
    "generations:quote",
    "generations:hints",
    "generations:pick_references",
    "generations:history",
    "generations:detail",
    "generations:card",
    "generations:cancel",
    "generations:retry",
    "generations:search",
    "generations:image",
    "gallery:library",
    "gallery:trash",
    "gallery:empty_trash",
    "gallery:trash_image",
    "gallery:restore_image",
    "gallery:purge_image",
    "gallery:edit_image",
    "image-file",
    "image-receipt",
    "generation-draft",
}


@pytest.fixture(autouse=True)
def _trial(settings):
    cache.clear()
    settings.TRIAL_GENERATIONS = 2
    settings.TRIAL_DAILY_BUDGET_USD = "5.00"
    settings.TRIAL_GUESTS_PER_NETWORK = 20


@pytest.fixture
def work(transactional_db, work):
    """A worker closes its connection while it calls, so what it works on must be committed."""
    return work


@pytest.fixture
def browser():
    return Client()


def begin(browser, **fields):
    return browser.post("/trial/", {"prompt": "a fox", "aspect_ratio": "1:1", **fields})


def guest_now():
    return User.objects.get(is_guest=True)


def given_away():
    return 5_000_000 - ledger.left_of_day(ledger.TRIAL, timezone.now(), 5_000_000)


# --- The way in ---


def test_the_front_page_offers_it_and_a_picture_comes_without_an_account(browser, upstream, work):
    page = words(browser.get("/"))
    assert "Try it without an account" in page
    assert 'action="/trial/"' in page
    answer = begin(browser)
    assert (answer.status_code, answer.url) == (302, "/studio/")
    generation = Generation.objects.get()
    assert (generation.user.is_guest, generation.source, generation.priority) == (True, "web", trial.PRIORITY)
    assert GenerationSpec.from_canonical(generation.spec).image_size == "1K"
    assert work(generation).status == "succeeded"
    studio = words(browser.get("/studio/"))
    assert "You are trying it without an account." in studio
    assert "Free to try, 1 of 2 left" in studio
    image = Image.objects.get()
    for address in (
        f"/images/{image.public_id}/",
        "/library/",
        "/generations/",
        f"/generations/{generation.public_id}/",
    ):
        assert browser.get(address).status_code == 200, address
    assert browser.get(f"/api/v1/images/{image.public_id}/file").status_code == 200
    assert browser.get(f"/api/v1/images/{image.public_id}/receipt").status_code == 200
    assert not audit()


def test_the_same_form_sent_twice_is_one_picture(browser, upstream):
    token = "0" * 31 + "1"
    begin(browser, token=token)
    begin(browser, token=token)
    assert Generation.objects.count() == 1


def test_nobody_else_sees_a_guests_pictures(browser, upstream, work, alice, stranger):
    begin(browser)
    work(Generation.objects.get())
    address = f"/api/v1/images/{Image.objects.get().public_id}/file"
    other = Client()
    begin(other, prompt="a hen")
    signed_in = Client()
    signed_in.force_login(alice)
    assert [each.get(address).status_code for each in (stranger, other, signed_in)] == [401, 404, 404]
    assert browser.get(address).status_code == 200


def test_the_session_of_a_guest_gets_a_new_key(browser, upstream):
    browser.get("/")
    session = browser.session
    session["planted"] = "1"
    session.save()
    before = session.session_key
    browser.cookies["sessionid"] = before
    begin(browser)
    assert browser.cookies["sessionid"].value != before


def test_whoever_is_signed_in_is_no_guest(alice, client):
    client.force_login(alice)
    answer = begin(client)
    assert answer.url == "/studio/"
    assert not Generation.objects.exists()
    assert "a fox" in words(client.get("/studio/"))


# --- How much ---


def test_after_the_last_picture_an_account_is_asked_for_and_the_prompt_waits(browser, upstream, work, mailoutbox):
    for prompt in ("one", "two"):
        begin(browser, prompt=prompt)
        work(Generation.objects.order_by("-pk")[0])
    answer = browser.post("/studio/", {"prompt": "three", "image_size": "1K", "aspect_ratio": "1:1"})
    assert answer.status_code == 402
    assert "You have had the 2 pictures of the trial." in words(answer)
    assert "/accounts/signup/?next=/studio/" in words(answer)
    assert "You were not charged" not in words(answer)
    assert Generation.objects.count() == 2
    assert begin(browser, prompt="three").status_code == 402
    assert ledger.balance_of(guest_now()).available == 0
    sign_up(browser, "new@example.com", next="/studio/")
    browser.post(CONFIRM, {"code": code_in(mailoutbox[0])})
    assert "three" in words(browser.get("/studio/"))


def test_one_at_a_time(browser, upstream):
    begin(browser)
    answer = begin(browser, prompt="a hen")
    assert answer.status_code == ConcurrencyLimit.status
    assert Generation.objects.count() == 1


def test_a_failure_that_cost_nothing_is_tried_again_as_often_as_one_likes(browser, upstream, work):
    begin(browser)
    generation = Generation.objects.get()
    upstream.says(error(400, "INVALID_ARGUMENT"))
    for _ in range(4):
        assert work(generation).status == "failed"
        assert not Attempt.objects.filter(is_paid=True).exists()
        browser.post(f"/generations/{generation.public_id}/retry/")
        generation.refresh_from_db()
        assert (generation.status, generation.priority) == ("queued", trial.PRIORITY)
    assert trial.trial_of(generation.user).left == 1


def test_a_call_that_may_have_cost_us_counts_and_is_made_once(browser, upstream, work):
    upstream.says(reply({"text": "no picture"}))
    for prompt in ("one", "two"):
        begin(browser, prompt=prompt)
        generation = Generation.objects.order_by("-pk")[0]
        assert work(generation).status == "failed"
        assert Attempt.objects.filter(generation=generation, is_paid=True).count() == 1
    guest = guest_now()
    assert ledger.balance_of(guest).available == 116_000  # nothing was charged
    assert trial.trial_of(guest).left == 0
    with pytest.raises(AccountNeeded):
        services.retry(user=guest, public_id=generation.public_id)
    assert begin(browser, prompt="three").status_code == 402
    assert not audit()


def test_16_wishes_of_one_guest_at_once_are_as_many_as_the_trial_has(race, settings, upstream):
    guest = trial.start(address="192.0.2.1")
    guest.plan.concurrent = None
    guest.plan.save()

    def ask(number):
        spec = GenerationSpec.parse({"prompt": f"fox {number}"}, default_image_size="1K")
        return services.submit(user=guest, spec=spec, source="web")

    results = race(16, ask)
    assert sum(isinstance(result, services.Submission) for result in results) == 2
    assert {type(result) for result in results} == {services.Submission, AccountNeeded}
    assert Generation.objects.count() == 2


def test_a_hundred_scripted_guests_cost_no_more_than_the_day_has(upstream, work, settings):
    settings.TRIAL_DAILY_BUDGET_USD = "0.50"
    settings.TRIAL_GUESTS_PER_NETWORK = 1000
    statuses = []
    for _ in range(100):
        browser = Client()
        for prompt in ("one", "two", "three"):
            statuses.append(begin(browser, prompt=prompt).status_code)
            for generation in Generation.objects.unfinished():
                work(generation)
    # Four grants of two pictures are in the budget; each of the four asks for a third one, the others never begin.
    assert statuses == [302, 302, 402] * 4 + [429] * 3 * 96
    assert User.objects.filter(is_guest=True).count() == 4
    assert sum(ledger.balance_of(guest).spent for guest in User.objects.all()) == 8 * 58_000
    assert sum(Attempt.objects.values_list("cost_micros", flat=True)) == 8 * 58_000 <= 500_000
    assert not audit()


def test_when_the_day_is_spent_the_front_page_asks_for_an_account(browser, settings):
    settings.TRIAL_DAILY_BUDGET_USD = "0.10"
    page = words(browser.get("/"))
    assert "You need an account for it" in page
    assert "without an account" not in page
    answer = begin(browser)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "a fox" in words(answer)
    assert not User.objects.exists()
    assert not LedgerAccount.objects.filter(kind="wallet").exists()


def test_a_network_has_its_part(settings, upstream):
    settings.TRIAL_GUESTS_PER_NETWORK = 1
    assert begin(Client()).status_code == 302
    refused = begin(Client())
    assert refused.status_code == 429
    assert "from your network" in words(refused)
    assert begin(Client(REMOTE_ADDR="198.51.100.9")).status_code == 302


def test_behind_everybody_who_has_an_account(alice, upstream, submit):
    guest = trial.start(address="192.0.2.1")
    spec = GenerationSpec.parse({"prompt": "a hen"}, default_image_size="1K")
    services.submit(user=guest, spec=spec, source="web")
    later = submit(alice)
    assert turns.next_due(timezone.now()) == later.pk


# --- What for ---


@pytest.mark.parametrize(
    "wish",
    [
        {"image_size": "2K"},
        {"image_size": "4K"},
        {"count": "2"},
        {"kind": "video", "aspect_ratio": "16:9"},
        {"model": "gemini-3-pro-image-preview"},
    ],
)
def test_what_the_trial_does_not_make_costs_nobody_anything(browser, wish, upstream):
    answer = begin(browser, **wish)
    assert answer.status_code == 402, words(answer)
    assert "The trial" in words(answer)
    assert not User.objects.exists()
    assert given_away() == 0
    # Nor does a guest get it in the studio, whatever the form says.
    begin(browser)
    answer = browser.post("/studio/", {"prompt": "a hen", "aspect_ratio": "1:1", "image_size": "1K", **wish})
    assert answer.status_code == 402
    assert Generation.objects.count() == 1
    assert ledger.balance_of(guest_now()).held == 58_000  # of the first one


@pytest.mark.parametrize(("prompt", "status"), [("make a deepnude of her", 422), ("", 400), ("x" * 4001, 400)])
def test_what_is_refused_for_everybody_makes_nobody_a_guest(browser, prompt, status):
    assert begin(browser, prompt=prompt).status_code == status
    assert "guest" not in browser.session
    assert not User.objects.exists()
    assert given_away() == 0


def test_personal_data_is_asked_about_before_it_is_sent(browser, upstream):
    answer = begin(browser, prompt="a card for anna@example.com")
    assert answer.status_code == 422
    assert "There is personal data in the prompt" in words(answer)
    assert not User.objects.exists()
    begin(browser, prompt="a card for anna@example.com", personal="mask")
    assert "anna@example.com" not in Generation.objects.get().prompt


def test_a_guest_brings_no_files(browser, upstream):
    begin(browser)
    file = SimpleUploadedFile("fox.png", png(), "image/png")
    answer = browser.post("/studio/", {"prompt": "a hen", "image_size": "1K", "aspect_ratio": "1:1", "uploads": file})
    assert answer.status_code == 400
    assert "Without an account nothing is uploaded." in words(answer)
    assert Generation.objects.count() == 1
    assert ledger.balance_of(guest_now()).held == 58_000
    answer = browser.post("/images/upload/", {"uploads": SimpleUploadedFile("fox.png", png())})
    assert "/accounts/login/" in answer["Location"]
    with pytest.raises(AccountNeeded):
        gallery.add_upload(owner=guest_now(), file=SimpleUploadedFile("fox.png", png()))
    assert not Image.objects.exists()


def test_a_guest_publishes_nothing(browser, upstream, work):
    begin(browser)
    work(Generation.objects.get())
    image = Image.objects.get()
    page = words(browser.get(f"/images/{image.public_id}/"))
    assert "Only you, in this browser." in page
    assert "Publish or share" not in page
    answer = browser.post(f"/images/{image.public_id}/publish/", {"visibility": "public", "alt_text": "A fox"})
    assert answer.status_code in (302, 303)
    assert "/accounts/login/" in answer.url
    with pytest.raises(AccountNeeded):
        publishing.choose_visibility(
            owner=guest_now(), public_id=image.public_id, visibility="public", alt_text="A fox"
        )
    image.refresh_from_db()
    assert image.review_status == "none"


def views_open_to_guests(patterns=None, prefix=""):
    for pattern in patterns or get_resolver().url_patterns:
        if isinstance(pattern, URLResolver):
            space = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from views_open_to_guests(pattern.url_patterns, prefix + space)
        elif isinstance(pattern, URLPattern) and getattr(pattern.callback, MARK, False):
            yield prefix + (pattern.name or "?")


def test_only_these_views_know_guests():
    assert set(views_open_to_guests()) == OPEN


@pytest.mark.parametrize(
    "address",
    [
        *("/account/", "/account/ledger/", "/account/keys/", "/account/profile/", "/account/data/", "/collections/"),
        *("/accounts/email/", "/accounts/sessions/", "/accounts/2fa/", "/review/", "/status/costs/", "/admin/"),
    ],
)
def test_elsewhere_a_guest_is_nobody(browser, upstream, address):
    begin(browser)
    answer = browser.get(address)
    assert answer.status_code in (302, 303, 404)


@pytest.mark.parametrize("address", ["/api/v1/account", "/api/v1/generations", "/api/v1/images", "/api/v1/api-keys"])
def test_a_guest_has_no_rest(browser, upstream, address):
    begin(browser)
    assert browser.get(address).status_code == 401


# --- Signing up ---


def confirmed(browser, mailoutbox, email="new@example.com"):
    sign_up(browser, email)
    return browser.post(CONFIRM, {"code": code_in(mailoutbox[-1])})


def test_whoever_signs_up_keeps_the_pictures_and_the_history(browser, upstream, work, mailoutbox):
    begin(browser)
    work(Generation.objects.get())
    guest = guest_now()
    assert "The pictures that you have made stay." in words(browser.get("/accounts/signup/"))
    sign_up(browser, "new@example.com")
    assert browser.get("/library/").status_code == 200  # a guest still, until the address is confirmed
    assert browser.get("/account/").status_code == 302
    browser.post(CONFIRM, {"code": code_in(mailoutbox[-1])})
    user = User.objects.get()
    assert (user.pk, user.email, user.is_guest, user.plan.name) == (guest.pk, "new@example.com", False, "free")
    assert user.erase_at is None
    assert is_signed_in(browser)
    assert "guest" not in browser.session
    assert str(Image.objects.get().public_id) in words(browser.get("/library/"))
    assert ledger.balance_of(user).available == 1_000_000 + 58_000
    later = Client()
    assert sign_in(later, "new@example.com", PASSWORD).status_code == 302
    assert is_signed_in(later)
    assert not audit()


def test_a_job_that_is_under_way_is_finished_for_the_account(browser, upstream, work, mailoutbox):
    begin(browser)
    confirmed(browser, mailoutbox)
    assert work(Generation.objects.get()).status == "succeeded"
    assert Image.objects.get().owner == User.objects.get()


def test_a_taken_address_tells_nothing_and_takes_nothing(browser, upstream, alice, mailoutbox):
    begin(browser)
    answer = sign_up(browser, alice.email)
    assert (answer.status_code, answer.url) == (302, CONFIRM)
    assert browser.get("/studio/").status_code == 200
    assert guest_now().email.startswith("guest-")


def test_a_mistyped_address_is_put_right(browser, upstream, mailoutbox):
    begin(browser)
    sign_up(browser, "mistyped@example.com")
    browser.post("/accounts/logout/", {"next": "/accounts/signup/"})  # "Use another address"
    assert browser.get("/library/").status_code == 200
    confirmed(browser, mailoutbox, "right@example.com")
    assert User.objects.get().email == "right@example.com"


def test_whoever_signs_in_to_another_account_is_that_one(browser, upstream, alice):
    begin(browser)
    assert "stay only if you create one" in words(browser.get("/accounts/login/"))
    sign_in(browser, alice.email)
    assert "guest" not in browser.session
    assert "You are trying it" not in words(browser.get("/studio/"))


# --- The end ---


def test_a_trial_that_nobody_keeps_is_erased(browser, upstream, work, settings):
    begin(browser)
    work(Generation.objects.get())
    guest = guest_now()
    assert erasure.erase_due(at=guest.erase_at) == 1
    assert Image.objects.get().purged_at is not None
    assert Generation.objects.get().prompt == ""
    assert ledger.balance_of(guest).available == 0
    assert browser.get("/studio/").status_code == 302
    assert begin(browser).status_code == 302  # a new one
    assert User.objects.filter(is_guest=True, closed_at=None).count() == 1
    assert not audit()


def test_a_guest_can_end_it_now(browser, upstream, work):
    begin(browser)
    assert "Delete everything now?" in words(browser.get("/trial/end/"))
    browser.post("/trial/end/")
    assert browser.get("/studio/").status_code == 302
    assert erasure.erase_due() == 1
    assert browser.get("/trial/end/").url == "/"
    assert not audit()


def test_one_who_signed_up_and_never_confirmed_frees_the_address(browser, upstream, mailoutbox):
    begin(browser)
    sign_up(browser, "new@example.com")
    assert erasure.erase_due(at=guest_now().erase_at) == 1
    other = Client()
    confirmed(other, mailoutbox)
    assert User.objects.filter(email="new@example.com", is_guest=False).count() == 1


def test_pages_of_a_guest_cost_few_queries(browser, upstream, work, django_assert_max_num_queries):
    begin(browser)
    work(Generation.objects.get())
    with django_assert_max_num_queries(10):
        assert browser.get("/studio/").status_code == 200
    with django_assert_max_num_queries(8):
        assert browser.get("/library/").status_code == 200


def test_what_is_given_is_what_came_out_of_the_budget(browser, upstream):
    begin(browser)
    assert given_away() == ledger.balance_of(guest_now()).available + 58_000
