"""What the emulator received: the evidence by which tests prove how many upstream calls were made."""

import hashlib
import time
from collections import Counter, OrderedDict, deque
from dataclasses import asdict, dataclass

from generations.emulator.order import Order

KEPT = 10_000


@dataclass
class Call:
    """One request for pictures that passed validation; time is seconds since 1970."""

    time: float
    prompt_sha256: str
    dialect: str
    model: str
    kind: str
    ratio: str
    size: str
    count: int
    input_images: int
    streamed: bool
    fault: str | None
    request_id: str


class Record:
    """Counts since the start; calls and prompts only of the newest KEPT."""

    def __init__(self) -> None:
        self._paths: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._prompts: OrderedDict[str, int] = OrderedDict()
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._in_flight = 0
        self._peak = 0

    def begin(self, path: str) -> None:
        """A request arrived."""
        self._paths[path] += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)

    def end(self, outcome: str) -> None:
        """Its answer, or its connection, has ended."""
        self._outcomes[outcome] += 1
        self._in_flight -= 1

    def add_prompt(self, prompt: str) -> int:
        """Count a prompt; how often exactly this one has arrived."""
        digest = prompt_digest(prompt)
        self._prompts[digest] = self._prompts.pop(digest, 0) + 1
        if len(self._prompts) > KEPT:
            self._prompts.popitem(last=False)
        return self._prompts[digest]

    def add_call(self, order: Order, *, fault: str | None, request_id: str) -> None:
        """Keep one line about a valid request."""
        call = Call(
            time=time.time(),
            prompt_sha256=prompt_digest(order.prompt),
            dialect=order.dialect,
            model=order.model,
            kind=order.kind,
            ratio=order.ratio,
            size=order.size,
            count=order.count,
            input_images=order.input_images,
            streamed=order.streamed,
            fault=fault,
            request_id=request_id,
        )
        self._calls.append(call)

    def stats(self) -> dict:
        """The counters as JSON."""
        return {
            "calls": dict(self._paths),
            "outcomes": dict(self._outcomes),
            "prompts": dict(self._prompts),
            "in_flight": self._in_flight,
            "peak_in_flight": self._peak,
        }

    def calls(self, prompt_sha256: str | None) -> list[dict]:
        """The kept calls, oldest first, of one prompt or of all."""
        return [asdict(call) for call in self._calls if prompt_sha256 in (None, call.prompt_sha256)]


def prompt_digest(prompt: str) -> str:
    """SHA-256 in hex of the prompt's UTF-8."""
    return hashlib.sha256(prompt.encode()).hexdigest()
