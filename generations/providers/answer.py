"""An upstream's answer, and its file: a line of JSON (status, headers, did it break off), then the body as it came."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer: the body of a 200 lies in the spool file behind `offset`, any other is short and in `body`.

    `is_stream` says that a stream was asked for, `is_broken` that the connection ended before the stream did.
    """

    status: int
    headers: Mapping[str, str]
    elapsed_ms: int
    path: Path | None = None
    offset: int = 0
    is_stream: bool = False
    is_broken: bool = False
    body: bytes = field(default=b"", repr=False)

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")[:200]

    def read_body(self) -> bytes:
        if self.path is None:
            return self.body
        with self.path.open("rb") as spooled:
            spooled.seek(self.offset)
            return spooled.read()


def write_head(
    file: BinaryIO, *, status: int, headers: Mapping[str, str], is_stream: bool = False, is_broken: bool = False
) -> int:
    """Write the first line; returns the offset at which the body begins, which `is_broken` does not change."""
    head = {"status": status, "headers": dict(headers), "is_stream": is_stream, "is_broken": is_broken}
    # Whether it breaks is known at the end: the line is written again over itself then.
    return file.write(orjson.dumps(head) + b" " * is_broken + b"\n")


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` whole or not at all, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_answer(path: Path) -> Answer | None:
    """The answer that was written to `path`, None when there is none."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except FileNotFoundError:
        return None
    head = orjson.loads(line)
    return Answer(
        status=head["status"],
        headers=head["headers"],
        elapsed_ms=0,
        path=path,
        offset=len(line),
        is_stream=head.get("is_stream", False),
        is_broken=head.get("is_broken", False),
    )
