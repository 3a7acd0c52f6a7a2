"""The live events of the studio: whose they are, what they bring, how a tab catches up, and when they end."""

import asyncio
from contextlib import aclosing
from unittest.mock import Mock
from uuid import UUID

import orjson
import pytest
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models import F
from django.test import AsyncClient, Client

from generations import events, services
from generations.events import UserWatch, hub
from generations.models import Generation
from generations.views import live

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = "/studio/events/"
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>"""
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def _no_memory():
    cache.clear()
    live.rendered.clear()


@pytest.fixture
def session(alice):
    """The cookie of somebody who is signed in."""
    client = Client()
    client.force_login(alice)
    return client.cookies["sessionid"].value


class Tab:
    """One open stream: `next` is the following event, comments are counted only."""

    def __init__(self, stream):
        self._stream = stream
        self.comments = 0

    async def next(self):
        while True:
            chunk = await asyncio.wait_for(anext(self._stream), PATIENCE_S)
            if chunk.startswith(b":"):
                self.comments += 1
                continue
            lines = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
            return lines["event"], orjson.loads(lines["data"])

    async def rest(self):
        return [chunk async for chunk in self._stream]


def listen(session, story, query=""):
    """Open the stream with this cookie and let `story` be told with it."""

    async def run():
        client = AsyncClient()
        client.cookies["sessionid"] = session
        answer = await client.get(EVENTS + query)
        assert answer.status_code == 200
        stream = answer.streaming_content
        async with aclosing(stream):
            assert await asyncio.wait_for(anext(stream), PATIENCE_S) == b": connected\n\n"
            return await asyncio.wait_for(story(Tab(stream)), 2 * PATIENCE_S)

    return asyncio.run(run())


async def in_thread(function, *args, **kwargs):
    return await asyncio.to_thread(lambda: live._and_close(lambda: function(*args, **kwargs)))


def test_strangers_are_told_401_and_not_sent_elsewhere(stranger):
    for query in ("", "?probe=1"):
        answer = stranger.get(EVENTS + query)
        assert (answer.status_code, answer["Content-Type"]) == (401, "text/plain; charset=utf-8")
        assert answer.content == b"You have been signed out."


def test_a_probe_says_only_that_there_is_a_session(alice):
    client = Client()
    client.force_login(alice)
    answer = client.get(f"{EVENTS}?probe=1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.post(EVENTS).status_code == 405


def test_the_stream_is_kept_by_nobody_on_the_way(session):
    async def run():
        client = AsyncClient()
        client.cookies["sessionid"] = session
        answer = await client.get(EVENTS)
        async with aclosing(answer.streaming_content):
            return answer["Content-Type"], answer["Cache-Control"], answer["X-Accel-Buffering"]

    assert asyncio.run(run()) == ("text/event-stream; charset=utf-8", "no-store", "no")


def test_a_job_of_another_door_arrives_and_so_does_its_end(alice, session, submit, upstream, work):
    async def story(tab):
        generation = await in_thread(submit, alice, source="rest")
        kind, waiting = await tab.next()
        assert kind == "run"
        assert (waiting["id"], waiting["status"], waiting["version"]) == (str(generation.public_id), "queued", 1)
        assert f'id="run-{generation.public_id}"' in waiting["html"]
        assert f'id="tile-{generation.public_id}"' in waiting["tile"]
        assert "$0.942 available" in waiting["balance"]
        await in_thread(work, generation)
        while (update := (await tab.next())[1])["status"] != "succeeded":
            assert update["status"] == "running"
        assert update["said"] == "Your picture is ready."
        assert ">Download</a>" in update["html"]
        assert update["version"] == generation.version

    listen(session, story)


def test_nothing_of_others_is_heard(alice, bob, session, submit):
    async def story(tab):
        await in_thread(submit, bob)
        mine = await in_thread(submit, alice)
        assert (await tab.next())[1]["id"] == str(mine.public_id)

    listen(session, story)


def test_a_change_made_by_another_process_is_found(alice, session, submit):
    generation = submit(alice)

    async def story(tab):
        assert (await tab.next())[1]["version"] == 1
        changed = Generation.objects.filter(pk=generation.pk)
        await in_thread(changed.update, version=F("version") + 1)  # nobody is told
        assert (await tab.next())[1]["version"] == 2
        await in_thread(changed.update, version=F("version") + 1, status="canceled")
        update = (await tab.next())[1]
        assert (update["version"], update["status"]) == (3, "canceled")

    listen(session, story)


def test_a_tab_that_comes_back_gets_what_it_has_missed_and_nothing_twice(alice, session, submit):
    known = submit(alice)
    missed = services.cancel(user=alice, public_id=submit(alice).public_id)
    newest = submit(alice)
    query = f"?seen={known.public_id}:1,{missed.public_id}:1&after={missed.public_id}"

    async def story(tab):
        updates = [(await tab.next())[1] for _ in range(2)]
        assert [(update["id"], update["status"]) for update in updates] == [
            (str(missed.public_id), "canceled"),
            (str(newest.public_id), "queued"),
        ]
        await in_thread(services.cancel, user=alice, public_id=known.public_id)
        assert (await tab.next())[1]["id"] == str(known.public_id)

    listen(session, story, query)


@pytest.mark.parametrize("query", ["?seen=x:1,:,,&after=y", "?seen=" + "0:0," * 500, "?after=" + str(UUID(int=1))])
def test_a_made_up_place_is_no_harm(alice, session, submit, query):
    generation = submit(alice)

    async def story(tab):
        assert (await tab.next())[1]["id"] == str(generation.public_id)

    listen(session, story, query)


def test_nobody_learns_of_others_by_naming_their_runs(alice, bob, session, submit):
    theirs = submit(bob)
    mine = submit(alice)

    async def story(tab):
        assert (await tab.next())[1]["id"] == str(mine.public_id)

    listen(session, story, f"?seen={theirs.public_id}:0&after={theirs.public_id}")


def test_two_tabs_of_one_person_share_what_is_rendered(alice, session, submit, monkeypatch):
    rendered = []
    make = live.render_to_string
    monkeypatch.setattr(live, "render_to_string", lambda name, *rest: rendered.append(name) or make(name, *rest))

    async def story(first):
        async def second_story():
            client = AsyncClient()
            client.cookies["sessionid"] = session
            stream = (await client.get(EVENTS)).streaming_content
            async with aclosing(stream):
                await anext(stream)
                second = Tab(stream)
                generation = await in_thread(submit, alice)
                one, other = await asyncio.gather(first.next(), second.next())
                assert one == other
                return generation

        await second_story()

    listen(session, story)
    assert rendered.count("generations/_run.html") == 1


def test_a_hostile_prompt_is_text_in_the_event(alice, session, submit):
    submit(alice)
    Generation.objects.update(prompt=HOSTILE)

    async def story(tab):
        update = (await tab.next())[1]
        for part in ("html", "tile"):
            assert "<script>alert" not in update[part]
            assert "<img src=x" not in update[part]
            assert "&lt;script&gt;alert(1)" in update[part]

    listen(session, story)


def test_who_has_signed_out_hears_that_and_nothing_more(alice, session, submit):
    async def story(tab):
        client = Client()
        client.cookies["sessionid"] = session
        await in_thread(client.logout)
        await in_thread(submit, alice)
        assert await tab.next() == ("signed-out", {})
        assert await tab.rest() == []

    listen(session, story)


def test_a_changed_password_ends_the_stream_too(alice, session, submit):
    async def story(tab):
        alice.set_password("another horse battery")
        await in_thread(alice.save)
        await in_thread(submit, alice)
        assert (await tab.next())[0] == "signed-out"

    listen(session, story)


def test_the_stream_ends_with_the_process(session, monkeypatch):
    async def story(tab):
        monkeypatch.setattr(hub, "is_closing", False)
        hub.close()
        rest = await asyncio.wait_for(tab.rest(), PATIENCE_S)
        assert all(chunk.startswith(b":") for chunk in rest)

    listen(session, story)


def test_silence_is_filled_with_comments(session, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)

    async def run():
        client = AsyncClient()
        client.cookies["sessionid"] = session
        stream = (await client.get(EVENTS)).streaming_content
        async with aclosing(stream):
            return [await asyncio.wait_for(anext(stream), PATIENCE_S) for _ in range(3)]

    assert asyncio.run(run()) == [b": connected\n\n", b": still here\n\n", b": still here\n\n"]


def test_a_stream_asks_to_be_opened_again_after_a_while(session, monkeypatch):
    monkeypatch.setattr(live, "STREAM_S", 0.0)

    async def story(tab):
        assert await tab.rest() == []

    listen(session, story)


def test_a_tab_that_leaves_is_forgotten(alice, session):
    async def story(tab):
        assert alice.pk in hub._user_wakers

    listen(session, story)
    assert alice.pk not in hub._user_wakers


def test_all_watched_users_cost_one_query_a_look(alice, bob, submit, django_assert_num_queries):
    for user in (alice, bob, alice):
        submit(user)
    looking = events.Hub()
    looking._newest = 0
    with django_assert_num_queries(1):
        looking._look_for([alice.pk, bob.pk])


def test_a_look_tells_each_change_once(alice, submit):
    generation = submit(alice)
    looking, told = events.Hub(), []
    looking._user_wakers[alice.pk].add(lambda pk, version: told.append((pk, version)))
    for _ in range(2):
        looking._look_for([alice.pk])
    services.cancel(user=alice, public_id=generation.public_id)
    for _ in range(2):
        looking._look_for([alice.pk])
    later = submit(alice)
    Generation.objects.filter(pk=later.pk).update(status="canceled")  # began and ended between two looks
    for _ in range(2):
        looking._look_for([alice.pk])
    assert told == [(generation.pk, 1), (generation.pk, 2), (later.pk, 1)]


def test_what_ends_before_the_first_look_is_told(alice, submit):
    read_by_a_tab, changed_here = submit(alice), submit(alice)
    looking, told = events.Hub(), []
    looking._user_wakers[alice.pk].add(lambda pk, version: told.append((pk, version)))
    looking.follow({read_by_a_tab.pk: 1})
    for generation in (read_by_a_tab, changed_here):
        services.cancel(user=alice, public_id=generation.public_id)
    looking.publish(changed_here.pk)
    looking._look_for([alice.pk])
    assert sorted(told) == [(read_by_a_tab.pk, 2), (changed_here.pk, 2)]


def test_a_look_that_fails_is_made_up_for_by_the_next(alice, submit, monkeypatch):
    generation = services.cancel(user=alice, public_id=submit(alice).public_id)
    looking, told = events.Hub(), []
    looking._user_wakers[alice.pk].add(lambda pk, version: told.append((pk, version)))
    looking._newest = generation.pk
    looking.publish(generation.pk)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", Mock(side_effect=OperationalError("gone")))
        with pytest.raises(OperationalError):
            looking._look_for([alice.pk])
    looking._look_for([alice.pk])
    assert told == [(generation.pk, 2)]


def test_a_watch_returns_nothing_when_its_time_is_up(alice):
    async def wait():
        with UserWatch(alice.pk) as watch:
            return await watch.changes(0.01)

    assert asyncio.run(wait()) == {}
