"""The single pictures of a wish for several: which are there already, and why some never came."""

from dataclasses import dataclass

from generations.models import Attempt, Generation, Output
from generations.outcomes import OUTCOMES

_ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True, slots=True)
class Slot:
    """One picture of a job that is being worked on; `number` counts from 1."""

    number: int
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Fewer pictures than were asked for; `missing` names those that did not come, `reasons` says why."""

    came: int
    wanted: int
    missing: str
    is_one: bool
    reasons: tuple[str, ...]


def slots_of(generation: Generation, count: int) -> list[Slot]:
    """Where each of `count` pictures is; reads `attempts`. A call that asked for all begins at the first."""
    ready: set[int] = set()
    for attempt in _calls(generation):
        finals = sum(not document["is_draft"] for document in attempt.pictures)
        ready |= set(range(attempt.slot, attempt.slot + finals))
    return [Slot(number + 1, number in ready) for number in range(count)]


def shortfall_of(generation: Generation, outputs: list[Output], count: int) -> Shortfall | None:
    """What is missing of a job that has ended with pictures, None if nothing is; reads `attempts`."""
    missing_count = count - len(outputs)
    if missing_count <= 0 or not outputs:
        return None
    calls = _calls(generation)
    if max((call.slot for call in calls), default=0) > 0:
        by_id = {call.pk: call.slot for call in calls}
        there = {by_id.get(output.attempt_id) for output in outputs}
        missing = [slot for slot in range(count) if slot not in there][:missing_count]
        last = {call.slot: call for call in calls}
        reasons = dict.fromkeys(_reason(last[slot]) for slot in missing if slot in last)
    else:
        missing = list(range(count))[-missing_count:]
        reasons = dict.fromkeys(_reason(call) for call in calls[-1:])
    return Shortfall(
        came=len(outputs),
        wanted=count,
        missing=_in_words([_ORDINALS[slot] for slot in missing]),
        is_one=missing_count == 1,
        reasons=tuple(reason for reason in reasons if reason),
    )


def _reason(call: Attempt) -> str:
    if call.outcome in ("ok", "partial"):
        return "The provider sent fewer whole pictures than were asked for."
    outcome = OUTCOMES.get(call.outcome)
    return outcome.message if outcome else ""


def _calls(generation: Generation) -> list[Attempt]:
    return [attempt for attempt in generation.attempts.all() if attempt.run == generation.run]


def _in_words(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
