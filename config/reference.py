"""Every code with which a request is refused or a generation ends, read from the code itself, for /docs/errors/."""

from collections.abc import Iterator
from dataclasses import dataclass

import config.api  # noqa: F401 - defines errors, as the two below
import gallery.errors  # noqa: F401
import generations.errors  # noqa: F401
from accounts.errors import ServiceError
from generations.outcomes import OUTCOMES, Outcome

OURS = ("accounts.", "config.", "gallery.", "generations.")
BY_ITSELF = {
    "no": "The server does not ask the provider again by itself.",
    "once": "The server has asked the provider once more by itself before it gave up.",
    "free": "The server has asked again by itself as long as the time for the generation lasted.",
    "after_delay": "The server has waited and asked again by itself as long as the time for the generation lasted.",
    "while_paid_left": "The server asks again by itself until the paid attempts of a generation are used up.",
}
NOTHING_HELD = "Nothing. A request that is refused holds and charges no money."
GIVEN_BACK = "Nothing. What was held for it is back in the balance at once."


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """One thing that a code says; `status` is the HTTP status of an answer that says it."""

    heading: str
    title: str
    status: int
    message: str
    remedy: str
    cost: str
    repeat: str
    is_good: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A code and what it means: as the refusal of a request, as the end of a generation, or as both."""

    code: str
    refusal: Meaning | None = None
    ending: Meaning | None = None

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        return tuple(meaning for meaning in (self.refusal, self.ending) if meaning is not None)

    @property
    def title(self) -> str:
        return self.meanings[0].title


def entries() -> dict[str, Entry]:
    """Every code with its meanings, the refusals by status and then the endings in their own order."""
    refusals = {
        kind.code: _refusal(kind) for kind in sorted(error_classes(), key=lambda kind: (kind.status, kind.code))
    }
    endings = {name: _ending(outcome) for name, outcome in OUTCOMES.items()}
    return {
        code: Entry(code=code, refusal=refusals.get(code), ending=endings.get(code))
        for code in [*refusals, *(name for name in endings if name not in refusals)]
    }


@dataclass(frozen=True, kw_only=True)
class Group:
    """One table of the list: codes with the meaning that it is about."""

    title: str
    lede: str
    rows: tuple[tuple[Entry, Meaning], ...]


def groups() -> tuple[Group, Group]:
    """The refusals of requests, and the ends of generations."""
    every = entries().values()
    return (
        Group(
            title="Refused requests",
            lede="The code of an answer that is not a success.",
            rows=tuple((entry, entry.refusal) for entry in every if entry.refusal),
        ),
        Group(
            title="How a generation ends",
            lede="The outcome of an attempt, and the error of a generation that failed.",
            rows=tuple((entry, entry.ending) for entry in every if entry.ending),
        ),
    )


def find(code: str) -> Entry | None:
    return entries().get(code)


def error_classes() -> list[type[ServiceError]]:
    """The error classes that bring a code of their own; those that inherit one are told on its page."""
    return [kind for kind in _with_subclasses(ServiceError) if "code" in vars(kind)]


def _with_subclasses(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith(OURS):
            yield from _with_subclasses(child)


def _refusal(kind: type[ServiceError]) -> Meaning:
    if kind.status == 429 or kind.retryable:
        repeat = "Yes, as it is, when the time in Retry-After has passed."
    elif kind.status == ServiceError.status:
        repeat = "Yes. With the same Idempotency-Key it cannot start the same work twice."
    else:
        repeat = "Not as it is: it would be refused again."
    return Meaning(
        heading="As the answer to a request",
        title=kind.title,
        status=kind.status,
        message=kind.message,
        remedy=kind.remedy,
        cost=NOTHING_HELD,
        repeat=repeat,
    )


def _ending(outcome: Outcome) -> Meaning:
    if outcome.has_pictures:
        cost = "The price of each picture that arrived; the rest of what was held is given back."
        repeat = "Yes, as a new generation with a price of its own."
    else:
        again = "Yes, the same wish may be sent again." if outcome.retryable else "Not as it is: change the wish first."
        cost, repeat = GIVEN_BACK, f"{again} {BY_ITSELF[outcome.retry]}"
    return Meaning(
        heading="As the end of a generation",
        title=outcome.title,
        status=outcome.http_status,
        message=outcome.message,
        remedy=outcome.remedy or "Nothing is to be done.",
        cost=cost,
        repeat=repeat,
        is_good=outcome.has_pictures,
    )
