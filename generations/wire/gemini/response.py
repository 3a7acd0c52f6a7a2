"""Replies of the upstream, when the whole of them is here."""

from collections.abc import Mapping
from datetime import datetime

from generations.wire.document import Document, MalformedReply
from generations.wire.failure import read_failure
from generations.wire.gemini.assembly import Assembly
from generations.wire.gemini.stream import parse_stream
from generations.wire.reply import MAX_BODY_BYTES, ParsedReply, reply_of, reply_without
from generations.wire.sse import is_event_stream


def parse_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    now: datetime | None = None,
) -> ParsedReply:
    """Read any answer that an upstream may give, a stream of events too; never raises on what the answer holds.

    `now` is the moment from which a Retry-After date counts, the present one by default.
    """
    if not 200 <= status < 300:
        return reply_of(read_failure(status, headers, body, now))
    if len(body) > max_body_bytes:
        return reply_without("too_large", f"the reply has {len(body)} bytes")
    if is_event_stream(body):
        return parse_stream(headers, body, max_body_bytes=max_body_bytes, now=now)
    assembly = Assembly(headers, now)
    try:
        assembly.add(Document(body))
    except MalformedReply as problem:
        return reply_without("malformed", str(problem))
    return assembly.reply()
