"""What follows an attempt that brought no picture: another one, when and with which key, or the end. WIRE 5 decides.

Nothing sleeps here: the pipeline parks the generation until the time has come.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile

from generations.outcomes import OUTCOMES

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 30.0
MAX_FREE_ATTEMPTS = 8


@dataclass(frozen=True)
class Retry:
    """Call `upstream` (a position in the order of fallback) with a key, after `delay_s`."""

    delay_s: float = 0.0
    key_index: int = 0
    upstream: int = 0


@dataclass(frozen=True)
class GiveUp:
    """No further call; `outcome` is why, where that is not the last call's own."""

    detail: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class Made:
    """One call that has ended: at which upstream, with which key, and how."""

    outcome: str
    upstream: int = 0
    key_index: int = 0


def decide(
    made: Sequence[Made],
    *,
    key_counts: Sequence[int],
    retry_after_s: float | None,
    remaining_s: float,
    max_paid: int,
    is_due: bool = False,
    away: Collection[int] = (),
) -> Retry | GiveUp:
    """What to do after these calls for one picture, in their order; `remaining_s` is left until the deadline.

    `key_counts` has the number of keys of each upstream, in the order of fallback. `is_due` says that the time to wait
    is over already. Upstreams in `away` are not tried instead of another one.
    """
    last = OUTCOMES[made[-1].outcome]
    paid = sum(OUTCOMES[call.outcome].paid for call in made)
    if last.other_upstream and (other := _elsewhere(made, key_counts, away)):
        return other
    if last.retry == "no" or (last.paid and paid >= max_paid):
        return GiveUp()
    if last.retry == "once" and sum(call.outcome == last.name for call in made) > 1:
        return GiveUp()
    if len(made) > MAX_FREE_ATTEMPTS:
        return GiveUp()
    delay_s = 0.0 if is_due else _delay([call.outcome for call in made], retry_after_s)
    if not is_due and delay_s >= remaining_s:
        return GiveUp(f"it asked to wait {round(delay_s)} s, which is longer than this job may take")
    return Retry(delay_s, made[-1].key_index, made[-1].upstream)


def _elsewhere(made: Sequence[Made], key_counts: Sequence[int], away: Collection[int]) -> Retry | None:
    """Another key or upstream that may be asked at once, because nothing was bought: each of them once in a row."""
    last = made[-1]
    row = list(takewhile(lambda call: OUTCOMES[call.outcome].other_upstream, reversed(made)))
    keys = {call.key_index for call in row if call.upstream == last.upstream}
    if last.outcome == "auth" and len(keys) < min(2, key_counts[last.upstream]):
        return Retry(key_index=(last.key_index + 1) % key_counts[last.upstream], upstream=last.upstream)
    asked = {call.upstream for call in row}
    untried = [upstream for upstream in range(len(key_counts)) if upstream not in asked and upstream not in away]
    return Retry(upstream=untried[0]) if untried else None


def _delay(outcomes: Sequence[str], retry_after_s: float | None) -> float:
    """Full jitter, so that many waiting jobs do not come back as one crowd; never earlier than the upstream asked."""
    in_a_row = 0
    for name in reversed(outcomes):
        if name != outcomes[-1]:
            break
        in_a_row += 1
    jitter = random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (in_a_row - 1)))
    return retry_after_s + jitter / 4 if retry_after_s is not None else jitter
