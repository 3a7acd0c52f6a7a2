"""The server: a thread that listens on a free port of the loopback, a thread for each connection."""

import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

POLL_S = 0.01
PATIENCE_S = 10.0


class Hang:
    """A step of a body: nothing more comes until the client leaves."""


class Cut:
    """A step of a body: the connection is closed in the ordinary way."""


class Reset:
    """A step of a body: the connection is reset."""


@dataclass(frozen=True)
class Pause:
    """A step of a body: wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Repeat:
    """A step of a body: the same block so many times."""

    block: bytes
    times: int


Step = bytes | Pause | Repeat | Hang | Cut | Reset | threading.Event


@dataclass(frozen=True)
class Answer:
    """What a test scripts: status, headers, and the body in steps; a threading.Event waits until the test sets it.

    The Content-Length is the true one where the steps are bytes only, else the body is chunked; `length` is a claim.
    With status None nothing is sent before the steps.
    """

    status: int | None = 200
    body: bytes | tuple[Step, ...] = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = "application/json"
    length: int | None = None
    before: tuple[Step, ...] = ()  # what happens before the status line

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.body,) if isinstance(self.body, bytes) else self.body

    @property
    def content(self) -> bytes:
        """The bytes of the body, however they are sent."""
        return b"".join(
            step if isinstance(step, bytes) else step.block * step.times
            for step in self.steps
            if isinstance(step, bytes | Repeat)
        )

    def with_headers(self, **headers: str) -> "Answer":
        """`retry_after="3"` adds Retry-After: 3."""
        added = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return replace(self, headers=(*self.headers, *added))

    def with_status(self, status: int) -> "Answer":
        return replace(self, status=status)

    def held(self, event: threading.Event) -> "Answer":
        """The same, once the test has set the event."""
        return replace(self, before=(*self.before, event))

    def late(self, seconds: float) -> "Answer":
        """The same, so many seconds later."""
        return replace(self, before=(*self.before, Pause(seconds)))

    def cut(self, at: int | None = None, *, by: Cut | Reset | None = None) -> "Answer":
        """The whole length is promised, but the connection ends after so many bytes (half of them)."""
        content = self.content
        at = len(content) // 2 if at is None else at
        return replace(self, body=(content[:at], by or Cut()), length=len(content))

    def dripped(self, *, size: int, pause_s: float) -> "Answer":
        """The same, slowly."""
        steps: list[Step] = []
        for start in range(0, len(self.content), size):
            steps += [self.content[start : start + size], Pause(pause_s)]
        return replace(self, body=tuple(steps), length=len(self.content))

    def claiming(self, length: int) -> "Answer":
        """The same with another Content-Length."""
        return replace(self, length=length)


Script = Answer | Callable[["Request"], Answer]


@dataclass
class Request:
    """A request as it arrived; header names are lower case. `left` says that the client went before the end."""

    number: int
    connection: int
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    arrived: float
    left: bool = False
    answered: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def protocol(self) -> str:
        """native, chat, images or other."""
        if self.path.endswith("/chat/completions"):
            return "chat"
        if "/images/" in self.path:
            return "images"
        return "native" if ":" in self.path.rpartition("/")[2] else "other"


@dataclass
class Upstream:
    """A running upstream; see Answer for what it can say."""

    port: int
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _routes: list[tuple[Callable[[Request], bool], deque[Script]]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def native_url(self) -> str:
        """For WISDOM_GATE_NATIVE_URL."""
        return f"{self.url}/v1beta"

    @property
    def chat_url(self) -> str:
        """For WISDOM_GATE_CHAT_URL."""
        return f"{self.url}/v1"

    def answers(self, *script: Script) -> "Upstream":
        """Say these, one for each request; the last one for all that follow. Replaces every earlier script."""
        with self._changed:
            self._routes = [(lambda request: True, deque(script))]
        return self

    def answers_to(self, protocol: str, *script: Script) -> "Upstream":
        """The same for the requests of one protocol (native, chat, images, other)."""
        return self.answers_when(lambda request: request.protocol == protocol, *script)

    def answers_when(self, condition: Callable[[Request], bool], *script: Script) -> "Upstream":
        """The same for the requests of which a condition holds; the newest script is asked first."""
        with self._changed:
            self._routes.insert(0, (condition, deque(script)))
        return self

    def wait_for(self, count: int) -> list[Request]:
        """The first requests, once so many have arrived."""
        return self._wait(lambda: len(self.requests) >= count, f"{count} requests")[:count]

    def wait_until_idle(self) -> None:
        """Return when nothing is in flight."""
        self._wait(lambda: self.in_flight == 0, "the end of all answers")

    def by_protocol(self, protocol: str) -> list[Request]:
        return [request for request in self.requests if request.protocol == protocol]

    def _wait(self, condition: Callable[[], bool], what: str) -> list[Request]:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), f"no {what} within {PATIENCE_S:g} s"
            return list(self.requests)

    def _connect(self) -> int:
        with self._changed:
            self.connections += 1
            return self.connections

    def _begin(self, request: Request) -> Answer:
        with self._changed:
            request.number = len(self.requests) + 1
            self.requests.append(request)
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            script = next((script for condition, script in self._routes if condition(request)), deque())
            entry = script.popleft() if len(script) > 1 else script[0] if script else UNSCRIPTED
            self._changed.notify_all()
        return entry if isinstance(entry, Answer) else entry(request)

    def _end(self) -> None:
        with self._changed:
            self.in_flight -= 1
            self._changed.notify_all()


UNSCRIPTED = Answer(501, b"the test has scripted no answer", content_type="text/plain")


class Gone(Exception):
    """The client, or the server, has left."""


class Handler(BaseHTTPRequestHandler):
    """Reads a request exactly, keeps it, and does the steps of the scripted answer."""

    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def setup(self) -> None:
        super().setup()
        self.number = self.upstream._connect()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        request = Request(
            number=0,
            connection=self.number,
            method=self.command,
            path=address.path,
            query=parse_qs(address.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._read_body(),
            arrived=time.monotonic(),
        )
        try:
            self._perform(self.upstream._begin(request), request)
            request.answered = True
        except Ended:
            request.answered = True
        except (Gone, ConnectionError):
            request.left = True
            self.close_connection = True
        finally:
            self.upstream._end()

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _perform(self, answer: Answer, request: Request) -> None:
        for step in answer.before:
            self._do(step, chunked=False)
        plain = all(isinstance(step, bytes | Repeat) for step in answer.steps)
        true_length = sum(len(s) if isinstance(s, bytes) else len(s.block) * s.times for s in answer.steps if plain)
        length = true_length if plain and answer.length is None else answer.length
        chunked = length is None and answer.status is not None
        if answer.status is not None:
            self.send_response_only(answer.status)
            if answer.content_type:
                self.send_header("Content-Type", answer.content_type)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(length))))
            self.end_headers()
        for step in answer.steps:
            self._do(step, chunked=chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        if answer.length is not None and answer.length != true_length:
            self.close_connection = True  # what follows on this connection would be read wrongly

    def _do(self, step: Step, *, chunked: bool) -> None:
        match step:
            case bytes():
                self._write(step, chunked=chunked)
            case Repeat(block, times):
                for _ in range(times):
                    self._write(block, chunked=chunked)
            case Pause(seconds):
                self._wait_until(time.monotonic() + seconds, None)
            case threading.Event():
                self._wait_until(None, step)
            case Hang():
                self._wait_until(None, None)
            case Cut() | Reset():
                self._end_connection(reset=isinstance(step, Reset))

    def _write(self, block: bytes, *, chunked: bool) -> None:
        if block:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)

    def _wait_until(self, end: float | None, event: threading.Event | None) -> None:
        """Wait, but not for a client that has left, and not beyond the end of the test."""
        while (end is None or time.monotonic() < end) and not (event and event.is_set()):
            readable, _, _ = select.select([self.connection], [], [], POLL_S)
            if self.upstream.stopped.is_set() or (readable and not self.connection.recv(1, socket.MSG_PEEK)):
                raise Gone
            if readable:  # the next request is already there: do not spin
                time.sleep(POLL_S)

    def _end_connection(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:  # at the close that follows
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.abandoned.add(self.connection)  # type: ignore[attr-defined]
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        raise Ended


class Ended(Exception):
    """The scripted end of a connection."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.abandoned: set[socket.socket] = set()

    def shutdown_request(self, request: Any) -> None:
        if request in self.abandoned:  # a shutdown would say goodbye before the reset
            self.abandoned.discard(request)
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that leave are part of the tests


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """An upstream of its own for as long as the block lasts."""
    handler = type("BoundHandler", (Handler,), {})
    server = Server(("127.0.0.1", 0), handler)
    upstream = handler.upstream = Upstream(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        upstream.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_S)


def refused_url() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
