"""Runs the emulator as a process of its own: `EMULATOR_KEY=... python -m generations.emulator --port-file PATH`."""

import argparse
import ctypes
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import uvicorn

from generations.emulator.app import Emulator
from generations.emulator.delivery import Options
from generations.emulator.exchange import Protocol
from generations.emulator.faults import DIALECTS, FAULTS, Fault, parse_rates
from generations.emulator.forms import FORMS

PARENT_CHECK_S = 1.0
PR_SET_PDEATHSIG = 1
WORDS = """\
from the environment:
  EMULATOR_KEY           what clients must send; required
  EMULATOR_LATENCY_S     seconds for a picture, 0.5, or a range such as 18-22
  EMULATOR_FAULTS        faults by rate for all requests: 429:0.1,hang:0.02

words in a prompt:
  [fault:NAME]           this request fails so
  [fault:NAMEx2]         the first two requests with exactly this prompt do
  [form:NAME]            how the answer carries its picture
  [latency:SECONDS]      when the answer to this request is complete

protocols:
  native                 POST /v1beta/models/MODEL:generateContent, :streamGenerateContent; key in x-goog-api-key
  chat                   POST /v1/chat/completions; key in Authorization, raw or after Bearer
  images                 POST /v1/images/generations; the same
"""
KEEP_ALIVE_S = 120  # longer than clients keep idle connections, which would otherwise race with our closing them


class Server(uvicorn.Server):
    """A server that ends at once: it has nothing to save, and a hanging request would never let it drain."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        os._exit(0)


def main() -> None:
    """Parse the options, listen, write the port, serve until told to end or until the parent has died."""
    arguments = _parse_arguments()
    end_with_parent(arguments.parent_pid)
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
    try:
        options = read_options(os.environ)
        family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
        listener = socket.create_server((arguments.host, arguments.port), family=family, backlog=2048)
    except (ValueError, OSError) as error:
        sys.exit(f"The emulator cannot start: {error}")
    _raise_file_limit()
    if arguments.port_file:
        _write_port(arguments.port_file, listener.getsockname()[1])
    config = uvicorn.Config(
        Emulator(options),
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    Server(config).run(sockets=[listener])


def read_options(environment: Mapping[str, str]) -> Options:
    """The behaviour that EMULATOR_KEY, EMULATOR_LATENCY_S and EMULATOR_FAULTS ask for; raises ValueError."""
    key = environment.get("EMULATOR_KEY", "")
    if not key:
        raise ValueError("EMULATOR_KEY is not set")
    latency = parse_latency(environment.get("EMULATOR_LATENCY_S") or "0.5")
    return Options(key, latency, parse_rates(environment.get("EMULATOR_FAULTS", "")))


def parse_latency(text: str) -> tuple[float, float]:
    """`0.5` or `18-22` as a range of seconds; raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text.strip())
    low, high = (float(found[1]), float(found[2] or found[1])) if found else (1.0, 0.0)
    if low > high:
        raise ValueError(f"EMULATOR_LATENCY_S is seconds or a range such as 18-22, not {text!r}")
    return low, high


def end_with_parent(parent: int) -> None:
    """Make this process end when its parent does, on Linux at once, elsewhere within PARENT_CHECK_S."""

    def end_if_orphaned(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    def watch() -> None:
        while True:
            end_if_orphaned()
            time.sleep(PARENT_CHECK_S)

    if sys.platform == "linux":
        # The kernel also sends this signal when only the thread that started us has ended: hence the check.
        signal.signal(signal.SIGUSR1, end_if_orphaned)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _parse_arguments() -> argparse.Namespace:
    faults = "\n".join(f"  {fault.name:22} {fault.summary}{_where(fault)}" for fault in FAULTS.values())
    forms = "\n".join(f"  {name:22} {summary}" for name, summary in FORMS.items())
    parser = argparse.ArgumentParser(
        prog="python -m generations.emulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"{WORDS}\nfaults:\n{faults}\n\nforms of the answer:\n{forms}",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it listens")
    parser.add_argument("--parent-pid", type=int, default=os.getppid(), help="end when this parent has ended")
    parser.add_argument("--verbose", action="store_true", help="one line per request on stderr")
    return parser.parse_args()


def _where(fault: Fault) -> str:
    """The protocols that have a fault, where not all do."""
    return "" if len(fault.dialects) == len(DIALECTS) else f" ({', '.join(fault.dialects)} only)"


def _write_port(path: Path, port: int) -> None:
    """Write and rename: whoever sees the file sees all of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(f"{port}\n")
    unfinished.replace(path)


def _raise_file_limit() -> None:
    """A waiting request holds a socket and a picture's file; the usual soft limit of 1024 is too low for hundreds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
