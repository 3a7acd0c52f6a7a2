"""Server-sent events, split out of bytes as they come; every relay bends the format a little, so little is demanded."""

MAX_LINES = 200_000
DONE = b"[DONE]"
LEADING = b"\xef\xbb\xbf \t\r\n"  # a byte order mark and white space, which say nothing


class EventSplitter:
    """Finds the data of each event, however the bytes are cut; a byte is searched once, however long its event is.

    Comments, names, ids and empty events are passed over. `is_done` is set by the "[DONE]" that OpenAI ends with, and
    after it or after MAX_LINES nothing more is read.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._buffer = bytearray()
        self._searched = 0
        self._lines: list[bytes] = []
        self._lines_left = MAX_LINES

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes."""
        if self.is_done:
            return []
        self._buffer += chunk
        found: list[bytes] = []
        start = 0
        while not self.is_done and (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            self._read_line(self._cut_line(start, end), found)
            start = end + 1
        del self._buffer[:start]
        self._searched = len(self._buffer)
        return found

    def finish(self) -> list[bytes]:
        """What an event lacked that was not ended by an empty line; it may be cut."""
        found: list[bytes] = []
        if not self.is_done:
            self._read_line(self._cut_line(0, len(self._buffer)), found)
            self._end_event(found)
        self._buffer.clear()
        return found

    def _cut_line(self, start: int, end: int) -> bytes:
        if end > start and self._buffer[end - 1] == 0x0D:
            end -= 1
        with memoryview(self._buffer) as view:
            return bytes(view[start:end])

    def _read_line(self, line: bytes, found: list[bytes]) -> None:
        self._lines_left -= 1
        if self._lines_left < 0:
            self.is_done = True
            return
        if not line:
            self._end_event(found)
        elif line.startswith(b"data:"):
            data = line[6:] if line.startswith(b"data: ") else line[5:]
            if data.strip() == DONE:
                self._end_event(found)
                self.is_done = True
            else:
                self._lines.append(data)
        elif line.startswith(b"{"):  # an error that a proxy threw into the stream as it was
            self._end_event(found)
            self._lines.append(line)
            self._end_event(found)

    def _end_event(self, found: list[bytes]) -> None:
        data = self._lines[0] if len(self._lines) == 1 else b"\n".join(self._lines)
        self._lines = []
        if data[:8].strip(b" \t\r\n") not in (b"", b"{}"):
            found.append(data)


def is_event_stream(body: bytes) -> bool:
    """Whether a body is a stream of events, whatever its Content-Type says."""
    head = body[:256].lstrip(LEADING)
    return head.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
