"""Files as browsers and programs send them: to the disk piece by piece, and never more than is allowed."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler
from django.http import HttpRequest

from gallery.errors import UploadTooLarge
from gallery.imaging import UPLOAD_LIMITS

REFUSED = "upload_is_too_large"


class CappedUploadHandler(TemporaryFileUploadHandler):
    """Writes to a temporary file; once a request has sent more than UPLOAD_LIMITS allow, it is only read to its end."""

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> Any:
        self.received += len(raw_data)
        if self.received > UPLOAD_LIMITS.max_bytes:
            setattr(self.request, REFUSED, True)
            raise StopUpload(connection_reset=False)
        return super().receive_data_chunk(raw_data, start)


def sent_files(request: HttpRequest, name: str) -> list[UploadedFile]:
    """The files of one field; one that was left empty is none. Raises UploadTooLarge."""
    files = [file for file in request.FILES.getlist(name) if file]
    if getattr(request, REFUSED, False):
        raise UploadTooLarge
    return files
