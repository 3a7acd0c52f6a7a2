"""What follows an attempt that brought no picture: another one, when and with which key, or the end. WIRE 5 decides.

Nothing sleeps here: the pipeline parks the generation until the time has come.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from generations.outcomes import OUTCOMES

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 30.0
MAX_FREE_ATTEMPTS = 8


@dataclass(frozen=True)
class Retry:
    delay_s: float
    key_index: int


@dataclass(frozen=True)
class GiveUp:
    detail: str = ""


def decide(
    outcomes: Sequence[str],
    *,
    key_index: int,
    key_count: int,
    retry_after_s: float | None,
    remaining_s: float,
    max_paid: int,
) -> Retry | GiveUp:
    """What to do after `outcomes`, those of this run's attempts in order; `remaining_s` is left until the deadline."""
    last = OUTCOMES[outcomes[-1]]
    paid = sum(OUTCOMES[name].paid for name in outcomes)
    if last.name == "auth":
        refused = outcomes.count("auth")
        return Retry(0.0, (key_index + 1) % key_count) if refused < min(2, key_count) else GiveUp()
    if last.retry == "no" or (last.paid and paid >= max_paid):
        return GiveUp()
    if last.retry == "once" and outcomes.count(last.name) > 1:
        return GiveUp()
    if len(outcomes) > MAX_FREE_ATTEMPTS:
        return GiveUp()
    delay_s = _delay(outcomes, retry_after_s)
    if delay_s >= remaining_s:
        return GiveUp(f"it asked to wait {round(delay_s)} s, which is longer than this job may take")
    return Retry(delay_s, key_index)


def _delay(outcomes: Sequence[str], retry_after_s: float | None) -> float:
    """Full jitter, so that many waiting jobs do not come back as one crowd; never earlier than the upstream asked."""
    in_a_row = 0
    for name in reversed(outcomes):
        if name != outcomes[-1]:
            break
        in_a_row += 1
    jitter = random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (in_a_row - 1)))
    return retry_after_s + jitter / 4 if retry_after_s is not None else jitter
