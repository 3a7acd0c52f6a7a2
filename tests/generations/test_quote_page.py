"""The composer says what a wish will cost and leave, why it would be refused, and whether it was made before."""

import pytest
from django.utils import timezone

from accounts import quotas
from accounts.models import Price, Usage
from gallery import services as gallery
from generations.models import Generation

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quote(client, alice):
    client.force_login(alice)

    def ask(prompt="a fox", **fields):
        body = {"prompt": prompt, "aspect_ratio": "1:1", "image_size": "1K", "modalities": "IMAGE", "count": "1"}
        answer = client.post("/studio/quote/", {**body, **fields})
        assert answer.status_code == 200
        return " ".join(answer.content.decode().split())

    return ask


def test_the_price_and_what_it_leaves_are_the_servers_own(quote):
    said = quote(count="2")
    assert 'data-each="58000" data-total="116000"' in said
    assert '<p class="leaves">Leaves $0.884.</p>' in said
    assert "exactly this" not in said


def test_the_price_is_told_before_there_are_words(quote):
    assert "Leaves $0.942." in quote("")
    assert "Leaves $0.942." in quote("x" * 5000)


@pytest.mark.parametrize("fields", [{"image_size": "9K"}, {"count": "many"}, {"references": "not-a-picture"}])
def test_a_wish_that_makes_no_sense_yet_has_no_price_and_is_no_error(fields, quote):
    assert quote(**fields) == ""


def test_what_nobody_has_priced_has_no_price(quote, guards_off):
    with guards_off():
        Price.objects.all().delete()
    assert quote() == ""


def test_money_that_running_work_holds_is_told_with_when_it_is_free(submit, quote, alice, money):
    for _ in range(3):
        submit(alice)
    quotas.override_limits(user=alice, concurrent=9)
    available, held, _ = money(alice)
    assert (available, held) == (826_000, 174_000)
    frees_at = Generation.objects.earliest("pk").hold.expires_at
    said = quote("four large ones", model="gemini-3-pro-image-preview", image_size="4K", count="4")
    total = (
        4
        * Price.objects.current(
            model="gemini-3-pro-image-preview", size="4K", unit="image", at=timezone.now()
        ).amount_micros
    )
    assert available < total <= available + held
    assert "$0.174 of your $1.00 is held by running work. This run needs $" in said
    assert f"free again by {frees_at:%H:%M} UTC at the latest." in said
    assert "Leaves" not in said


def test_money_that_nobody_has_is_told_plainly(client, penniless, quote):
    client.force_login(penniless)
    assert '<p class="short">This needs $0.058, and $0.00 is available.</p>' in quote()


def test_a_quota_that_is_used_up_is_told_with_when_it_starts_again(alice, quote):
    quotas.override_limits(user=alice, images_per_day=40)
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    Usage.objects.create(user=alice, name="images_per_day", window_start=today, used=38)
    assert "Leaves" in quote(count="2")
    assert "You have used 38 of today's 40 images, and this asks for 3. The count starts again at 00:00 UTC, in" in (
        quote(count="3").replace("&#x27;", "'")
    )
    Usage.objects.filter(user=alice).update(used=40)
    assert "You have used today's 40 images. The count" in quote().replace("&#x27;", "'")


def test_too_many_at_once_is_told(submit, alice, quote):
    quotas.override_limits(user=alice, concurrent=1)
    submit(alice)
    assert "1 of your runs are unfinished, and 1 at once are allowed." in quote("another")


@pytest.mark.parametrize("prompt", ["a fox", " a   fox\n", "A Fox"])
def test_the_same_wish_is_told_with_a_link_to_its_pictures(prompt, alice, upstream, submit, work, quote, money):
    generation = work(submit(alice))
    before = money(alice)
    said = quote(prompt)
    assert "You made exactly this" in said
    assert f'href="/generations/{generation.public_id}/"' in said
    assert "Using the earlier picture</a> is free" in said
    assert money(alice) == before
    assert Generation.objects.count() == 1


def test_another_wish_is_another_wish(alice, upstream, submit, work, quote):
    work(submit(alice))
    for change in ({"prompt": "a vixen"}, {"aspect_ratio": "3:2"}, {"image_size": "2K"}):
        assert "exactly this" not in quote(**change)


def test_a_wish_that_is_being_made_is_told_as_such(alice, submit, quote):
    submit(alice)
    assert "right now" in quote()


def test_what_is_in_the_trash_or_of_others_is_not_offered(alice, bob, upstream, submit, work, quote):
    work(submit(bob))
    assert "exactly this" not in quote()
    generation = work(submit(alice))
    gallery.trash_image(owner=alice, public_id=generation.outputs.get().image.public_id)
    assert "exactly this" not in quote()


def test_asking_costs_few_queries_and_needs_a_post_and_a_person(client, quote, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        quote()
    client.logout()
    assert client.post("/studio/quote/").status_code in (302, 303)
    assert client.get("/studio/quote/").status_code in (302, 405)


def test_the_studio_asks_there(client, alice):
    client.force_login(alice)
    assert 'id="quoted" aria-live="polite" data-url="/studio/quote/"' in client.get("/studio/").content.decode()
