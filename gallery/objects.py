"""Kept bytes as objects in a bucket that speaks S3: written once, and verified there by their checksum.

Every failure is an OSError, as it is with files; ObjectsAway when the bucket does not answer or refuses.
"""

import base64
import errno
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage

from gallery.errors import ObjectsAway
from gallery.files import staged
from gallery.names import CHUNK_BYTES, digest_of_stream, mime_type_of

log = structlog.get_logger(__name__)

CACHE_CONTROL = "private, max-age=300"  # nobody but its owner is given an address of it
CONDEMNED = "condemned/"
MULTIPART_FROM_BYTES = 16 * 1024 * 1024
PART_BYTES = 8 * 1024 * 1024  # in memory at once
MAX_SIGNED_S = 15 * 60
MISSING = ("404", "NoSuchKey")
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")


class BucketStorage(S3Storage):
    """django-storages' S3 with our limits of time: a bucket that is away costs a viewer a moment, not a request.

    Path-style addresses, because every server that speaks S3 knows them, and one origin fits into the CSP.
    """

    def __init__(self, **options: Any) -> None:
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=20,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=64,
            # We send the SHA-256 ourselves; what botocore adds unasked is unknown to many servers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        super().__init__(client_config=config, **options)


@contextmanager
def _as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            raise FileNotFoundError(errno.ENOENT, "There is no such object", name) from error
        raise ObjectsAway(errno.EIO, f"The bucket refused: {error}", name) from error
    except BotoCoreError as error:
        raise ObjectsAway(errno.EIO, f"The bucket does not answer: {error}", name) from error


class Objects:
    """The store in S3_BUCKET; storage.py says what its methods promise. Safe for any number of threads."""

    is_local = False

    def __init__(self) -> None:
        storage = cast("BucketStorage", storages["s3"])
        self._bucket = storage.bucket_name
        # One for all threads: they may share a client, and a new one costs a tenth of a second.
        self._client = storage.connection.meta.client
        self._signer = storage.connection.meta.client
        if settings.S3_PUBLIC_ENDPOINT_URL:
            options = settings.STORAGES["s3"]["OPTIONS"] | {"endpoint_url": settings.S3_PUBLIC_ENDPOINT_URL}
            self._signer = BucketStorage(**options).connection.meta.client

    # --- Reading -----------------------------------------------------------------------------------------------------

    def size_of(self, name: str) -> int | None:
        head = self._head(name)
        return None if head is None else head["ContentLength"]

    def stored_at(self, name: str) -> float | None:
        head = self._head(name)
        return None if head is None else head["LastModified"].timestamp()

    def open(self, name: str, *, start: int = 0, stop: int | None = None) -> BinaryIO:
        wanted = {} if start == 0 and stop is None else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with _as_os_errors(name):
            body = self._client.get_object(Bucket=self._bucket, Key=name, **wanted)["Body"]
        return cast("BinaryIO", io.BufferedReader(_Body(name, body), buffer_size=64 * 1024))

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with staged() as path:
            with self.open(name) as reader, path.open("xb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
            yield path

    def names(self, top: str) -> Iterator[tuple[str, float]]:
        with _as_os_errors(top):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{top}/"):
                for item in page.get("Contents", ()):
                    yield item["Key"], item["LastModified"].timestamp()

    def signed_address(
        self, name: str, *, mime_type: str, disposition: str, cache_control: str, lifetime_s: int
    ) -> str | None:
        """Where a browser may fetch it for `lifetime_s` seconds, with these headers and no others."""
        return self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": name,
                "ResponseContentType": mime_type,
                "ResponseContentDisposition": disposition,
                "ResponseCacheControl": cache_control,
            },
            ExpiresIn=min(lifetime_s, MAX_SIGNED_S),
        )

    def check(self) -> None:
        with _as_os_errors(self._bucket):
            self._client.head_bucket(Bucket=self._bucket)

    # --- Writing -----------------------------------------------------------------------------------------------------

    def put(self, source: Path, name: str, *, sha256: str, byte_size: int) -> None:
        head = self._head(name)
        if head is not None and head["ContentLength"] == byte_size and head["Metadata"].get("sha256") == sha256:
            self._touch(name, sha256=sha256)
        else:
            if source.stat().st_size != byte_size:
                raise OSError(errno.EIO, "The file is not the one that was verified", str(source))
            # Written once: of two who put the same bytes, the second is told so. What is wrong is written over.
            condition = {"IfNoneMatch": "*"} if head is None else {}
            self._upload(source, name, sha256=sha256, byte_size=byte_size, **condition)

    def delete(self, name: str) -> None:
        with _as_os_errors(name):
            self._client.delete_object(Bucket=self._bucket, Key=name)

    def remove_unused(self, name: str, *, stored_before: float, is_wanted: Callable[[], bool]) -> bool:
        # Announced first and looked at then; who puts it writes first and looks for the announcement then. At least
        # one of the two sees the other, because S3 is consistent: this stops, or the other waits and puts it again.
        self._write_empty(CONDEMNED + name)
        try:
            stored_at = self.stored_at(name)
            is_unused = stored_at is not None and stored_at < stored_before and not is_wanted()
            if is_unused:
                self.delete(name)
            return is_unused
        finally:
            self.delete(CONDEMNED + name)

    def is_being_removed(self, name: str) -> bool:
        return self._head(CONDEMNED + name) is not None

    def recover(self, *, begun_before: float) -> None:
        for name, stored_at in list(self.names(CONDEMNED.rstrip("/"))):
            if stored_at < begun_before:
                self.delete(name)

    def _write_empty(self, name: str) -> None:
        with _as_os_errors(name):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=b"")

    def _head(self, name: str) -> dict[str, Any] | None:
        try:
            with _as_os_errors(name):
                return self._client.head_object(Bucket=self._bucket, Key=name)
        except FileNotFoundError:
            return None

    def _touch(self, name: str, *, sha256: str) -> None:
        """In use again: its age counts from now when orphans are looked for. A copy onto itself, without its bytes."""
        with _as_os_errors(name):
            self._client.copy_object(
                Bucket=self._bucket,
                Key=name,
                CopySource={"Bucket": self._bucket, "Key": name},
                MetadataDirective="REPLACE",
                **_properties(name, sha256),
            )

    def _upload(self, source: Path, name: str, *, sha256: str, byte_size: int, **condition: str) -> None:
        put = self._put_parts if byte_size >= MULTIPART_FROM_BYTES else self._put_whole
        is_taken = False
        try:
            with _as_os_errors(name):
                is_verified = put(source, name, sha256=sha256, **condition)
        except ObjectsAway as error:
            is_taken = bool(condition) and _code(error) in TAKEN
            if condition and _code(error) == "NotImplemented":  # a server without conditions on writing
                return self._upload(source, name, sha256=sha256, byte_size=byte_size)
            if not is_taken:
                raise
            is_verified = False
        if is_verified or self._digest(name) == sha256:
            return None
        if is_taken:  # by something else than these bytes
            return self._upload(source, name, sha256=sha256, byte_size=byte_size)
        self.delete(name)  # or the next try would take it for what it is called
        raise OSError(errno.EIO, "What the bucket keeps is not the file that was verified", name)

    def _put_whole(self, source: Path, name: str, *, sha256: str, **condition: str) -> bool:
        """One request that streams the file. True when the server says that it has checked the digest."""
        checksum = _base64(bytes.fromhex(sha256))
        with source.open("rb") as body:
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=body,
                ChecksumSHA256=checksum,
                **_properties(name, sha256),
                **condition,
            )
        return answer.get("ChecksumSHA256") == checksum

    def _put_parts(self, source: Path, name: str, *, sha256: str, **condition: str) -> bool:
        """Part by part, each with its checksum; only what is the announced file as a whole is completed."""
        where = {"Bucket": self._bucket, "Key": name}
        upload = self._client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256", **_properties(name, sha256))
        where["UploadId"] = upload["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            whole, composite = hashlib.sha256(), hashlib.sha256()
            with source.open("rb") as file:
                while data := file.read(PART_BYTES):
                    whole.update(data)
                    digest = hashlib.sha256(data).digest()
                    composite.update(digest)
                    part = {"PartNumber": len(parts) + 1, "ChecksumSHA256": _base64(digest)}
                    answer = self._client.upload_part(**where, **part, Body=data)
                    parts.append(part | {"ETag": answer["ETag"]})
            if whole.hexdigest() != sha256:
                raise OSError(errno.EIO, "The file is not the one that was verified", str(source))
            answer = self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            self._abort(**where)
            raise
        return answer.get("ChecksumSHA256", "").partition("-")[0] == _base64(composite.digest())

    def _abort(self, **where: str) -> None:
        try:
            self._client.abort_multipart_upload(**where)
        except (BotoCoreError, ClientError) as error:  # the bucket's lifecycle rule removes it (docs/operations.md)
            log.warning("multipart_not_aborted", name=where["Key"], error=repr(error))

    def _digest(self, name: str) -> str:
        with self.open(name) as file:
            return digest_of_stream(file)


class _Body(io.RawIOBase):
    """The body of an answer, whose errors are OSErrors too."""

    def __init__(self, name: str, body: Any) -> None:
        self._name = name
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _as_os_errors(self._name):
            data = self._body.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def _properties(name: str, sha256: str) -> dict[str, Any]:
    return {"ContentType": mime_type_of(name), "CacheControl": CACHE_CONTROL, "Metadata": {"sha256": sha256}}


def _code(error: ObjectsAway) -> str:
    """What S3 calls the error; empty when no answer came."""
    cause = error.__cause__
    return cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@cache
def _objects(key: tuple[str, ...]) -> Objects:
    return Objects()


def current_objects() -> Objects:
    """The store that the settings name; the client is kept as long as they are the same."""
    options = settings.STORAGES["s3"]["OPTIONS"]
    return _objects((*(str(value) for value in options.values()), settings.S3_PUBLIC_ENDPOINT_URL))
