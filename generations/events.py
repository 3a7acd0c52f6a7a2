"""Tells waiters of this process (SSE, Prefer: wait, commands) that a generation has changed.

One poller per process reads the versions of the watched rows twice a second; a change made in this process wakes its
waiters at once. A wake-up is only a hint to read the row again, so a lost one costs half a second, never correctness.

Whoever watches a user hears of every job of that user, from whichever door and process: the same poller reads the
versions of all watched users' unfinished, just ended and new jobs in one query, and looks at once when this process has
changed something.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection

import structlog
from django.db import connection
from django.db.models import Max, Q

from generations.models import TERMINAL, Generation

log = structlog.get_logger(__name__)

POLL_S = 0.5
# Changes come in bursts: those of this time are read together.
BURST_S = 0.02

UserWaker = Callable[[int, int], None]  # a generation's primary key and its version; 0, 0 when the process ends


class Hub:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: dict[int, set[Callable[[], None]]] = defaultdict(set)
        self._versions: dict[int, int] = {}
        self._user_wakers: dict[int, set[UserWaker]] = defaultdict(set)
        self._open: dict[int, int] = {}  # the versions of the unfinished jobs of watched users; the poller's own
        self._followed: dict[int, int] = {}  # those that a watcher has read by itself, before the poller's first look
        self._published: set[int] = set()  # what this process has changed since the last look
        self._newest: int | None = None  # the primary key up to which new jobs were looked for
        self._poller: threading.Thread | None = None
        self._changed = threading.Event()
        self.is_closing = False

    def watch(self, generation_id: int, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers[generation_id].add(waker)
            self._ensure_poller()

    def unwatch(self, generation_id: int, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers[generation_id].discard(waker)
            if not self._wakers[generation_id]:
                del self._wakers[generation_id]
                self._versions.pop(generation_id, None)

    def watch_user(self, user_id: int, waker: UserWaker) -> None:
        with self._lock:
            self._user_wakers[user_id].add(waker)
            self._ensure_poller()
        self._changed.set()  # so that what is new is counted from now on

    def unwatch_user(self, user_id: int, waker: UserWaker) -> None:
        with self._lock:
            self._user_wakers[user_id].discard(waker)
            if not self._user_wakers[user_id]:
                del self._user_wakers[user_id]

    def follow(self, versions: dict[int, int]) -> None:
        """Tell their watchers of the next change of these unfinished jobs, even if it comes before the next look."""
        with self._lock:
            self._followed |= versions

    def _ensure_poller(self) -> None:
        if self._poller is None:
            self._poller = threading.Thread(target=self._poll, name="event-poller", daemon=True)
            self._poller.start()

    def wake(self, generation_id: int) -> None:
        with self._lock:
            wakers = list(self._wakers.get(generation_id, ()))
        for waker in wakers:
            waker()

    def publish(self, generation_id: int) -> None:
        """Wake who waits for it, and let the poller see at once what it means for those who watch its owner."""
        self.wake(generation_id)
        with self._lock:
            if not self._user_wakers:
                return
            self._published.add(generation_id)
        self._changed.set()

    def close(self) -> None:
        """Wake everybody for the last time: the process is going to end."""
        self.is_closing = True
        for generation_id in list(self._wakers):
            self.wake(generation_id)
        for user_id in list(self._user_wakers):
            self._wake_user(user_id, 0, 0)

    def _wake_user(self, user_id: int, generation_id: int, version: int) -> None:
        with self._lock:
            wakers = list(self._user_wakers.get(user_id, ()))
        for waker in wakers:
            waker(generation_id, version)

    def _poll(self) -> None:
        while True:
            if self._changed.wait(POLL_S):
                time.sleep(BURST_S)
                self._changed.clear()
            with self._lock:
                watched, users = list(self._wakers), list(self._user_wakers)
                if not watched and not users:
                    self._open, self._followed, self._published, self._newest = {}, {}, set(), None
                    self._poller = None  # inside the lock: the next watch starts a new poller
                    break
            try:
                if watched:
                    self._compare(watched)
                if users:
                    self._look_for(users)
            except Exception:
                log.exception("event_poll_failed")
                connection.close()
        connection.close()

    def _compare(self, watched: list[int]) -> None:
        for generation_id, version in Generation.objects.filter(pk__in=watched).values_list("pk", "version"):
            with self._lock:
                is_new = self._versions.get(generation_id) != version
                if generation_id in self._wakers:
                    self._versions[generation_id] = version
            if is_new:
                self.wake(generation_id)

    def _look_for(self, users: Collection[int]) -> None:
        """One query for all watched users: what is unfinished, what was at the last look, and what has come since."""
        if self._newest is None:
            self._newest = Generation.objects.aggregate(newest=Max("pk"))["newest"] or 0
        with self._lock:
            known, published = self._followed | self._open, self._published
            self._followed, self._published = {}, set()
        unfinished = Generation.objects.unfinished().filter(user__in=users).order_by()
        others = Generation.objects.filter(Q(pk__in=[*known, *published]) | Q(pk__gt=self._newest), user__in=users)
        rows = unfinished.union(others.order_by()).values_list("pk", "user_id", "version", "status")
        try:
            found = list(rows)
        except Exception:
            with self._lock:  # the next look makes up for this one
                self._followed, self._published = known | self._followed, published | self._published
            raise
        self._open = {}
        for generation_id, user_id, version, status in found:
            self._newest = max(self._newest, generation_id)
            if status not in TERMINAL:
                self._open[generation_id] = version
            if known.get(generation_id) != version:
                self._wake_user(user_id, generation_id, version)


hub = Hub()


def publish(generation_id: int) -> None:
    """Say that a generation has changed; called after the commit."""
    hub.publish(generation_id)


class Watch:
    """Watches one generation for a thread: `wait` returns True when it may have changed since the last call."""

    def __init__(self, generation_id: int) -> None:
        self._generation_id = generation_id
        self._changed = threading.Event()

    def __enter__(self) -> "Watch":
        hub.watch(self._generation_id, self._changed.set)
        return self

    def __exit__(self, *exc: object) -> None:
        hub.unwatch(self._generation_id, self._changed.set)

    def wait(self, timeout_s: float) -> bool:
        is_changed = self._changed.wait(timeout_s)
        self._changed.clear()
        return is_changed


class AsyncWatch:
    """The same for a coroutine: it costs no thread while it waits."""

    def __init__(self, generation_id: int) -> None:
        self._generation_id = generation_id
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    def __enter__(self) -> "AsyncWatch":
        hub.watch(self._generation_id, self._wake)
        return self

    def __exit__(self, *exc: object) -> None:
        hub.unwatch(self._generation_id, self._wake)

    async def wait(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class UserWatch:
    """Watches every job of a user for a coroutine: `changes` returns versions by primary key, {} when time is up."""

    def __init__(self, user_id: int) -> None:
        self._user_id = user_id
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._changes: dict[int, int] = {}

    def _wake(self, generation_id: int, version: int) -> None:
        try:
            self._loop.call_soon_threadsafe(self._note, generation_id, version)
        except RuntimeError:  # the loop has ended, and the coroutine with it
            log.debug("watcher_gone", user=self._user_id)

    def _note(self, generation_id: int, version: int) -> None:
        if generation_id:
            self._changes[generation_id] = version
        self._woken.set()

    def __enter__(self) -> "UserWatch":
        hub.watch_user(self._user_id, self._wake)
        return self

    def __exit__(self, *exc: object) -> None:
        hub.unwatch_user(self._user_id, self._wake)

    async def changes(self, timeout_s: float) -> dict[int, int]:
        try:
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        except TimeoutError:
            return {}
        self._woken.clear()
        changes, self._changes = self._changes, {}
        return changes
