"""Live events: one stream of server-sent events for a tab, with every job of whoever is signed in.

A waiting tab costs no thread and no query. A change costs one hop to a thread, in which the session is looked at again;
the card is rendered once for all tabs of its owner. Database connections are closed after each read.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib.auth import get_user
from django.db import connections
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET

from accounts.guest_sessions import guest_of
from accounts.models import User
from generations import cards, trial
from generations.events import UserWatch, hub
from generations.models import Generation, Status
from generations.views.studio import FEED

HEARTBEAT_S = 15.0
# Then the browser comes again, which finds out about sessions that ended while nothing happened.
STREAM_S = 600.0
RENDERED_KEPT = 256
SIGNED_OUT = b"event: signed-out\ndata: {}\n\n"
# Rendering is work for the processor: a few threads serve any number of tabs.
_readers = ThreadPoolExecutor(4, thread_name_prefix="live")


@dataclass(frozen=True, slots=True)
class Update:
    """A job's event, ready to be sent."""

    generation_id: int
    version: int
    event: bytes


class Rendered:
    """The last events that were rendered, by job and version, so that several tabs of one person share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._updates: OrderedDict[tuple[int, int], Update] = OrderedDict()

    def find(self, generation_id: int, version: int) -> Update | None:
        with self._lock:
            return self._updates.get((generation_id, version))

    def keep(self, update: Update) -> None:
        with self._lock:
            self._updates[update.generation_id, update.version] = update
            while len(self._updates) > RENDERED_KEPT:
                self._updates.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._updates.clear()


rendered = Rendered()


@require_GET
async def events(request: HttpRequest) -> HttpResponseBase:
    """The stream; `seen` names cards of the page as id:version, `after` the newest one, to catch up from there.

    With `probe` it only says whether there is a session, because an event source does not tell a 401 from a lost line.
    """
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    user = await _in_thread(_session_user, session_key)
    if user is None:
        return HttpResponse("You have been signed out.", status=401, content_type="text/plain; charset=utf-8")
    if "probe" in request.GET:
        return HttpResponse(status=204)
    stream = StreamingHttpResponse(
        _stream(session_key, user.pk, _seen(request), _id(request.GET.get("after", ""))),
        content_type="text/event-stream; charset=utf-8",
    )
    stream["Cache-Control"] = "no-store"
    stream["X-Accel-Buffering"] = "no"
    return stream


def _seen(request: HttpRequest) -> dict[UUID, int]:
    seen = {}
    for item in request.GET.get("seen", "").split(",")[:100]:
        name, _, version = item.partition(":")
        public_id = _id(name)
        if public_id and version.isdecimal() and len(version) < 10:
            seen[public_id] = int(version)
    return seen


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(_readers, lambda: _and_close(function, *args))


def _and_close(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()  # a thread of its own would keep one for as long as the process lives


def _session_user(session_key: str) -> User | None:
    """Who is signed in with this session, or its guest; None when it has ended or its password was changed."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    return user if isinstance(user, User) else guest_of(request.session)


async def _stream(session_key: str, user_id: int, seen: dict[UUID, int], after: UUID | None) -> AsyncIterator[bytes]:
    sent: dict[int, int] = {}
    ends_at = time.monotonic() + STREAM_S
    with UserWatch(user_id) as watch:  # first, so that nothing slips through between the reading and the watching
        yield b": connected\n\n"
        updates = await _in_thread(_catch_up, session_key, user_id, seen, after)
        if updates is None:
            yield SIGNED_OUT
            return
        for update in updates:
            sent[update.generation_id] = update.version
            if update.event:
                yield update.event
        while not hub.is_closing and time.monotonic() < ends_at:
            changes = await watch.changes(HEARTBEAT_S)
            if not changes:
                yield b": still here\n\n"
                continue
            wanted = {pk: version for pk, version in changes.items() if version > sent.get(pk, 0)}
            if not wanted:
                continue
            updates = await _in_thread(_read_updates, session_key, user_id, wanted)
            if updates is None:
                yield SIGNED_OUT
                return
            for update in updates:
                if update.version > sent.get(update.generation_id, 0):
                    sent[update.generation_id] = update.version
                    yield update.event


def _catch_up(session_key: str, user_id: int, seen: dict[UUID, int], after: UUID | None) -> list[Update] | None:
    """What has changed since the page was made: jobs that run, that it shows as running, or that are newer than it.

    What the page has already is returned without an event, so that it is not sent again; None when the session has
    ended.
    """
    user = _session_user(session_key)
    if user is None or user.pk != user_id:
        return None
    wanted = Q(public_id__in=list(seen)) | Q(status__in=(Status.QUEUED, Status.RUNNING))
    if after is not None:
        wanted |= Q(pk__gt=Generation.objects.filter(user=user, public_id=after).values("pk"))
    versions = list(
        Generation.objects.filter(wanted, user=user).order_by("-pk").values_list("pk", "public_id", "version")[:100]
    )
    hub.follow({pk: version for pk, _, version in versions})
    known = [Update(pk, version, b"") for pk, public_id, version in versions if seen.get(public_id) == version]
    changed = {pk: version for pk, public_id, version in versions if seen.get(public_id) != version}
    shown = dict(list(changed.items())[: 2 * FEED])
    return known + list(_render(user, shown))


def _read_updates(session_key: str, user_id: int, wanted: dict[int, int]) -> list[Update] | None:
    """The events of these jobs as they are now; None when the session has ended."""
    user = _session_user(session_key)
    return None if user is None or user.pk != user_id else list(_render(user, wanted))


def _render(user: User, wanted: dict[int, int]) -> Iterator[Update]:
    """The events of these versions or later ones, the oldest job first."""
    with _rendering(user.pk):
        missing = []
        for pk in sorted(wanted):
            update = rendered.find(pk, wanted[pk])
            if update:
                yield update
            else:
                missing.append(pk)
        yield from _render_missing(user, missing)


def _render_missing(user: User, missing: Collection[int]) -> Iterator[Update]:
    if not missing:
        return
    money = render_to_string("components/run_balance.html", trial.wallet_of(user))
    for card in cards.make_cards(list(cards.runs_of(user).filter(pk__in=missing).order_by("pk"))):
        generation = card.generation
        body = {
            "id": str(card.id),
            "version": generation.version,
            "status": card.status,
            "said": _announcement(card),
            "html": render_to_string("generations/_run.html", {"card": card}),
            "tile": render_to_string("components/run_tile.html", {"tile": cards.make_tile(generation)}),
            "balance": money,
        }
        data = b"event: run\nid: %s:%d\ndata: %s\n\n" % (str(card.id).encode(), generation.version, orjson.dumps(body))
        update = Update(generation.pk, generation.version, data)
        rendered.keep(update)
        yield update


def _announcement(card: cards.Card) -> str:
    """What a screen reader is told: the end, or the stage that has begun."""
    match card.status:
        case "succeeded":
            if card.shortfall:
                return f"{card.shortfall.came} of {card.shortfall.wanted} pictures are ready."
            return "Your picture is ready." if len(card.pictures) == 1 else "Your pictures are ready."
        case "failed":
            return f"{card.trouble.title}. You were not charged." if card.trouble else ""
        case "canceled":
            return "Cancelled. You were not charged."
    ready = f", {card.ready_count} of {card.count} ready" if card.ready_count else ""
    return f"{card.stage_word}{ready}: {card.name}"


_locks = [threading.Lock() for _ in range(16)]


@contextmanager
def _rendering(user_id: int) -> Iterator[None]:
    """One thread at a time for one person: the second tab finds what the first has rendered."""
    with _locks[user_id % len(_locks)]:
        yield
