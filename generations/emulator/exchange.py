"""One HTTP request and its answer, with what ASGI has no words for: hanging up."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from generations.emulator.answers import JSON_TYPE, Reply

Message = MutableMapping[str, Any]
Headers = tuple[tuple[str, str], ...]
HANG_UP = "emulator.hang_up"


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; it lets the application close the connection without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"close": self.transport.close}}


class Exchange:
    """A request that is being answered; arrived is the event loop's time."""

    def __init__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.arrived = asyncio.get_running_loop().time()
        self.request_id = secrets.token_hex(16)
        self._scope, self._receive, self._send = scope, receive, send
        self._departure: asyncio.Task[None] | None = None

    async def read_body(self, limit: int) -> bytes | None:
        """The body, or None when it is larger than so many bytes (it is read to its end all the same)."""
        blocks, length = [], 0
        while True:
            message = await self._receive()
            block = message.get("body", b"")
            length += len(block)
            if length <= limit:
                blocks.append(block)
            if not message.get("more_body"):
                break
        self._departure = asyncio.create_task(self._watch())
        return b"".join(blocks) if length <= limit else None

    async def client_left(self, within_s: float | None = None) -> bool:
        """Wait until the client has gone; False when it has not after so many seconds."""
        if self._departure is None:
            return False
        await asyncio.wait({self._departure}, timeout=within_s)
        return self._departure.done()

    async def start(
        self, status: int, content_type: str = JSON_TYPE, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Send the status line and the headers."""
        named = (("content-type", content_type), ("x-request-id", self.request_id), *headers)
        encoded = [(name.encode(), value.encode()) for name, value in named]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, block: bytes, *, last: bool = False) -> None:
        """Send a piece of the body; waits while the client reads slowly."""
        await self._send({"type": "http.response.body", "body": block, "more_body": not last})

    async def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        await self.start(reply.status, reply.content_type, (("content-length", str(reply.length)), *reply.headers))
        for block in reply.blocks():
            await self.write(block)
        await self.write(b"", last=True)

    async def hang_up(self) -> None:
        """Close the connection after what was sent, and wait until it is closed."""
        self._scope["extensions"][HANG_UP]["close"]()
        await self.client_left()

    def end(self) -> None:
        """Stop watching the client."""
        if self._departure is not None:
            self._departure.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
