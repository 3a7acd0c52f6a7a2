"""One claimed generation, from the wish to its end: call, spool, verify, store, settle.

No transaction and no database connection is held while the network is in use. Every step may be repeated after a
crash: what the upstream had sent is adopted from the spool, and a call whose end nobody saw counts as paid.
"""

import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from gallery import services as gallery
from gallery.decode_pool import verifier
from gallery.imaging import OUTPUT_LIMITS, ImageRejected, decode_base64_to_file, verify_image
from generations import catalog, events, leases, raw_answers, settlement, spool
from generations.leases import Lease, LeaseLost
from generations.models import Attempt, Generation
from generations.providers.answer import Answer, durable_file
from generations.providers.base import Provider, ProviderError
from generations.providers.current import current_provider
from generations.providers.resilience import GiveUp, decide
from generations.settlement import Conclusion, Picture
from generations.spec import GenerationSpec

log = structlog.get_logger(__name__)

# Parsing holds a whole answer and its decoded picture in memory: as many at once as there are cores, however many
# answers land together.
parsing = threading.BoundedSemaphore(os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Yield:
    """What one attempt brought: pictures, or a conclusion without any."""

    conclusion: Conclusion
    pictures: tuple[Picture, ...] = ()
    text: str = ""
    retry_after_s: float | None = None


def execute(lease: Lease) -> None:
    """Work on a generation until it ends or is parked. Raises LeaseLost when somebody else has taken it over."""
    generation = Generation.objects.select_related("user", "price", "hold").get(pk=lease.generation_id)
    spec = GenerationSpec.from_canonical(generation.spec)
    provider = current_provider()
    attempt = _open_attempt(generation)
    if attempt is not None:
        result = _recover(provider, attempt, spec)
        if _conclude(lease, generation, spec, provider, attempt, result):
            return
    while True:
        if _must_stop(lease, generation):
            return
        attempt = _begin_attempt(lease, generation, spec, provider)
        result = _call(provider, generation, attempt, spec)
        if _conclude(lease, generation, spec, provider, attempt, result):
            return


def _open_attempt(generation: Generation) -> Attempt | None:
    return generation.attempts.filter(outcome=Attempt.SENT).order_by("-number").first()


def _recover(provider: Provider, attempt: Attempt, spec: GenerationSpec) -> Yield:
    """What became of the call of a worker that is gone: its spooled answer, or nobody knows."""
    answer = spool.adopt(attempt)
    if answer is None:
        return Yield(conclusion=Conclusion(outcome="unknown", detail="the worker ended before the answer came"))
    log.info("answer_adopted", attempt=str(attempt.public_id))
    return _read(provider, attempt, answer)


def _must_stop(lease: Lease, generation: Generation) -> bool:
    if Generation.objects.filter(pk=generation.pk, cancel_requested_at__isnull=False).exists():
        settlement.cancel(lease.rows(), generation)
        return True
    if _remaining_s(generation) <= 0:
        settlement.fail(lease.rows(), generation, code="timeout", detail="the time for this job has run out")
        return True
    return False


def _begin_attempt(lease: Lease, generation: Generation, spec: GenerationSpec, provider: Provider) -> Attempt:
    """Commit the attempt as 'sent' before the socket opens: a call that nobody recorded would be a free picture."""
    with transaction.atomic():
        if not lease.rows().update(stage="painting", version=F("version") + 1):
            raise LeaseLost
        number = generation.attempts.aggregate(last=Max("number"))["last"] or 0
        attempt = Attempt.objects.create(
            generation=generation,
            run=generation.run,
            number=number + 1,
            fence=lease.fence,
            upstream=provider.name,
            upstream_model=provider.upstream_model(spec),
            key_index=_next_key(generation, provider),
        )
        transaction.on_commit(lambda: events.publish(generation.pk))
    return attempt


def _next_key(generation: Generation, provider: Provider) -> int:
    """The key after one that was refused, else the primary one."""
    last = generation.attempts.filter(run=generation.run).order_by("-number").first()
    if last is None:
        return 0
    return (last.key_index + (last.outcome == "auth")) % provider.key_count


def _call(provider: Provider, generation: Generation, attempt: Attempt, spec: GenerationSpec) -> Yield:
    timeout_s = settings.UPSTREAM_TIMEOUT_S or catalog.default_timeout_s(spec.image_size)
    connection.close()  # hundreds of waiting calls would otherwise hold hundreds of PostgreSQL connections
    started = time.monotonic()
    try:
        answer = provider.send(
            spec,
            key_index=attempt.key_index,
            timeout_s=max(1.0, min(timeout_s, _remaining_s(generation))),
            spool_path=spool.reply_path(attempt),
        )
    except ProviderError as error:
        conclusion = Conclusion(outcome=error.outcome, detail=error.detail, elapsed_ms=error.elapsed_ms)
        return Yield(conclusion=conclusion)
    log.info(
        "upstream_answered",
        attempt=str(attempt.public_id),
        status=answer.status,
        upstream_request_id=answer.request_id,
        elapsed_ms=round((time.monotonic() - started) * 1000),
    )
    return _read(provider, attempt, answer)


def _read(provider: Provider, attempt: Attempt, answer: Answer) -> Yield:
    """Parse, decode and verify; the picture's bytes are in the gallery's storage when there are pictures."""
    path = spool.picture_path(attempt)
    with parsing:
        reply = provider.read(answer)
        conclusion = Conclusion(
            outcome=reply.outcome or "ok",
            detail=reply.error.message if reply.error else "",
            http_status=answer.status,
            request_id=answer.request_id or reply.response_id or "",
            elapsed_ms=answer.elapsed_ms,
            finish_reason=reply.finish_reason or "",
            block_reason=reply.block_reason or "",
            usage=dict(reply.usage),
            raw_answer=raw_answers.summarise(answer),
        )
        if reply.chosen is None:
            return Yield(conclusion=conclusion, retry_after_s=reply.retry_after_s)
        try:
            with durable_file(path) as file:
                decode_base64_to_file(reply.chosen.data, Path(file.name), max_bytes=OUTPUT_LIMITS.max_bytes)
        except ImageRejected as error:
            return _rejected(conclusion, error)
    try:
        facts = verifier.run(verify_image, path, limits=OUTPUT_LIMITS)
    except ImageRejected as error:
        path.unlink(missing_ok=True)
        return _rejected(conclusion, error)
    gallery.keep_picture(path=path, facts=facts)
    picture = Picture(facts=facts, thought_signature=reply.chosen.thought_signature or "")
    return Yield(conclusion=conclusion, pictures=(picture,), text=reply.text)


def _rejected(conclusion: Conclusion, error: ImageRejected) -> Yield:
    log.error("picture_rejected", reason=error.reason, detail=error.detail)
    return Yield(conclusion=replace(conclusion, outcome=error.reason, detail=error.detail))


def _conclude(
    lease: Lease, generation: Generation, spec: GenerationSpec, provider: Provider, attempt: Attempt, result: Yield
) -> bool:
    """Settle, park, or return False for another attempt at once."""
    if result.pictures:
        settlement.succeed(
            lease.rows(),
            generation,
            attempt,
            spec,
            pictures=result.pictures,
            text=result.text,
            conclusion=result.conclusion,
        )
        spool.discard(attempt)
        return True
    with transaction.atomic():
        if not lease.rows().update(stage="deciding"):
            raise LeaseLost
        settlement.conclude_attempt(attempt, generation, result.conclusion)
    spool.discard(attempt)
    log.warning(
        "attempt_failed",
        attempt=str(attempt.public_id),
        outcome=result.conclusion.outcome,
        detail=result.conclusion.detail,
    )
    if _must_stop(lease, generation):
        return True
    outcomes = list(generation.attempts.filter(run=generation.run).order_by("number").values_list("outcome", flat=True))
    decision = decide(
        outcomes,
        key_index=attempt.key_index,
        key_count=provider.key_count,
        retry_after_s=result.retry_after_s,
        remaining_s=_remaining_s(generation),
        max_paid=settings.UPSTREAM_MAX_PAID_ATTEMPTS,
    )
    if isinstance(decision, GiveUp):
        detail = decision.detail or result.conclusion.detail
        settlement.fail(lease.rows(), generation, code=result.conclusion.outcome, detail=detail)
        return True
    if decision.delay_s > 0:
        leases.park(lease, delay_s=decision.delay_s, stage="waiting_to_retry")
        return True
    return False


def _remaining_s(generation: Generation) -> float:
    """Seconds until the deadline that all attempts share; it began with the first claim of this run."""
    started_at = generation.started_at or timezone.now()
    deadline = started_at + timedelta(seconds=settings.UPSTREAM_DEADLINE_S)
    return (deadline - timezone.now()).total_seconds()
