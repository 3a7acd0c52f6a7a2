"""The circuit breaker: an upstream that fails again and again is left alone, and then tried by one call at a time.

There is one for each upstream and model, shared by all workers. It opens at so many failures that are at least half
of the calls that ended within WINDOW_S seconds, stays open for OPEN_S, and then lets one probe through: an answer
closes it, another failure opens it again. Refusals (4xx), rate limits and blocked prompts are answers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import structlog
from django.conf import settings

from generations.providers import shared_state
from generations.providers.base import Provider
from generations.spec import GenerationSpec

log = structlog.get_logger(__name__)

State = Literal["closed", "open", "half-open"]

FAILURE_OUTCOMES = frozenset({"unknown", "unavailable", "malformed"})
SHARE = 0.5
WINDOW_S = 30
BUCKET_S = 3
OPEN_S = 15.0
# A probe of a worker that has died is given up after this; an attempt may last 60 s and its answer must be read.
PROBE_S = 75.0
BETWEEN_LOOKS_S = 2.0  # how soon to look again while somebody else's probe is under way
REMEMBERED_S = 3600.0


class _Opening(TypedDict):
    since: float  # when it first opened; a failed probe does not change it
    until: float


@dataclass(frozen=True)
class Permit:
    """The right to make one call. Its end is told with `record`, or `abandon` if the call was never made.

    `round` names the closed period in which it was given: what began before the breaker last closed says nothing
    about the upstream of today.
    """

    circuit: str
    round: int
    probe: str = ""


@dataclass(frozen=True)
class Refusal:
    """No call now: look again after `wait_s`; the upstream has been away `since` (seconds since 1970)."""

    wait_s: float
    since: float


def admit(upstream: str, model: str) -> Permit | Refusal:
    """Ask before every call."""
    circuit = _circuit(upstream, model)
    opening, round_ = _read(circuit)
    if opening is None:
        return Permit(circuit, round_)
    now = time.time()
    if now < opening["until"]:
        return Refusal(opening["until"] - now, opening["since"])
    probe = _probe_of(circuit, opening)
    if shared_state.add(probe, True, kept_s=PROBE_S):
        return Permit(circuit, round_, probe)
    return Refusal(BETWEEN_LOOKS_S, opening["since"])


def record(permit: Permit, outcome: str) -> None:
    """How the call ended, as a row of outcomes.py."""
    failed = outcome in FAILURE_OUTCOMES
    if permit.probe:
        _conclude_probe(permit, failed=failed)
        return
    opening, round_ = _read(permit.circuit)
    if opening is not None or round_ != permit.round:
        return
    bucket = int(time.time()) // BUCKET_S
    kind = "bad" if failed else "good"
    shared_state.count(_bucket(permit, bucket, kind), kept_s=WINDOW_S + BUCKET_S)
    if failed and _is_failing(permit, bucket):
        now = time.time()
        if shared_state.add(_opening(permit.circuit), _Opening(since=now, until=now + OPEN_S), kept_s=REMEMBERED_S):
            log.error("breaker_opened", circuit=permit.circuit, open_s=OPEN_S)


def abandon(permit: Permit) -> None:
    """The call was not made after all: somebody else may probe."""
    if permit.probe:
        shared_state.remove(permit.probe)


def state_of(upstream: str, model: str) -> State:
    """For people to look at."""
    opening, _ = _read(_circuit(upstream, model))
    if opening is None:
        return "closed"
    return "open" if time.time() < opening["until"] else "half-open"


def wait_s(providers: Sequence[Provider], spec: GenerationSpec) -> float:
    """Seconds until the first of these may be asked, 0 when one may be asked now; takes no probe's place."""
    waits = [_wait_s(_circuit(provider.name, provider.upstream_model(spec))) for provider in providers]
    return min(waits, default=0.0)


def _wait_s(circuit: str) -> float:
    opening, _ = _read(circuit)
    if opening is None:
        return 0.0
    left = opening["until"] - time.time()
    if left > 0:
        return left
    probe = _probe_of(circuit, opening)
    return BETWEEN_LOOKS_S if shared_state.get_many([probe]) else 0.0


def _conclude_probe(permit: Permit, *, failed: bool) -> None:
    opening, round_ = _read(permit.circuit)
    if opening is None or _probe_of(permit.circuit, opening) != permit.probe:
        return  # it took so long that another probe has answered the question
    if failed:
        again = _Opening(since=opening["since"], until=time.time() + OPEN_S)
        shared_state.put(_opening(permit.circuit), again, kept_s=REMEMBERED_S)
        return
    # The round first: a failure of the old one that ends in between must not count in the new one.
    shared_state.put(_round(permit.circuit), round_ + 1, kept_s=REMEMBERED_S)
    shared_state.remove(_opening(permit.circuit))
    log.warning("breaker_closed", circuit=permit.circuit, open_for_s=round(time.time() - opening["since"], 1))


def _is_failing(permit: Permit, bucket: int) -> bool:
    buckets = range(bucket - WINDOW_S // BUCKET_S + 1, bucket + 1)
    found = shared_state.get_many([_bucket(permit, each, kind) for each in buckets for kind in ("good", "bad")])
    bad = sum(found.get(_bucket(permit, each, "bad"), 0) for each in buckets)
    return 0 < settings.UPSTREAM_BREAKER_FAILURES <= bad >= SHARE * sum(found.values())


def _read(circuit: str) -> tuple[_Opening | None, int]:
    found = shared_state.get_many([_opening(circuit), _round(circuit)])
    return found.get(_opening(circuit)), found.get(_round(circuit), 0)


def _circuit(upstream: str, model: str) -> str:
    return f"{upstream}/{model}"


def _opening(circuit: str) -> str:
    return f"breaker:{circuit}:open"


def _round(circuit: str) -> str:
    return f"breaker:{circuit}:round"


def _probe_of(circuit: str, opening: _Opening) -> str:
    """Each half-open period has a place of its own, so that a late probe cannot free its successor's."""
    return f"breaker:{circuit}:probe:{opening['until']}"


def _bucket(permit: Permit, bucket: int, kind: str) -> str:
    return f"breaker:{permit.circuit}:{permit.round}:{bucket}:{kind}"
