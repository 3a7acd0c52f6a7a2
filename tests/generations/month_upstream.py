"""The upstream of a simulated month: pictures, and in turn everything else that an answer can be."""

import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from generations.providers.answer import Answer
from generations.providers.base import Provider, ProviderError
from generations.spec import GenerationSpec
from generations.wire import openai
from generations.wire.reply import ParsedReply
from tests.generations.fakes import ScriptedProvider, error, picture, png, reply
from tests.upstream.pictures import b64, png_bomb

CUT, BOMB = png()[:-20], png_bomb()
COMMON: tuple[Callable[[], object], ...] = (
    lambda: error(400, "INVALID_ARGUMENT"),
    lambda: error(403, "PERMISSION_DENIED"),
    lambda: error(429, "RESOURCE_EXHAUSTED"),
    lambda: error(500, "INTERNAL"),
    lambda: error(503, "UNAVAILABLE"),
    lambda: (302, {}),
    lambda: (200, b"{"),
    lambda: ProviderError("unknown", "the connection broke off"),
    lambda: ProviderError("unavailable", "refused"),
)
NATIVE: tuple[Callable[[], object], ...] = (
    lambda: reply({"text": "I would rather not."}),
    lambda: reply({"text": "no"}, finish="SAFETY"),
    lambda: reply(finish="IMAGE_RECITATION"),
    lambda: reply(finish="NO_IMAGE"),
    lambda: reply(finish="MAX_TOKENS"),
    lambda: reply(picture("AAAA")),
    lambda: reply(picture(CUT)),
    lambda: reply(picture(BOMB)),
    *COMMON,
)


def together(*pictures: bytes) -> dict:
    """An answer of the images API."""
    return {"created": 1, "output_format": "png", "data": [{"b64_json": b64(data)} for data in pictures]}


class Deck:
    """Deals each of its cards before it deals one again, in an order of its own; safe for threads."""

    def __init__(self, cards: Sequence, chance: random.Random) -> None:
        self.cards, self.chance = cards, chance
        self._left: list = []
        self._lock = threading.Lock()

    def deal(self) -> object:
        with self._lock:
            if not self._left:
                self._left = self.chance.sample(self.cards, len(self.cards))
            return self._left.pop()


class Together(ScriptedProvider):
    """Brings all the pictures of a wish by one call, or some of them."""

    is_batching = True

    def __init__(self, answer: Callable[[int], object]) -> None:
        super().__init__(name="wisgate-images")
        self.answer = answer

    def send(self, spec: GenerationSpec, *, spool_path: Path, **call: object) -> Answer:
        self.says(lambda: self.answer(spec.count))
        return super().send(spec, spool_path=spool_path, **call)

    def read(self, answer: Answer, *, count: int = 1) -> ParsedReply:
        return openai.images.parse_reply(answer.status, answer.headers, answer.read_body(), count=count)


class Upstreams:
    """Who is asked in this month; `troubled` is the share of calls that bring no picture, or too few."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.troubled = chance, 0.0
        self.images = [png(colour) for colour in ("teal", "navy", "olive", "plum")]
        self.one = ScriptedProvider().says(self._one)
        self.many = Together(self._many)
        self.faults = Deck(NATIVE, chance)
        self.faults_of_many = Deck(COMMON, chance)
        self.was_partial = False

    def providers_for(self, spec: GenerationSpec) -> tuple[Provider, ...]:
        return (self.one,) if spec.model.startswith("gemini") else (self.many,)

    def _is_troubled(self) -> bool:
        return self.chance.random() < self.troubled

    def _one(self) -> object:
        return self.faults.deal()() if self._is_troubled() else reply(picture(self._image()))

    def _many(self, count: int) -> object:
        if count > 1 and not self.was_partial:
            self.was_partial = True
            return self._too_few(count)
        if not self._is_troubled():
            return together(*(self._image() for _ in range(count)))
        return self._too_few(count) if self.chance.random() < 0.3 else self.faults_of_many.deal()()

    def _too_few(self, count: int) -> object:
        """The last of several is cut off, or has not come at all; of one, nothing has."""
        whole = [self._image() for _ in range(count - 1)]
        return together(*whole, *(CUT,) * self.chance.randrange(2))

    def _image(self) -> bytes:
        return self.chance.choice(self.images)
