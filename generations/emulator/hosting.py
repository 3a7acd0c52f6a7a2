"""Addresses of pictures, for the answers that hold a link instead of bytes; open to whoever knows one, like a CDN."""

import secrets
from collections import OrderedDict

from generations.emulator.studio import StoredPicture

KEPT = 256
PREFIX = "/hosted/"
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "video/mp4": "mp4",
    "image/svg+xml": "svg",
}


class Hosting:
    """The newest KEPT pictures by their path."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, tuple[bytes | StoredPicture, str]] = OrderedDict()

    def keep(self, picture: bytes | StoredPicture, mime_type: str) -> str:
        """Host a picture; its path."""
        path = f"{PREFIX}{secrets.token_urlsafe(16)}.{EXTENSIONS[mime_type]}"
        self._pictures[path] = (picture, mime_type)
        if len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        return path

    def find(self, path: str) -> tuple[bytes, str] | None:
        """Bytes and type of a picture."""
        found = self._pictures.get(path)
        if found is None:
            return None
        picture, mime_type = found
        return picture if isinstance(picture, bytes) else picture.read(), mime_type
