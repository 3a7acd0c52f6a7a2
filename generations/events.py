"""Tells waiters of this process (SSE, Prefer: wait, commands) that a generation has changed.

One poller per process reads the versions of the watched rows twice a second; a change made in this process wakes its
waiters at once. A wake-up is only a hint to read the row again, so a lost one costs half a second, never correctness.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable

import structlog
from django.db import connection

from generations.models import Generation

log = structlog.get_logger(__name__)

POLL_S = 0.5


class Hub:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: dict[int, set[Callable[[], None]]] = defaultdict(set)
        self._versions: dict[int, int] = {}
        self._poller: threading.Thread | None = None
        self._pause = threading.Event()
        self.is_closing = False

    def watch(self, generation_id: int, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers[generation_id].add(waker)
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name="event-poller", daemon=True)
                self._poller.start()

    def unwatch(self, generation_id: int, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers[generation_id].discard(waker)
            if not self._wakers[generation_id]:
                del self._wakers[generation_id]
                self._versions.pop(generation_id, None)

    def wake(self, generation_id: int) -> None:
        with self._lock:
            wakers = list(self._wakers.get(generation_id, ()))
        for waker in wakers:
            waker()

    def close(self) -> None:
        """Wake everybody for the last time: the process is going to end."""
        self.is_closing = True
        for generation_id in list(self._wakers):
            self.wake(generation_id)

    def _poll(self) -> None:
        while not self._pause.wait(POLL_S):
            with self._lock:
                watched = list(self._wakers)
                if not watched:
                    self._poller = None  # inside the lock: the next watch starts a new poller
                    break
            try:
                self._compare(watched)
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


hub = Hub()


def publish(generation_id: int) -> None:
    """Say that a generation has changed; called after the commit."""
    hub.wake(generation_id)


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
