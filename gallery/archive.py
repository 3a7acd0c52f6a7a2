"""Several pictures as one ZIP file, made while it is sent: the original bytes, and beside each what is known of it."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator

import structlog
from django.http import StreamingHttpResponse
from django.utils import timezone

from gallery import storage
from gallery.models import Image

log = structlog.get_logger(__name__)

CHUNK_BYTES = 256 * 1024


class _Outbox(io.RawIOBase):
    """Where the ZIP is written: it is taken away piece by piece, and nobody can go back in it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def respond(images: Iterable[Image]) -> StreamingHttpResponse:
    """The ZIP of these pictures as an answer that no cache keeps."""
    return StreamingHttpResponse(
        stream(images),
        headers={
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="plantain-{timezone.now():%Y-%m-%d-%H%M}.zip"',
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def stream(images: Iterable[Image]) -> Iterator[bytes]:
    """The bytes of the ZIP, a few at a time; the images come with their blobs, and no query is made.

    A picture whose bytes cannot be read is told in its metadata: the headers are gone by then.
    """
    outbox = _Outbox()
    with zipfile.ZipFile(outbox, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for image in images:
            blob = image.blob
            moment = image.created_at.timetuple()[:6]
            stem = f"{image.created_at:%Y-%m-%d}-{image.public_id}"
            name = f"{stem}.{storage.EXTENSIONS[blob.mime_type]}"
            is_there = True
            try:
                file = storage.open_stored(blob.storage_name)
            except OSError as error:
                log.error("archive_without_picture", sha256=blob.sha256, error=repr(error))
                is_there = False
            else:
                entry = zipfile.ZipInfo(name, moment)
                with file, archive.open(entry, "w", force_zip64=True) as member:
                    while chunk := file.read(CHUNK_BYTES):
                        member.write(chunk)
                        yield outbox.take()
            entry = zipfile.ZipInfo(f"{stem}.json", moment)
            archive.writestr(
                entry, json.dumps(_metadata(image, name if is_there else None), ensure_ascii=False, indent=2)
            )
            yield outbox.take()
    yield outbox.take()


def _metadata(image: Image, name: str | None) -> dict[str, object]:
    blob = image.blob
    return {
        "id": str(image.public_id),
        "file": name,
        "problem": None if name else "The bytes of this picture could not be read.",
        "sha256": blob.sha256,
        "mime_type": blob.mime_type,
        "width": blob.width,
        "height": blob.height,
        "byte_size": blob.byte_size,
        "kind": image.kind,
        "title": image.title,
        "alt_text": image.alt_text,
        "prompt": image.prompt,
        "caption": image.caption,
        "model": image.model,
        "asked": {"aspect_ratio": image.aspect_ratio, "image_size": image.image_size},
        "honoured": {"aspect_ratio": image.honours_aspect_ratio, "image_size": image.honours_image_size},
        "generation": image.source_reference or None,
        "ai_generated": not image.is_upload,
        "created_at": image.created_at.isoformat().replace("+00:00", "Z"),
    }
