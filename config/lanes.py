"""Where tasks run: on Celery when a broker is set, otherwise on lanes of threads inside this process.

A message is only a wake-up that carries an id. A process that has not started its lanes (a shell, a WSGI server)
drops it, and the sweeper of a process that has finds the row in the database. Imports no app.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from celery import Task
from django.conf import settings
from django.db import close_old_connections, connections

log = structlog.get_logger(__name__)


class Lane:
    """Up to `size` daemon threads, started when there is work; daemon, so that a hung call cannot hold up an exit."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._waiting: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], *, is_wake_up: bool = False) -> None:
        with self._changed:
            if self._closed or (is_wake_up and len(self._waiting) >= self.size):
                return
            self._waiting.append((function, args))
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self.size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"lane-{self.name}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if self._closed:
                    self._threads -= 1
                    self._changed.notify_all()
                    return
                function, args = self._waiting.popleft()
            try:
                close_old_connections()
                function(*args)
            except Exception:
                log.exception("task_failed", lane=self.name, task=getattr(function, "__name__", ""))
            finally:
                connections.close_all()

    def drain(self, timeout_s: float) -> bool:
        """Take nothing more, and wait for what is running; True when all threads have ended in time."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._threads == 0, timeout_s)


class Lanes:
    """The lanes of this process, and one timer thread for wake-ups that are due later."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._timers: list[tuple[float, int, str, Callable[..., Any], tuple[Any, ...], bool]] = []
        self._order = itertools.count()
        self._due = threading.Condition()
        self.is_running = False

    def start(self, sizes: dict[str, int]) -> None:
        if self.is_running:
            return
        self._lanes = {name: Lane(name, size) for name, size in sizes.items()}
        self.is_running = True
        threading.Thread(target=self._tick, name="lane-timer", daemon=True).start()

    def submit(
        self,
        lane: str,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        delay_s: float = 0.0,
        is_wake_up: bool = False,
    ) -> None:
        """Call the function in the lane, if it runs here. Wake-ups are all alike: no more wait than there are threads,
        so that a long queue is not sent again and again; each of those finds whatever was written before."""
        if not self.is_running or lane not in self._lanes:
            return
        if delay_s <= 0:
            self._lanes[lane].submit(function, args, is_wake_up=is_wake_up)
            return
        with self._due:
            due = time.monotonic() + delay_s
            heapq.heappush(self._timers, (due, next(self._order), lane, function, args, is_wake_up))
            self._due.notify()

    def _tick(self) -> None:
        while self.is_running:
            with self._due:
                now = time.monotonic()
                while self._timers and self._timers[0][0] <= now:
                    _, _, lane, function, args, is_wake_up = heapq.heappop(self._timers)
                    self._lanes[lane].submit(function, args, is_wake_up=is_wake_up)
                self._due.wait(self._timers[0][0] - now if self._timers else 1.0)

    def drain(self, timeout_s: float) -> bool:
        """End all lanes; True when every running task ended within `timeout_s` seconds."""
        self.is_running = False
        deadline = time.monotonic() + timeout_s
        # Every lane must be told to stop before the first one is waited for.
        for lane in self._lanes.values():
            lane.drain(0)
        return all(lane.drain(max(0.0, deadline - time.monotonic())) for lane in self._lanes.values())


lanes = Lanes()


class LaneTask(Task):
    """The base of every task: `lane` names its pool of threads here and its queue on a broker.

    `is_wake_up`: each of its messages says the same, that there is work.
    """

    abstract = True
    lane = "generations"
    is_wake_up = False

    def apply_async(self, args: Any = None, kwargs: Any = None, countdown: float | None = None, **options: Any) -> Any:
        if settings.CELERY_BROKER_URL:
            return super().apply_async(args, kwargs, countdown=countdown, queue=self.lane, **options)
        lanes.submit(self.lane, self.run, tuple(args or ()), delay_s=countdown or 0.0, is_wake_up=self.is_wake_up)
        return None
