"""A queue for SQLite's one write lock: SQLite itself has none, and its slowest writer of 64 waited 7 to 21 seconds.

A gate is advisory. Whoever writes without it (another program, a lock file that somebody deleted) is still kept
apart by SQLite's own lock and only loses the place in the queue.
"""

import fcntl
import os
import threading
import time
from collections import deque

# Processes look for their turn at intervals, because flock cannot wait with a timeout. Only the one at the head of
# the queue looks often.
HEAD_POLL_S = 0.0003
QUEUE_POLL_S = 0.002


class FairLock:
    """A lock that threads are given in the order in which they asked; any thread may release it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_held = False

    def acquire(self, timeout_s: float) -> bool:
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        try:
            if turn.acquire(timeout=timeout_s):
                return True
        except BaseException:
            if not self._give_up(turn):
                self.release()
            raise
        return not self._give_up(turn)

    def _give_up(self, turn: threading.Lock) -> bool:
        """Leave the queue; False when the lock was handed to this turn in the meantime."""
        with self._mutex:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True

    def release(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False


class FileLock:
    """flock on a file: the kernel frees it with its process, however that process ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, deadline: float, poll_s: float) -> bool:
        """True once it is ours; False when `deadline` (monotonic seconds) passes first."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
            time.sleep(poll_s)

    def release(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def forget(self) -> None:
        """Close the file without unlocking it: after a fork the lock is still the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class WriteGate:
    """Lets one holder at a time through; `path` is the database's file, None for a database in memory."""

    def __init__(self, path: str | None) -> None:
        self._threads = FairLock()
        self._holder: object | None = None
        # Two files, a turnstile: the process at its head waits for the gate and keeps the others out of its way, so
        # that a busy process which has just left the gate cannot take it again before those that were waiting.
        self._queue = FileLock(f"{path}-queue") if path else None
        self._gate = FileLock(f"{path}-gate") if path else None

    def is_held_by(self, holder: object) -> bool:
        return self._holder is holder

    def enter(self, holder: object, timeout_s: float) -> bool:
        """True once `holder` is through; False when `timeout_s` passes first."""
        deadline = time.monotonic() + timeout_s
        if not self._threads.acquire(timeout_s):
            return False
        is_through = False
        try:
            is_through = self._pass_turnstile(deadline)
        finally:
            if is_through:
                self._holder = holder
            else:
                self._threads.release()
        return is_through

    def _pass_turnstile(self, deadline: float) -> bool:
        if self._queue is None or self._gate is None:
            return True
        if not self._queue.acquire(deadline, QUEUE_POLL_S):
            return False
        try:
            return self._gate.acquire(deadline, HEAD_POLL_S)
        finally:
            self._queue.release()

    def leave(self, holder: object) -> None:
        """Let the next one in; nothing happens when `holder` does not hold the gate."""
        if self._holder is not holder:
            return
        self._holder = None
        if self._gate is not None:
            self._gate.release()
        self._threads.release()

    def forget(self) -> None:
        """Start anew in a forked child: its threads are gone and its files are shared with the parent."""
        self._threads = FairLock()
        self._holder = None
        for lock in (self._queue, self._gate):
            if lock is not None:
                lock.forget()


_gates: dict[str, WriteGate] = {}
_gates_mutex = threading.Lock()


def gate_of(path: str) -> WriteGate:
    """The one gate of this process for the database file at `path`."""
    with _gates_mutex:
        return _gates.setdefault(path, WriteGate(path))


def gate_of_memory(name: str) -> WriteGate:
    """The one gate of this process for a shared in-memory database."""
    with _gates_mutex:
        return _gates.setdefault(name, WriteGate(None))


def _forget_after_fork() -> None:
    global _gates_mutex
    _gates_mutex = threading.Lock()
    for gate in _gates.values():
        gate.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
