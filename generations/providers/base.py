"""What the pipeline needs of an upstream: send a wish into a spool file, and read what came back."""

from abc import ABC, abstractmethod
from pathlib import Path

from generations.providers.answer import Answer
from generations.spec import GenerationSpec
from generations.wire.gemini import ParsedReply


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
