"""Decoding in persistent child processes, so that a hostile picture can hurt only a process that owns nothing.

Each child has 1 GiB of address space, 10 s for a picture, and neither our environment nor our sockets. The files
are handed over by path. The owner has many threads and must never fork, so children are fresh interpreters
(`gallery.decode_worker`); they never import Django.
"""

import atexit
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from gallery.decode_worker import READY, decode, encode
from gallery.imaging import ImageRejected

P = ParamSpec("P")
T = TypeVar("T")

MEMORY_BYTES = 1024**3
TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
ATTEMPTS = 2  # a child may have been killed while idle, or by a kernel short of memory: a second one decides
MAX_REPLY_BYTES = 1024 * 1024
# Children get no secrets: only what an interpreter needs to find itself and its libraries.
PASSED_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
# glibc gives the pixels of a finished picture back to the system: an idle child stays below 40 MiB instead of 190.
ALLOCATOR_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(4 * 1024**2), "MALLOC_TRIM_THRESHOLD_": str(16 * 1024**2)}


class DecodePoolError(RuntimeError):
    """The pool itself failed: no child starts, or our own code broke. Not the picture's fault."""


class DecodePool:
    """Runs functions in up to `processes` children, started when first needed; safe for any number of threads."""

    def __init__(
        self, name: str, *, processes: int | None = None, niceness: int = 0, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = name
        self.processes = processes or os.cpu_count() or 1
        self._niceness = niceness
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._slots: queue.LifoQueue[_Child | None] | None = None
        self._children: set[_Child] = set()

    def configure(self, *, processes: int) -> None:
        """Set the number of children, before the first of them is started."""
        with self._lock:
            if self._slots is not None:
                raise DecodePoolError(f"The decode pool {self.name} is already running.")
            self.processes = processes

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a module-level function in a child; wait for a free one first.

        Raises what the function raises of ImageRejected and OSError. A picture that outlives the limit of time is
        "too_large", one that ends two children is "not_an_image"; the pool replaces them. Else DecodePoolError.
        """
        name = f"{function.__module__}:{function.__qualname__}"
        reply = self._exchange(encode({"function": name, "args": args, "kwargs": kwargs}))
        match reply:
            case {"result": result}:
                return result
            case {"rejected": [reason, detail]}:
                raise ImageRejected(reason, detail)
            case {"os_error": [number, message, filename]}:
                raise OSError(number, message, filename)
            case _:
                raise DecodePoolError(f"{name} failed in the decode pool {self.name}: {reply}")

    def close(self) -> None:
        """End all children, busy or not; a later run() starts new ones."""
        with self._lock:
            slots, children = self._slots, list(self._children)
        for child in children:
            child.kill()  # wakes whoever waits for its answer
        if slots is None:
            return
        emptied = 0
        with suppress(queue.Empty):
            while True:
                child_or_none = slots.get_nowait()
                emptied += 1
                if child_or_none is not None:
                    self._end(child_or_none)
        for _ in range(emptied):
            slots.put(None)

    def _started(self) -> "queue.LifoQueue[_Child | None]":
        with self._lock:
            if self._slots is None:
                # Last in, first out: a pool that has little to do keeps to one warm child and starts no other.
                self._slots = queue.LifoQueue()
                for _ in range(self.processes):
                    self._slots.put(None)
            return self._slots

    def _exchange(self, request: bytes) -> Any:
        slots = self._started()
        child = slots.get()
        try:
            for _ in range(ATTEMPTS):
                taken, child = child or self._start(), None
                reply = self._call(taken, request)
                if reply is not None:
                    child = taken
                    return decode(reply)
            raise ImageRejected("not_an_image", "The picture breaks its decoder.")
        finally:
            slots.put(child)

    def _call(self, child: "_Child", request: bytes) -> bytes | None:
        """The child's answer, or None when it died; a child that did not answer is ended."""
        reply = None
        try:
            reply = child.call(request, timeout_s=self._timeout_s)
        except TimeoutError:
            raise ImageRejected("too_large", "The picture takes too long to decode.") from None
        finally:
            if reply is None:
                self._end(child)
        return reply

    def _start(self) -> "_Child":
        try:
            child = _Child(niceness=self._niceness)
        except OSError as error:
            raise DecodePoolError(f"No process can be started for the decode pool {self.name}: {error}") from error
        with self._lock:
            self._children.add(child)
        try:
            child.wait_until_ready()
        except BaseException:
            self._end(child)
            raise
        return child

    def _end(self, child: "_Child") -> None:
        child.end()
        with self._lock:
            self._children.discard(child)


class _Child:
    """One decode process and our end of its channel."""

    def __init__(self, *, niceness: int) -> None:
        environment = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
        environment |= ALLOCATOR_ENVIRONMENT
        environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self._channel, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "gallery.decode_worker",
                    str(descriptor),
                    str(MEMORY_BYTES),
                    str(niceness),
                ],
                stdin=subprocess.PIPE,  # never written to: the child ends when it closes
                stdout=subprocess.DEVNULL,
                pass_fds=[descriptor],
                env=environment,
            )

    def wait_until_ready(self) -> None:
        """Raise DecodePoolError if it cannot start: no picture is to blame for a broken installation."""
        try:
            answer = self._read_line(time.monotonic() + START_TIMEOUT_S)
        except (TimeoutError, ConnectionError):
            answer = None
        if answer != READY:
            raise DecodePoolError("A decode process did not start; its own message is on standard error.")

    def call(self, request: bytes, *, timeout_s: float) -> bytes | None:
        """Send one request and return its answer, None when the child has died; raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        try:
            self._channel.settimeout(timeout_s)
            self._channel.sendall(request)
            return self._read_line(deadline)
        except ConnectionError:
            return None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()  # waits and closes the lifeline
        self._channel.close()

    def _read_line(self, deadline: float) -> bytes | None:
        received = bytearray()
        while not received.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or len(received) > MAX_REPLY_BYTES:
                raise TimeoutError
            self._channel.settimeout(remaining)
            piece = self._channel.recv(65_536)
            if not piece:
                return None
            received += piece
        return bytes(received)


# Two lanes: making small copies must never delay the verification of an original.
verifier = DecodePool("verifier")
renderer = DecodePool("renderer", processes=1, niceness=5)


@atexit.register
def close_all() -> None:
    """End the children of both lanes; they would end with this process in any case."""
    verifier.close()
    renderer.close()
