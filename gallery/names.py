"""How kept files are called: by the SHA-256 of the original, so that its copies are found beside each other."""

import hashlib
from pathlib import Path
from typing import BinaryIO

from gallery.clip_containers import ClipFormat
from gallery.imaging import Format

ORIGINALS = "originals"
RENDITIONS = "renditions"
CHUNK_BYTES = 1024 * 1024
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
}
MIME_TYPES = {extension: mime_type for mime_type, extension in EXTENSIONS.items()}


def original_name(sha256: str, *, mime_type: str) -> str:
    return f"{ORIGINALS}/{sha256[:2]}/{sha256[2:4]}/{sha256}.{EXTENSIONS[mime_type]}"


def mime_type_of_copy(format: Format | ClipFormat) -> str:
    return f"{'video' if format == 'mp4' else 'image'}/{format}"


def rendition_name(sha256: str, *, variant: str, recipe: int, format: Format | ClipFormat) -> str:
    """The name of a copy; `sha256` is the original's."""
    extension = EXTENSIONS[mime_type_of_copy(format)]
    return f"{RENDITIONS}/{sha256[:2]}/{sha256[2:4]}/{sha256}-{variant}-r{recipe}.{extension}"


def original_digest(name: str) -> str:
    """The SHA-256 of the original that a name belongs to."""
    return name.rpartition("/")[2][:64]


def mime_type_of(name: str) -> str:
    return MIME_TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return digest_of_stream(file)


def digest_of_stream(file: BinaryIO) -> str:
    """The SHA-256 of what is left to read, in hex."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()
