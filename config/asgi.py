"""The web process: a router between Django's two faces, and the life of the worker lanes.

Synchronous views cost a third of the CPU behind WSGI; what waits (event streams, `Prefer: wait`) costs no thread
behind ASGI.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_asgi = get_asgi_application()

from a2wsgi import WSGIMiddleware  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

from config import process  # noqa: E402

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

WSGI_THREADS = 40
EVENT_STREAM = re.compile(r"^(/api/v1/generations/[0-9a-f-]+/events/?|/studio/events/)$")

django_wsgi = WSGIMiddleware(get_wsgi_application(), workers=WSGI_THREADS)  # type: ignore[arg-type]


def waits(scope: Scope) -> bool:
    """Whether answering may take as long as a picture does."""
    return bool(EVENT_STREAM.match(scope["path"])) or any(name == b"prefer" for name, _ in scope["headers"])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "http":
        await (django_asgi if waits(scope) else django_wsgi)(scope, receive, send)  # type: ignore[arg-type]


async def live(receive: Receive, send: Send) -> None:
    """Start the lanes with the server; when it ends, let what is being painted be finished."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            process.start_web()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await asyncio.to_thread(process.drain)
            await send({"type": "lifespan.shutdown.complete"})
            return
