"""A child process of `gallery.decode_pool`: decodes pictures under limits and ends with its owner.

Started as `python -m gallery.decode_worker CHANNEL MEMORY_BYTES NICENESS`. CHANNEL is the descriptor of a socket: one
JSON line in, one JSON line out. No pickle, because what a hostile picture makes of this process must not reach its
owner. Standard input is a pipe that nobody writes to; it closes when the owner is gone.
"""

import fcntl
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from gallery.imaging import ImageFacts, ImageLimits, ImageRejected, RenditionFacts, RenditionTarget
from gallery.video import VideoFacts, VideoLimits

READY = b"ready\n"

# What may cross the process boundary besides JSON's own types.
DATACLASSES = {
    cls.__name__: cls for cls in (ImageFacts, ImageLimits, RenditionFacts, RenditionTarget, VideoFacts, VideoLimits)
}


def encode(value: object) -> bytes:
    """One line of JSON; the dataclasses above become objects with their name."""
    return json.dumps(value, default=_plain).encode() + b"\n"


def decode(line: bytes) -> Any:
    """What encode() wrote."""
    return json.loads(line, object_hook=_restored)


def _plain(value: object) -> object:
    if type(value).__name__ in DATACLASSES:
        return {"dataclass": type(value).__name__, "fields": vars(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to a decode process.")


def _restored(value: dict[str, Any]) -> object:
    if value.keys() == {"dataclass", "fields"}:
        return DATACLASSES[value["dataclass"]](**value["fields"])
    return value


def main() -> None:
    channel_descriptor, memory_bytes, niceness = map(int, sys.argv[1:])
    # The terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group; only the owner decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_with_owner(sys.stdin.fileno())
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with socket.socket(fileno=channel_descriptor) as channel:
        channel.sendall(READY)
        for line in channel.makefile("rb"):
            channel.sendall(answer(line))


def _end_with_owner(lifeline: int) -> None:
    """Let the kernel end us (SIGIO) when the lifeline closes, even in the middle of a decoder's loop.

    A parent-death signal would come when the *thread* that started us ends, and owners have short-lived threads.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, select.POLLHUP)
    if poll.poll(0):  # it closed before the kernel was asked to watch
        sys.exit()


def answer(line: bytes) -> bytes:
    """Run one request; the answer is {"result"}, {"rejected"}, {"os_error"} or {"failed"}."""
    try:
        request = decode(line)
        function: Callable[..., object] = pkgutil.resolve_name(request["function"])
        return encode({"result": function(*request["args"], **request["kwargs"])})
    except ImageRejected as rejection:
        return encode({"rejected": [rejection.reason, rejection.detail]})
    except MemoryError:
        return encode({"rejected": ["too_large", "The picture needs too much memory."]})
    except OSError as error:
        if error.errno is not None:
            return encode({"os_error": [error.errno, error.strerror, error.filename]})
        return encode({"failed": repr(error)})
    except Exception as error:
        return encode({"failed": repr(error)})


if __name__ == "__main__":
    main()
