"""A protocol of the upstream: how it writes answers, streams and errors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from generations.emulator.answers import Marks, Plan, Reply

STREAM_SEPARATOR = b"\r\n\r\n"


@dataclass(frozen=True)
class Event:
    """One event of a stream, due after a share of the latency; value is JSON with marks.

    With `wrap`, value is a text that goes out in many events, cut anywhere, each made by wrap.
    """

    due: float
    value: Any
    wrap: Callable[[str], Any] | None = None
    name: str = ""


class Dialect(ABC):
    """One protocol; `results` is the answer's list of results, `opening` the start of an answer up to its base64."""

    name: str
    results: str
    opening: bytes
    farewell: bytes = b""  # what ends a stream

    @abstractmethod
    def error(self, status: int, message: str = "") -> Reply:
        """The answer for an HTTP status that says that something is wrong."""

    @abstractmethod
    def rate_limited(self, *, retry_s: float | None, quota: bool = False) -> Reply:
        """429; the seconds, where they are known, are in the body if the protocol has a place for them."""

    @abstractmethod
    def refuse_word(self, message: str) -> Exception:
        """The Refusal of a word of ours that does not exist or does not fit."""

    @abstractmethod
    def answer(self, plan: Plan, marks: Marks) -> tuple[int, Any]:
        """HTTP status and JSON of a whole answer."""

    @abstractmethod
    def events(self, plan: Plan, marks: Marks) -> list[Event]:
        """The same as a stream, for an answer whose status would be 200."""
