"""One claimed generation, from the wish to its end: call, spool, verify, store, settle.

A wish for several pictures is one call each, all at once, or one call for all where the protocol can; a slot is one
such line of calls. No transaction and no database connection is held while the network is in use. Every step may be
repeated after a crash: what the upstream had sent is adopted from the spool, what was verified waits in its attempt's
row, and a call whose end nobody saw counts as paid.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from accounts.users import user_token
from generations import brought, catalog, events, leases, settlement, spool, trial
from generations.interim import Interim
from generations.leases import Lease, LeaseLost
from generations.models import Attempt, Generation
from generations.outcomes import OUTCOMES, UNREADABLE
from generations.providers import breaker, refused_keys, routing
from generations.providers.answer import Answer
from generations.providers.base import Brought, Provider, ProviderError
from generations.providers.breaker import Permit, Refusal
from generations.providers.current import providers_for
from generations.providers.resilience import GiveUp, Made, Retry, decide
from generations.providers.routing import Way
from generations.reading import Yield, read_answer
from generations.settlement import Conclusion
from generations.spec import GenerationSpec

log = structlog.get_logger(__name__)

BREAKER_PATIENCE_S = 60.0  # how long money is held for an upstream that is left alone
BREAKER_JITTER_S = 3.0  # or all that wait would come back in one moment


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one worker holds of a claimed generation."""

    lease: Lease
    generation: Generation
    spec: GenerationSpec
    providers: Sequence[Provider]

    @property
    def slots(self) -> range:
        return range(1 if self.providers[0].is_batching else self.spec.count)

    @property
    def pictures_per_call(self) -> int:
        return self.spec.count // len(self.slots)

    def spec_of(self, slot: int) -> GenerationSpec:
        return self.spec.for_slot(slot) if len(self.slots) > 1 else self.spec

    def place_of(self, attempt: Attempt) -> int:
        """Where the upstream that was called is in the order of fallback; the first if it is there no more."""
        names = [provider.name for provider in self.providers]
        return names.index(attempt.upstream) if attempt.upstream in names else 0

    def provider_of(self, attempt: Attempt) -> Provider:
        """Who was called; the first one if that upstream has been taken out of service since."""
        return self.providers[self.place_of(attempt)]


@dataclass(frozen=True)
class Call:
    """One call to make."""

    attempt: Attempt
    provider: Provider
    spec: GenerationSpec
    brought: Brought
    permit: Permit


def execute(lease: Lease) -> None:
    """Work on a generation until it ends or is parked. Raises LeaseLost when somebody else has taken it over."""
    generation = Generation.objects.select_related("user", "price", "hold").get(pk=lease.generation_id)
    spec = GenerationSpec.from_canonical(generation.spec)
    job = Job(lease=lease, generation=generation, spec=spec, providers=providers_for(spec))
    for attempt in list(generation.attempts.filter(outcome=Attempt.SENT).order_by("number")):
        _conclude(job, attempt, _recover(job, attempt))
    waits: dict[int, float | None] = {}
    is_due = True  # it was claimed, so whatever had to be waited for is over
    while True:
        made = _attempts_by_slot(job)
        steps = {slot: _next_step(job, slot, made[slot], waits.get(slot), is_due=is_due) for slot in job.slots}
        retries = {slot: step for slot, step in steps.items() if isinstance(step, Retry)}
        if not retries or _is_over(job):
            _settle(job, steps)
            return
        delay_s = max(retry.delay_s for retry in retries.values())
        if delay_s > 0:
            leases.park(job.lease, delay_s=delay_s, stage="waiting_to_retry")
            return
        ways = _find_ways(job, made, retries)
        if isinstance(ways, Refusal):
            _wait_for_upstream(job, steps, ways)
            return
        try:
            calls = _begin_attempts(job, ways)
        except brought.PictureGone as error:
            gave_up = GiveUp(str(error), "picture_gone")
            _settle(job, {slot: gave_up if slot in retries else step for slot, step in steps.items()})
            return
        waits = {call.attempt.slot: result.retry_after_s for call, result in _call_all(job, calls)}
        is_due = False


def _attempts_by_slot(job: Job) -> dict[int, list[Attempt]]:
    """The calls of this run in their order."""
    attempts = job.generation.attempts.filter(run=job.generation.run).order_by("number")
    made: dict[int, list[Attempt]] = {slot: [] for slot in job.slots}
    for attempt in attempts:
        made.setdefault(attempt.slot, []).append(attempt)
    return made


def _next_step(
    job: Job, slot: int, attempts: Sequence[Attempt], retry_after_s: float | None, *, is_due: bool
) -> Retry | GiveUp | None:
    """The next call for a slot after these, the end of trying, or None when its pictures are there."""
    if not attempts:
        return Retry()
    if any(_has_picture(attempt) for attempt in attempts):
        return None
    return decide(
        [Made(each.outcome, job.place_of(each), each.key_index) for each in attempts],
        key_counts=[provider.key_count for provider in job.providers],
        retry_after_s=retry_after_s,
        remaining_s=_remaining_s(job.generation),
        max_paid=trial.max_paid_attempts(job.generation.user),
        is_due=is_due,
        away=routing.away(job.providers, job.spec_of(slot)),
    )


def _find_ways(job: Job, made: dict[int, list[Attempt]], retries: dict[int, Retry]) -> dict[int, Way] | Refusal:
    """The calls that the breakers let through; the Refusal that ends first when they let none.

    Another upstream takes the place of one that is away as long as nothing may have been bought for the slot.
    """
    ways: dict[int, Way] = {}
    refusals = []
    for slot, retry in retries.items():
        asked = {job.place_of(attempt) for attempt in made[slot]} | {retry.upstream}
        is_free = not any(OUTCOMES[attempt.outcome].paid for attempt in made[slot])
        instead = [place for place in range(len(job.providers)) if is_free and place not in asked]
        found = routing.find_way(job.providers, job.spec_of(slot), retry, instead=instead)
        if isinstance(found, Refusal):
            refusals.append(found)
        else:
            ways[slot] = found
    return ways or min(refusals, key=lambda refusal: refusal.wait_s)


def _wait_for_upstream(job: Job, steps: dict[int, Retry | GiveUp | None], refusal: Refusal) -> None:
    """Park the job until the breaker may be tried, or end it: no money is held longer for an upstream that is away."""
    delay_s = refusal.wait_s + random.uniform(0, min(BREAKER_JITTER_S, refusal.wait_s))
    held_for_nothing_s = time.time() - max(refusal.since, job.generation.queued_at.timestamp())
    if held_for_nothing_s + delay_s <= BREAKER_PATIENCE_S and delay_s < _remaining_s(job.generation):
        leases.park(job.lease, delay_s=delay_s, stage="upstream_resting")
        return
    gave_up = GiveUp("the upstream has failed again and again and is left alone for a while", "unavailable")
    _settle(job, {slot: gave_up if isinstance(step, Retry) else step for slot, step in steps.items()})


def _has_picture(attempt: Attempt) -> bool:
    return any(not document["is_draft"] for document in attempt.pictures)


def _is_over(job: Job) -> bool:
    """Whether no further call may be made: its owner does not want it any more, or the time has run out."""
    return _is_cancelled(job) or _remaining_s(job.generation) <= 0


def _is_cancelled(job: Job) -> bool:
    return Generation.objects.filter(pk=job.generation.pk, cancel_requested_at__isnull=False).exists()


def _settle(job: Job, steps: dict[int, Retry | GiveUp | None]) -> None:
    """End it: with the pictures there are, however many are missing; else with the reason why there are none."""
    rows, generation = job.lease.rows(), job.generation
    attempts = list(generation.attempts.filter(run=generation.run).order_by("number"))
    if any(_has_picture(attempt) for attempt in attempts):
        settlement.succeed(rows, generation, job.spec)
    elif _is_cancelled(job):
        settlement.cancel(rows, generation)
    elif any(isinstance(step, Retry) for step in steps.values()):
        settlement.fail(rows, generation, code="timeout", detail="the time for this job has run out")
    else:
        reasons = [step for step in steps.values() if isinstance(step, GiveUp)]
        code = next((reason.outcome for reason in reasons if reason.outcome), "") or attempts[-1].outcome
        detail = next((reason.detail for reason in reasons if reason.detail), "") or attempts[-1].detail
        settlement.fail(rows, generation, code=code, detail=detail)


def _begin_attempts(job: Job, ways: dict[int, Way]) -> list[Call]:
    """Commit the attempts as 'sent' before a socket opens: a call that nobody recorded would be a free picture."""
    try:
        return _write_attempts(job, ways)
    except BaseException:
        for way in ways.values():
            breaker.abandon(way.permit)
        raise


def _write_attempts(job: Job, ways: dict[int, Way]) -> list[Call]:
    calls = []
    packed = brought.pack(job.generation.user, job.spec, user_token=user_token(job.generation.user))
    with transaction.atomic():
        if not job.lease.rows().update(stage="painting", version=F("version") + 1):
            raise LeaseLost
        number = job.generation.attempts.aggregate(last=Max("number"))["last"] or 0
        for offset, (slot, way) in enumerate(ways.items(), start=1):
            provider, spec = job.providers[way.retry.upstream], job.spec_of(slot)
            attempt = Attempt.objects.create(
                generation=job.generation,
                run=job.generation.run,
                number=number + offset,
                slot=slot,
                fence=job.lease.fence,
                upstream=provider.name,
                upstream_model=provider.upstream_model(spec),
                key_index=way.retry.key_index,
            )
            calls.append(Call(attempt, provider, spec, packed, way.permit))
        transaction.on_commit(lambda: events.publish(job.generation.pk))
    return calls


def _call_all(job: Job, calls: list[Call]) -> list[tuple[Call, Yield]]:
    """Make the calls at once; each is concluded when it ends, so that a crash forgets none that has ended."""
    connection.close()  # hundreds of waiting calls would otherwise hold hundreds of PostgreSQL connections
    with Interim(job.lease) as interim:
        return _call_each(job, calls, interim)


def _call_each(job: Job, calls: list[Call], interim: Interim) -> list[tuple[Call, Yield]]:
    if len(calls) == 1:
        result = _call(job, calls[0], interim)
        interim.close()
        _conclude(job, calls[0].attempt, result)
        return [(calls[0], result)]
    results, errors = [], []
    with ThreadPoolExecutor(len(calls), thread_name_prefix="slot") as pool:
        pending = {pool.submit(_call, job, call, interim): call for call in calls}
        for done in as_completed(pending):
            if error := done.exception():  # ours, such as a full disk: it must not make the others' ends unknown
                errors.append(error)
                continue
            call, result = pending[done], done.result()
            _conclude(job, call.attempt, result)
            connection.close()  # the others may go on for a minute
            results.append((call, result))
    if errors:
        raise errors[0]
    return results


def _call(job: Job, call: Call, interim: Interim) -> Yield:
    """Touches no database: it runs in a thread of its own when there are several."""
    try:
        result = _ask(job, call, interim)
    except BaseException:
        breaker.abandon(call.permit)
        raise
    breaker.record(call.permit, result.conclusion.outcome)
    if result.conclusion.outcome == "auth":
        refused_keys.remember(call.provider, call.attempt.key_index)
    return result


def _ask(job: Job, call: Call, interim: Interim) -> Yield:
    timeout_s = settings.UPSTREAM_TIMEOUT_S or catalog.default_timeout_s(call.spec.image_size, call.spec.model)
    started = time.monotonic()
    try:
        answer = call.provider.send(
            call.spec,
            key_index=call.attempt.key_index,
            timeout_s=max(1.0, min(timeout_s, _remaining_s(job.generation))),
            spool_path=spool.reply_path(call.attempt),
            brought=call.brought,
            on_piece=interim.sink(call.attempt) if call.spec.include_thoughts else None,
        )
    except ProviderError as error:
        return Yield(conclusion=Conclusion(outcome=error.outcome, detail=error.detail, elapsed_ms=error.elapsed_ms))
    log.info(
        "upstream_answered",
        attempt=str(call.attempt.public_id),
        status=answer.status,
        upstream_request_id=answer.request_id,
        elapsed_ms=round((time.monotonic() - started) * 1000),
    )
    return _read(job, call.provider, call.attempt, answer)


def _recover(job: Job, attempt: Attempt) -> Yield:
    """What became of the call of a worker that is gone: its spooled answer, or nobody knows."""
    answer = spool.adopt(attempt)
    if answer is None:
        return Yield(conclusion=Conclusion(outcome="unknown", detail="the worker ended before the answer came"))
    log.info("answer_adopted", attempt=str(attempt.public_id))
    return _read(job, job.provider_of(attempt), attempt, answer)


def _read(job: Job, provider: Provider, attempt: Attempt, answer: Answer) -> Yield:
    asked, with_drafts = job.pictures_per_call, job.spec.include_thoughts
    return read_answer(provider, attempt, answer, asked=asked, with_drafts=with_drafts, kind=job.spec.kind)


def _conclude(job: Job, attempt: Attempt, result: Yield) -> None:
    """Write down how a call ended; its verified pictures wait in its row for the others. Raises LeaseLost."""
    with transaction.atomic():
        if not job.lease.rows().update(stage="deciding", version=F("version") + 1):
            raise LeaseLost
        settlement.conclude_attempt(
            attempt,
            job.generation,
            result.conclusion,
            delivery=result.delivery,
            asked=job.pictures_per_call,
        )
    spool.discard(attempt)
    if not result.delivery.finals:
        outcome = result.conclusion.outcome
        # What cannot be read is ours or the upstream's to mend (SF011); the rest happens on every day.
        write, event = (log.error, "answer_unreadable") if outcome in UNREADABLE else (log.warning, "attempt_failed")
        write(event, attempt=str(attempt.public_id), outcome=outcome, detail=result.conclusion.detail)


def _remaining_s(generation: Generation) -> float:
    """Seconds until the deadline that all attempts share; it began with the first claim of this run."""
    started_at = generation.started_at or timezone.now()
    deadline = started_at + timedelta(seconds=settings.UPSTREAM_DEADLINE_S)
    return (deadline - timezone.now()).total_seconds()
