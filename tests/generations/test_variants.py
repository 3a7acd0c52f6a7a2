"""Several pictures in one wish: as many calls at once, the good ones kept and paid for, the others not."""

import threading

import pytest

from accounts.models import Usage
from generations import services
from generations.audit import audit
from generations.models import Status
from generations.providers.base import ProviderError
from generations.spec import GenerationSpec
from tests.generations.fakes import error, picture, png, reply

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 58_000
COLOURS = ("red", "green", "blue", "gold")


@pytest.fixture
def wish():
    return lambda count, **fields: GenerationSpec.parse(
        {"prompt": "a fox", "count": count, **fields}, default_image_size="1K"
    )


def outcomes(generation):
    return sorted(generation.attempts.values_list("slot", "outcome"))


def used_today(user):
    return Usage.objects.get(user=user, name="images_per_day").used


@pytest.mark.parametrize("count", [2, 3, 4])
def test_n_pictures_are_n_calls_and_n_prices(count, alice, upstream, submit, work, wish, money):
    available = money(alice)[0]
    upstream.says(*(reply(picture(png(colour))) for colour in COLOURS[:count]))
    generation = submit(alice, wish=wish(count))
    assert money(alice) == (available - count * PRICE, count * PRICE, 0)
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert generation.charged_micros == count * PRICE
    assert money(alice) == (available - count * PRICE, 0, count * PRICE)
    assert len(upstream.calls) == count
    assert list(generation.outputs.values_list("index", flat=True)) == list(range(count))
    assert used_today(alice) == count
    assert audit() == []


def test_the_calls_of_one_wish_are_made_at_the_same_time(alice, upstream, submit, work, wish):
    together = threading.Barrier(3, timeout=10)

    def wait_for_the_others():
        together.wait()
        return reply(picture())

    upstream.says(wait_for_the_others)
    assert work(submit(alice, wish=wish(3))).status == Status.SUCCEEDED


def test_a_bad_variant_does_not_cost_the_good_ones(alice, upstream, submit, work, wish, money):
    available = money(alice)[0]
    upstream.says(reply(picture(png("red"))), reply(picture(b"<html>no picture</html>")), reply(picture(png("blue"))))
    generation = work(submit(alice, wish=wish(3)))
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.count() == 2
    assert generation.charged_micros == 2 * PRICE
    assert money(alice) == (available - 2 * PRICE, 0, 2 * PRICE)
    assert used_today(alice) == 2
    assert audit() == []


def test_without_a_single_good_one_nothing_is_charged(alice, upstream, submit, work, wish, money):
    before = money(alice)
    upstream.says({"promptFeedback": {"blockReason": "SAFETY"}})
    generation = work(submit(alice, wish=wish(3)))
    assert (generation.status, generation.error_code) == (Status.FAILED, "blocked")
    assert outcomes(generation) == [(0, "blocked"), (1, "blocked"), (2, "blocked")]
    assert money(alice) == before
    assert used_today(alice) == 0
    assert audit() == []


def test_only_what_is_missing_is_asked_for_again(alice, upstream, submit, work, wish, money):
    upstream.says(reply(picture(png("red"))), ProviderError("unknown", "read timeout"), reply(picture(png("blue"))))
    generation = work(submit(alice, wish=wish(2)))
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.count() == 2
    assert len(upstream.calls) == 3
    assert sorted(outcome for _, outcome in outcomes(generation)) == ["ok", "ok", "unknown"]
    assert money(alice)[2] == 2 * PRICE
    assert audit() == []


def test_what_came_before_a_cancel_is_kept_and_paid_for(alice, upstream, submit, work, wish, money):
    generation = submit(alice, wish=wish(2))
    answers = iter([reply(picture(png("red"))), error(503, "UNAVAILABLE")])
    lock = threading.Lock()

    def answer_and_cancel():
        with lock:
            if (answer := next(answers, None)) is None:
                raise AssertionError("a third call")
            services.cancel(user=alice, public_id=generation.public_id)
        return answer

    upstream.says(answer_and_cancel)
    work(generation)
    assert generation.status == Status.SUCCEEDED
    assert generation.outputs.count() == 1
    assert money(alice)[2] == PRICE
    assert audit() == []


def test_two_pictures_that_are_the_same_are_two_pictures(alice, upstream, submit, work, wish):
    generation = work(submit(alice, wish=wish(2)))
    assert generation.outputs.count() == 2
    assert len({output.image.blob_id for output in generation.outputs.select_related("image")}) == 1
    assert audit() == []


def test_each_variant_has_a_seed_of_its_own(wish):
    spec = wish(3, seed=2**31 - 1)
    assert [spec.for_slot(slot).seed for slot in range(3)] == [2**31 - 1, -(2**31), -(2**31) + 1]
    assert wish(2).for_slot(1).seed is None


def test_money_for_one_buys_no_two(rich_in_pictures, submit, wish, money):
    from accounts.errors import InsufficientCredit

    owner = rich_in_pictures(1)
    with pytest.raises(InsufficientCredit):
        submit(owner, wish=wish(2))
    assert money(owner) == (PRICE, 0, 0)
