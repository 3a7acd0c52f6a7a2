"""Answers that wait for a generation: `Prefer: wait=N`, and the event stream.

The synchronous view does all the work and the checks; these wrappers run it in a thread and then wait without one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.response import Response

from generations.api.bodies import generation_body
from generations.events import AsyncWatch, hub
from generations.models import Generation

MAX_WAIT_S = 60
HEARTBEAT_S = 15.0
PROGRESS_S = 2.0

SyncView = Callable[..., HttpResponseBase]
AsyncView = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def preferred_wait_s(header: str) -> int:
    """The seconds of `Prefer: wait=N` (RFC 7240), at most 60; 0 when there is none or it is not a number."""
    for preference in header.split(","):
        name, _, value = preference.strip().partition("=")
        if name.strip().lower() == "wait" and value.strip(' "').isdigit():
            return min(int(value.strip(' "')), MAX_WAIT_S)
    return 0


def waits_when_asked(view: SyncView) -> AsyncView:
    """A view of the same answers, whose 202 becomes a 200 when the generation ends within `Prefer: wait=N`."""

    @wraps(view)  # with its attributes: the exemption from CSRF, and the class from which OpenAPI is made
    async def waiting_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = await sync_to_async(view)(request, *args, **kwargs)
        wait_s = preferred_wait_s(request.headers.get("Prefer", ""))
        if not wait_s or response.status_code != 202 or not isinstance(response, Response):
            return response
        response["Preference-Applied"] = f"wait={wait_s}"
        body = await _wait_for_end(response.data["id"], request, wait_s)
        return await sync_to_async(_with_body)(response, body, 200 if body["finished_at"] else 202)

    return waiting_view


async def _wait_for_end(public_id: str, request: HttpRequest, wait_s: float) -> dict[str, Any]:
    """The generation as it is when it has ended, or when the time is up."""
    deadline = time.monotonic() + wait_s
    pk = await Generation.objects.values_list("pk", flat=True).aget(public_id=public_id)
    with AsyncWatch(pk) as watch:
        while True:
            body = await sync_to_async(_read_body)(pk, request)
            remaining_s = deadline - time.monotonic()
            if body["finished_at"] is not None or remaining_s <= 0 or hub.is_closing:
                return body
            await watch.wait(remaining_s)


def _with_body(response: Response, body: dict[str, Any], status: int) -> Response:
    finished = Response(body, status=status, headers=dict(response.items()))
    for name in ("accepted_renderer", "accepted_media_type", "renderer_context"):
        setattr(finished, name, getattr(response, name))
    return finished.render()


def _read_body(pk: int, request: HttpRequest) -> dict[str, Any]:
    try:
        return generation_body(Generation.objects.for_api().get(pk=pk), request)
    finally:
        connections.close_all()  # a waiter must not keep a connection for as long as it waits


def streams_events(view: SyncView) -> AsyncView:
    """A view that checks as `view` does and then answers with server-sent events instead of its body."""

    @wraps(view)
    async def stream_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = await sync_to_async(view)(request, *args, **kwargs)
        if response.status_code != 200 or not isinstance(response, Response):
            return response
        pk = await Generation.objects.values_list("pk", flat=True).aget(public_id=response.data["id"])
        last_seen = request.headers.get("Last-Event-ID", "")
        stream = StreamingHttpResponse(
            _events(pk, request, int(last_seen) if last_seen.isdigit() else 0),
            content_type="text/event-stream; charset=utf-8",
        )
        stream["Cache-Control"] = "no-store"
        stream["X-Accel-Buffering"] = "no"
        return stream

    return stream_view


async def _events(pk: int, request: HttpRequest, last_seen: int) -> AsyncIterator[bytes]:
    """Every change after version `last_seen`, progress while it is painted, a comment when nothing happens."""
    sent_at = time.monotonic()
    status = ""
    with AsyncWatch(pk) as watch:
        while not hub.is_closing:
            body = await sync_to_async(_read_body)(pk, request)
            if body["version"] > last_seen:
                for event in _encode(body, last_seen, previous_status=status):
                    yield event
                last_seen, status, sent_at = body["version"], body["status"], time.monotonic()
            elif body["status"] == "running" and time.monotonic() - sent_at >= PROGRESS_S:
                yield _event("progress", body["version"], body)
                sent_at = time.monotonic()
            if body["finished_at"] is not None:
                return
            pause_s = PROGRESS_S if body["status"] == "running" else HEARTBEAT_S
            if not await watch.wait(pause_s) and time.monotonic() - sent_at >= HEARTBEAT_S:
                yield b": still here\n\n"
                sent_at = time.monotonic()
            await asyncio.sleep(0)


def _encode(body: dict[str, Any], last_seen: int, *, previous_status: str) -> list[bytes]:
    status, version = body["status"], body["version"]
    if status == "running":
        return [_event("progress" if previous_status == "running" else "running", version, body)]
    if status == "succeeded" and last_seen < version - 1:
        # Settling raises the version by two, so that a client that saw only the picture is told the end as well.
        return [_event("output", version - 1, body), _event("succeeded", version, body)]
    return [_event(status, version, body)]


def _event(name: str, version: int, body: dict[str, Any]) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (version, name.encode(), orjson.dumps(body))
