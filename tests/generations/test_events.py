"""The hub wakes waiters of this process at once, and finds out about changes made elsewhere by itself."""

import asyncio

import pytest
from django.db.models import F

from generations import events, services
from generations.events import AsyncWatch, Watch, hub
from generations.models import Generation

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_change_in_this_process_wakes_its_waiter(alice, submit):
    generation = submit(alice)
    with Watch(generation.pk) as watch:
        while watch.wait(1.0):  # the poller's first look at the row
            pass
        services.cancel(user=alice, public_id=generation.public_id)
        assert watch.wait(0)


def test_a_change_made_elsewhere_is_found_by_the_poller(alice, submit):
    generation = submit(alice)
    with Watch(generation.pk) as watch:
        while watch.wait(1.0):
            pass
        Generation.objects.filter(pk=generation.pk).update(version=F("version") + 1)
        assert watch.wait(10)


def test_a_coroutine_is_woken_from_a_thread(alice, submit):
    generation = submit(alice)

    async def wait():
        with AsyncWatch(generation.pk) as watch:
            asyncio.get_running_loop().run_in_executor(None, events.publish, generation.pk)
            return await watch.wait(10)

    assert asyncio.run(wait())


def test_a_waiter_that_leaves_is_forgotten(alice, submit):
    generation = submit(alice)
    with Watch(generation.pk):
        assert generation.pk in hub._wakers
    assert generation.pk not in hub._wakers
