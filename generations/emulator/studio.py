"""Where pictures are painted and kept: a few threads, and nameless files instead of memory."""

import asyncio
import hashlib
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from generations.emulator.clips import write_clip
from generations.emulator.painter import Wish, write_picture

CACHE_BYTES = 64 * 2**20
READ_BYTES = 3 * 2**16  # a multiple of three: every block but the last is base64 without padding


class StoredPicture:
    """An encoded picture or clip in a file without a name; it vanishes with its last reader.

    Two hundred answers that wait for their time hold two hundred pictures: on disk they cost no memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        self.sha256 = digest.digest()

    def blocks(self) -> Iterator[bytes]:
        """The bytes in blocks of READ_BYTES; safe for several readers at once."""
        for offset in range(0, self.size, READ_BYTES):
            yield os.pread(self._file.fileno(), READ_BYTES, offset)

    def read(self) -> bytes:
        """All bytes."""
        return b"".join(self.blocks())


class Studio:
    """Paints each wish once and keeps the newest pictures, up to CACHE_BYTES."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="painter", initializer=_step_back)
        self._pictures: OrderedDict[Wish, asyncio.Task[StoredPicture]] = OrderedDict()

    async def picture(self, wish: Wish) -> StoredPicture:
        """The picture for a wish; callers that ask while it is painted share it."""
        task = self._pictures.get(wish)
        if task is None:
            task = self._pictures[wish] = asyncio.create_task(self._paint(wish))
        self._pictures.move_to_end(wish)
        return await asyncio.shield(task)

    async def _paint(self, wish: Wish) -> StoredPicture:
        picture = await asyncio.get_running_loop().run_in_executor(self._pool, _paint_to_file, wish)
        self._evict(picture.size)
        return picture

    def _evict(self, added: int) -> None:
        done = [(wish, task.result().size) for wish, task in self._pictures.items() if task.done()]
        surplus = added + sum(size for _, size in done) - CACHE_BYTES
        for wish, size in done:
            if surplus <= 0:
                return
            del self._pictures[wish]
            surplus -= size


def _step_back() -> None:
    """Let the programs that are being tested go first; on Linux niceness belongs to a thread."""
    if sys.platform == "linux":
        os.nice(3)


def _paint_to_file(wish: Wish) -> StoredPicture:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as its StoredPicture
    (write_clip if wish.seconds else write_picture)(wish, file)
    file.flush()
    return StoredPicture(file)
