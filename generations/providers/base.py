"""What the pipeline needs of an upstream: send a wish into a spool file, and read what came back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from generations.spec import GenerationSpec
from generations.wire.gemini import ParsedReply


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer: the body of a 200 lies in the spool file behind `offset`, any other is short and in `body`."""

    status: int
    headers: Mapping[str, str]
    elapsed_ms: int
    path: Path | None = None
    offset: int = 0
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


class ProviderError(Exception):
    """No usable answer came: `outcome` is a row of outcomes.py, `detail` is for operators and redacted."""

    def __init__(self, outcome: str, detail: str, *, elapsed_ms: int = 0) -> None:
        self.outcome = outcome
        self.detail = detail
        self.elapsed_ms = elapsed_ms
        super().__init__(detail)


class Provider(ABC):
    """One upstream by one protocol. `key_count` keys may be tried; a key itself never leaves the provider."""

    name: str
    key_count: int

    @abstractmethod
    def upstream_model(self, spec: GenerationSpec) -> str:
        """The id of the wish's model at this upstream."""

    @abstractmethod
    def send(self, spec: GenerationSpec, *, key_index: int, timeout_s: float, spool_path: Path) -> Answer:
        """Make the one paid call; a 200's body is at `spool_path` when this returns. Raises ProviderError."""

    @abstractmethod
    def read(self, answer: Answer) -> ParsedReply:
        """What the answer says; never raises for any bytes."""
