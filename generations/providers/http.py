"""One POST to an upstream: no redirect, no silent repetition, a total deadline, a byte cap, memory for a chunk."""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import NewConnectionError, ReadTimeoutError
from urllib3.util import Retry

from generations.providers.answer import Answer, durable_file, write_head
from generations.providers.base import ProviderError
from generations.providers.cutoff import CutoffAdapter, cut_off_after

CHUNK = 64 * 1024
CONNECT_TIMEOUT_S = 10.0
ERROR_BODY_BYTES = 64 * 1024
KEPT_HEADERS = ("x-request-id", "retry-after", "content-type")


def new_session(pool_size: int) -> requests.Session:
    session = requests.Session()
    # Only connects are repeated here: a POST that was sent may cost money, and each one is an Attempt row.
    retry = Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0)
    adapter = CutoffAdapter(pool_connections=4, pool_maxsize=pool_size, max_retries=retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = lambda request: request  # or requests would take credentials from a netrc file
    return session


def post_json(
    session: requests.Session,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    max_bytes: int,
    spool_path: Path,
    on_chunk: Callable[[bytes], None] | None = None,
) -> Answer:
    """POST `body`; a 200's body goes to `spool_path`. Raises ProviderError with the outcome of WIRE 5.

    `timeout_s` bounds the whole call: requests' own timeout counts anew with each read, so a slow drip would last.
    `on_chunk` is for an answer that is a stream, and sees its bytes as they come. Of a stream that breaks off, what has
    come is kept, as the picture may be in it; of any other body nothing is.
    """
    with cut_off_after(timeout_s):
        return _post(session, url, headers, body, timeout_s, max_bytes, spool_path, on_chunk)


def _post(
    session: requests.Session,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    timeout_s: float,
    max_bytes: int,
    spool_path: Path,
    on_chunk: Callable[[bytes], None] | None,
) -> Answer:
    started = time.monotonic()
    deadline = started + timeout_s

    def failure(outcome: str, detail: str) -> ProviderError:
        return ProviderError(outcome, detail, elapsed_ms=_ms_since(started))

    try:
        response = session.post(
            url,
            data=body,
            # identity: base64 of a picture hardly shrinks. close: an idle connection that the other side has dropped
            # would look like an answer that never came, which counts as paid.
            headers={**headers, "Accept-Encoding": "identity", "Connection": "close"},
            timeout=(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
            allow_redirects=False,
            stream=True,
        )
    except (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        raise failure("unavailable", type(error).__name__) from error
    except requests.ConnectionError as error:
        never_sent = isinstance(getattr(error.args[0], "reason", None), NewConnectionError) if error.args else False
        raise failure("unavailable" if never_sent else "unknown", _cause(error)) from error
    except requests.Timeout as error:
        raise failure("unknown", "read timeout") from error
    with response:
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        chunks = _chunks(response, deadline, max_bytes if response.status_code == 200 else ERROR_BODY_BYTES, failure)
        if response.status_code != 200:
            return Answer(
                status=response.status_code, headers=kept, elapsed_ms=_ms_since(started), body=_short_body(chunks)
            )
        is_stream = on_chunk is not None
        with durable_file(spool_path) as file:
            offset = write_head(file, status=200, headers=kept, is_stream=is_stream)
            is_broken = not _copy(chunks, file, on_chunk)
            if is_broken:
                file.seek(0)
                write_head(file, status=200, headers=kept, is_stream=is_stream, is_broken=True)
        return Answer(
            status=200,
            headers=kept,
            elapsed_ms=_ms_since(started),
            path=spool_path,
            offset=offset,
            is_stream=is_stream,
            is_broken=is_broken,
        )


def _copy(chunks: Iterator[bytes], file: BinaryIO, on_chunk: Callable[[bytes], None] | None) -> bool:
    """Whether the body came to its end; only a stream may fall short of it, else ProviderError is raised."""
    try:
        for chunk in chunks:
            file.write(chunk)
            if on_chunk:
                on_chunk(chunk)
    except ProviderError as error:
        if on_chunk is None or error.outcome != "unknown":
            raise
        return False
    return True


def _short_body(chunks: Iterator[bytes]) -> bytes:
    """The beginning of an error's body; that the rest is cut or missing does not change what the status says."""
    collected = bytearray()
    try:
        for chunk in chunks:
            collected += chunk
    except ProviderError:
        pass
    return bytes(collected)


def _chunks(
    response: requests.Response, deadline: float, max_bytes: int, failure: Callable[[str, str], ProviderError]
) -> Iterator[bytes]:
    """The body in pieces, decompressed under the same cap if the upstream compresses although it was told not to."""
    inflate = _inflater(response.headers.get("Content-Encoding", "identity").lower(), failure)
    received = 0
    while True:
        if time.monotonic() >= deadline:
            raise failure("unknown", "the answer did not end before the deadline")
        try:
            # read1 returns what one receive brought: read(n) would wait for n bytes while an upstream drips.
            raw = response.raw.read1(CHUNK, decode_content=False)
        except ReadTimeoutError as error:
            raise failure("unknown", "read timeout in the body") from error
        except (Urllib3Error, OSError) as error:
            raise failure("unknown", f"the connection broke in the body: {type(error).__name__}") from error
        if not raw:
            if time.monotonic() >= deadline:  # cut off, which looks like the end of a body without a length
                raise failure("unknown", "the answer did not end before the deadline")
            return
        for chunk in inflate(raw):
            received += len(chunk)
            if received > max_bytes:
                raise failure("too_large", f"the answer is longer than {max_bytes} bytes")
            yield chunk


def _inflater(encoding: str, failure: Callable[[str, str], ProviderError]) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in ("", "identity"):
        return lambda raw: iter((raw,))
    if encoding not in ("gzip", "deflate"):
        raise failure("malformed", f"unexpected Content-Encoding {encoding[:20]!r}")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def inflate(raw: bytes) -> Iterator[bytes]:
        nonlocal decoder
        pending = raw
        while pending:
            if decoder.eof:  # gzip may be several members in a row
                decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                chunk = decoder.decompress(pending, CHUNK)  # bounded: a gzip bomb is met by the cap, not by memory
            except zlib.error as error:
                raise failure("malformed", "the compressed body cannot be read") from error
            pending = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if chunk:
                yield chunk

    return inflate


def _cause(error: BaseException) -> str:
    inner = error.args[0] if error.args else error
    return f"{type(error).__name__}: {type(getattr(inner, 'reason', inner)).__name__}"


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
