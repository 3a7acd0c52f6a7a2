"""Bytes over HTTP: which stored file answers a wish, and the answer with its validators, ranges and safe headers."""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date, quote_etag

from gallery import renditions, signing, storage
from gallery.errors import PictureUnavailable
from gallery.imaging import MIME_TYPES, Format
from gallery.models import Image
from gallery.names import mime_type_of
from gallery.renditions import ORIGINAL, Wish
from gallery.signing import Grant
from gallery.storage import Kept

log = structlog.get_logger(__name__)

CHUNK_BYTES = 256 * 1024
PRIVATE = "private, max-age=300"
SIGNED_S = 300
MARGIN_S = 60  # an address that a browser has kept is still good when it is used
RETRY_S = 10
UNKEPT = "private, no-store"  # what is looked at for others
# A browser keeps it for good; caches that many share ask again after a minute, so that what is withdrawn ends there.
PUBLIC = "public, max-age=31536000, s-maxage=60, immutable"
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
    request: HttpRequest,
    file: StoredFile,
    *,
    as_attachment: bool = False,
    cache_control: str = PRIVATE,
    audience: str = "",
) -> HttpResponseBase:
    """The file as GET or HEAD asks for it: whole, one range of it, 304, 412 or 416; read in pieces, never whole.

    A private file in a bucket is fetched there: 302 to an address that is signed for SIGNED_S seconds; with
    SIGNED_ADDRESSES that of a file too, for `audience`. With MEDIA_ACCEL_REDIRECT the body, its length and ranges are
    the web server's part. Raises PictureUnavailable.
    """
    kept = _find_kept(file)
    headers = _headers(file, as_attachment=as_attachment, cache_control=cache_control)
    whole = HttpResponse(headers=headers)
    modified_at = int(file.modified_at.timestamp())
    refusal = get_conditional_response(request, etag=headers["ETag"], last_modified=modified_at, response=whole)
    if refusal is not None and refusal is not whole:  # 304 or 412
        return refusal
    if request.method == "GET" and cache_control == PRIVATE:
        grant = _grant(file, as_attachment=as_attachment)
        if address := _signed_address(request, kept, headers, grant, audience=audience):
            return HttpResponse(
                status=302,
                headers={"Location": address, "Cache-Control": f"private, max-age={SIGNED_S - MARGIN_S}", "Vary": VARY},
            )
    # What caches may keep is sent whole: nginx would keep nothing of an answer that only names a file.
    if settings.MEDIA_ACCEL_REDIRECT and kept.store.is_local and cache_control != PUBLIC:
        whole.headers["X-Accel-Redirect"] = f"{settings.MEDIA_ACCEL_REDIRECT.rstrip('/')}/{file.name}"
        return whole
    if request.method == "HEAD":
        whole.headers["Content-Length"] = str(kept.byte_size)
        return whole
    return _answer_get(request, kept, headers)


def _find_kept(file: StoredFile) -> Kept:
    try:
        kept = storage.find(file.name)
    except OSError as error:
        raise _unavailable(file.name, error) from error
    if kept is None:
        log.error("file_missing", name=file.name)
        raise PictureUnavailable
    return kept


def _unavailable(name: str, error: OSError) -> PictureUnavailable:
    log.error("storage_away", name=name, error=repr(error))
    return PictureUnavailable(retry_after=RETRY_S)


def serve_signed(request: HttpRequest, grant: Grant) -> HttpResponseBase:
    """The file that a signed address gives. Raises PictureUnavailable."""
    file = StoredFile(
        name=grant.name,
        digest=grant.digest,
        mime_type=mime_type_of(grant.name),
        # Of no use as a validator here, where the ETag is one: bytes of one digest never change.
        modified_at=datetime.fromtimestamp(grant.expires_at - SIGNED_S, UTC),
        download_name=grant.download_name,
    )
    return serve_file(request, file, as_attachment=grant.as_attachment)


def _grant(file: StoredFile, *, as_attachment: bool) -> Grant:
    return Grant(
        name=file.name,
        digest=file.digest,
        download_name=file.download_name,
        as_attachment=as_attachment,
        expires_at=int(time.time()) + SIGNED_S,
    )


def _signed_address(
    request: HttpRequest, kept: Kept, headers: dict[str, str], grant: Grant, *, audience: str
) -> str | None:
    if kept.store.is_local and audience:
        match settings.SIGNED_ADDRESSES:
            case "django":
                return signing.sign(grant, audience=audience)
            case "nginx":
                return signing.sign_for_nginx(grant, credentials=signing.credentials_of(request.headers))
    return kept.store.signed_address(
        kept.name,
        mime_type=headers["Content-Type"],
        disposition=headers["Content-Disposition"],
        cache_control=headers["Cache-Control"],
        lifetime_s=SIGNED_S,
    )


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
        **({} if cache_control == PUBLIC else {"Vary": VARY}),
        "ETag": quote_etag(file.digest),
        "Last-Modified": http_date(int(file.modified_at.timestamp())),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        # A CDN has an origin of its own; what is public may be shown on any page.
        "Cross-Origin-Resource-Policy": "cross-origin" if cache_control == PUBLIC else "same-origin",
    }


def _answer_get(request: HttpRequest, kept: Kept, headers: dict[str, str]) -> HttpResponseBase:
    try:
        wanted = _wanted_range(request, headers["ETag"], kept.byte_size)
    except UnsatisfiableRange:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{kept.byte_size}"})
    span = wanted or ByteRange(0, kept.byte_size)
    headers["Content-Length"] = str(span.stop - span.start)
    if wanted:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{kept.byte_size}"
    try:
        body = _Pieces(kept.store.open(kept.name, start=span.start, stop=span.stop), span)
    except OSError as error:
        raise _unavailable(kept.name, error) from error
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
    """The bytes of a range in pieces, of a file that stands at its start; closes it with the answer, read or not."""

    def __init__(self, file: BinaryIO, span: ByteRange) -> None:
        self._file = file
        self._length = span.stop - span.start

    def __iter__(self) -> Iterator[bytes]:
        remaining = self._length
        while remaining and (piece := self._file.read(min(CHUNK_BYTES, remaining))):
            remaining -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()
