"""What the pipeline needs of an upstream: send a wish into a spool file, and read what came back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from generations.providers.answer import Answer
from generations.spec import GenerationSpec
from generations.wire.gemini import Piece
from generations.wire.inputs import InputImage, Turn
from generations.wire.reply import ParsedReply


class ProviderError(Exception):
    """No usable answer came: `outcome` is a row of outcomes.py, `detail` is for operators and redacted."""

    def __init__(self, outcome: str, detail: str, *, elapsed_ms: int = 0) -> None:
        self.outcome = outcome
        self.detail = detail
        self.elapsed_ms = elapsed_ms
        super().__init__(detail)


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What goes to the upstream beside the wish: pictures, earlier turns, and who asks, as a token that tells nobody.

    The pictures and turns are ready to be sent, in base64.
    """

    references: tuple[InputImage, ...] = ()
    earlier: tuple[Turn, ...] = ()
    user_token: str = ""


NOTHING = Brought()


class Provider(ABC):
    """One upstream by one protocol. `key_count` keys may be tried; a key itself never leaves the provider.

    `is_batching` says that one call can bring all the pictures of a wish; `kinds` is what can be asked for there.
    """

    name: str
    key_count: int
    is_batching: bool = False
    kinds: tuple[str, ...] = ("image",)

    @classmethod
    def carries(cls, spec: GenerationSpec) -> bool:
        """Whether the protocol has a place for all that the wish says; nothing is ever dropped."""
        return True

    def key_fingerprint(self, key_index: int) -> str:
        """Tells keys apart without giving one away."""
        return str(key_index)

    @abstractmethod
    def upstream_model(self, spec: GenerationSpec) -> str:
        """The id of the wish's model at this upstream."""

    @abstractmethod
    def send(
        self,
        spec: GenerationSpec,
        *,
        key_index: int,
        timeout_s: float,
        spool_path: Path,
        brought: Brought = NOTHING,
        on_piece: Callable[[Piece], None] | None = None,
    ) -> Answer:
        """Make the one paid call; a 200's body is at `spool_path` when this returns. Raises ProviderError.

        Where the upstream can stream, `on_piece` is handed the thoughts and drafts while the answer comes.
        """

    @abstractmethod
    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        """What the answer to a call for `count` pictures says; never raises for any bytes."""
