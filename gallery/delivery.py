"""Bytes over HTTP: which stored file answers a wish, and the answer with its validators, ranges and safe headers."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date, quote_etag

from gallery import renditions, storage
from gallery.errors import PictureUnavailable
from gallery.imaging import MIME_TYPES, Format
from gallery.models import Image
from gallery.renditions import ORIGINAL, Wish

log = structlog.get_logger(__name__)

CHUNK_BYTES = 256 * 1024
PRIVATE = "private, max-age=300"
UNKEPT = "private, no-store"  # what is looked at for others
# What the answer depends on besides the address: a browser that changes hands must not show the last user's picture.
VARY = "Authorization, Cookie, x-goog-api-key"
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One kept file and how it is called outside. `digest` is the SHA-256 of its bytes in hex."""

    name: str
    digest: str
    mime_type: str
    modified_at: datetime
    download_name: str


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class UnsatisfiableRange(Exception):
    """A range that begins behind the end of the file."""


def find_file(image: Image, *, variant: str = ORIGINAL, format: Format | None = None) -> StoredFile:
    """The file for a wish: the original as it came, or a copy that is made now if need be.

    A size is WebP unless another format is asked for. A clip comes whole; its sizes and formats are those of its
    poster. Raises RenditionUnavailable or PictureUnavailable.
    """
    blob = image.blob
    base_name = f"plantain-{image.public_id.hex[:8]}"
    if variant == ORIGINAL and (format is None or MIME_TYPES[format] == blob.mime_type):
        return StoredFile(
            name=blob.storage_name,
            digest=blob.sha256,
            mime_type=blob.mime_type,
            modified_at=blob.created_at,
            download_name=f"{base_name}.{storage.EXTENSIONS[blob.mime_type]}",
        )
    rendition = renditions.get_rendition(blob, Wish(variant, format or "webp"))
    size = "" if variant == ORIGINAL else f"-{variant}"
    return StoredFile(
        name=rendition.storage_name,
        digest=rendition.sha256,
        mime_type=rendition.mime_type,
        modified_at=rendition.created_at,
        download_name=f"{base_name}{size}.{storage.EXTENSIONS[rendition.mime_type]}",
    )


def serve_file(
    request: HttpRequest, file: StoredFile, *, as_attachment: bool = False, cache_control: str = PRIVATE
) -> HttpResponseBase:
    """The file as GET or HEAD asks for it: whole, one range of it, 304, 412 or 416; read in pieces, never whole.

    With MEDIA_ACCEL_REDIRECT the body, its length and ranges are the web server's part. Raises PictureUnavailable.
    """
    byte_size = storage.size_of(file.name)
    if byte_size is None:
        log.error("file_missing", name=file.name)
        raise PictureUnavailable
    headers = _headers(file, as_attachment=as_attachment, cache_control=cache_control)
    whole = HttpResponse(headers=headers)
    modified_at = int(file.modified_at.timestamp())
    refusal = get_conditional_response(request, etag=headers["ETag"], last_modified=modified_at, response=whole)
    if refusal is not None and refusal is not whole:  # 304 or 412
        return refusal
    if settings.MEDIA_ACCEL_REDIRECT:
        whole.headers["X-Accel-Redirect"] = f"{settings.MEDIA_ACCEL_REDIRECT.rstrip('/')}/{file.name}"
        return whole
    if request.method == "HEAD":
        whole.headers["Content-Length"] = str(byte_size)
        return whole
    return _answer_get(request, file, headers, byte_size)


def serve_preview(content: bytes, *, made_at: datetime) -> HttpResponse:
    """A small WebP of our own making that is in no file, with the safe headers of all pictures; a whole, no ranges."""
    digest = hashlib.sha256(content).hexdigest()
    file = StoredFile(
        name="", digest=digest, mime_type=MIME_TYPES["webp"], modified_at=made_at, download_name="draft.webp"
    )
    headers = _headers(file, as_attachment=False, cache_control=PRIVATE)
    del headers["Accept-Ranges"]
    return HttpResponse(content, headers=headers)


def _headers(file: StoredFile, *, as_attachment: bool, cache_control: str) -> dict[str, str]:
    return {
        "Content-Type": file.mime_type,
        "Content-Disposition": content_disposition_header(as_attachment, file.download_name) or "",
        "Cache-Control": cache_control,
        "Vary": VARY,
        "ETag": quote_etag(file.digest),
        "Last-Modified": http_date(int(file.modified_at.timestamp())),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _answer_get(request: HttpRequest, file: StoredFile, headers: dict[str, str], byte_size: int) -> HttpResponseBase:
    try:
        wanted = _wanted_range(request, headers["ETag"], byte_size)
    except UnsatisfiableRange:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{byte_size}"})
    span = wanted or ByteRange(0, byte_size)
    headers["Content-Length"] = str(span.stop - span.start)
    if wanted:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{byte_size}"
    body = _Pieces(storage.open_stored(file.name), span)
    return StreamingHttpResponse(body, status=206 if wanted else 200, headers=headers)


def _wanted_range(request: HttpRequest, etag: str, byte_size: int) -> ByteRange | None:
    """The single range that is asked for. None for the whole file: no range, several, or one that makes no sense."""
    match = RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match[0] == "bytes=-" or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, byte_size - int(last)), byte_size
    else:
        start, stop = int(first), min(byte_size, int(last) + 1) if last else byte_size
        if last and int(last) < start:
            return None
    if start >= byte_size:
        raise UnsatisfiableRange
    return ByteRange(start, stop)


class _Pieces:
    """The bytes of a range in pieces; closes the file when the answer is closed, also one that was never read."""

    def __init__(self, file: BinaryIO, span: ByteRange) -> None:
        self._file = file
        self._span = span

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self._span.start)
        remaining = self._span.stop - self._span.start
        while remaining and (piece := self._file.read(min(CHUNK_BYTES, remaining))):
            remaining -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()
