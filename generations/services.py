"""The verbs on a generation, one entrance each: web, REST, gateway and commands all call these."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts import ledger, plans, quotas
from accounts.closing import refuse_closed
from accounts.errors import Conflict, IdempotencyMismatch, NotFound, ServiceError
from accounts.models import ApiKey, Price, Transfer, User
from gallery.screening.rules import admit
from gallery.screening.verdicts import Verdict
from generations import catalog, events, reusing, settlement, trial
from generations.brought import check_brought
from generations.errors import QueueFull, UpstreamUnavailable
from generations.leases import LeaseLost
from generations.models import Generation, IdempotencyKey, Status
from generations.parents import Parent, columns_of, find_parent
from generations.providers import breaker
from generations.providers.current import check_carried, providers_for
from generations.running import count_running
from generations.spec import GenerationSpec
from generations.tasks import run_generation

ENDPOINT = "generations"
HOLD_MARGIN_S = 300
SUBMIT_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A generation, and whether it is the answer to an earlier request with the same idempotency key."""

    generation: Generation
    is_replay: bool = False
    status_code: int = 202
    limits: tuple[quotas.LimitState, ...] = ()  # as they are after it; none when nothing was counted


def submit(
    *,
    user: User,
    spec: GenerationSpec,
    source: str,
    api_key: ApiKey | None = None,
    idempotency_key: str = "",
    reuse: bool = False,
    parent: UUID | None = None,
) -> Submission:
    """Queue a wish: quota, hold and job in one transaction, or nothing at all.

    With `reuse` an identical wish of the same user that has its pictures, or is making them, answers instead, and
    nothing is charged. `parent` is the generation or the picture that it was begun from.

    Raises PromptRejected, AccountNeeded, InsufficientCredit, KeyBudgetExceeded, QuotaExceeded, ConcurrencyLimit,
    QueueFull, UpstreamUnavailable, PriceUnknown, RetiredModel, IdempotencyMismatch, and InvalidInput for pictures and
    parents that are not the user's.
    """
    body = spec.canonical() | ({"reuse": "auto"} if reuse else {}) | ({"parent": str(parent)} if parent else {})
    fingerprint = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def remember(generation: Generation) -> None:
        if idempotency_key:
            IdempotencyKey.objects.create(
                user=user,
                endpoint=ENDPOINT,
                key=idempotency_key,
                fingerprint=fingerprint,
                generation=generation,
                status_code=202,
            )

    def find_replay() -> Submission | None:
        return _find_earlier(user, idempotency_key, fingerprint) if idempotency_key else None

    def find_answer() -> Submission | None:
        if replay := find_replay():
            return replay
        if not reuse:
            return None
        try:
            reused = reusing.answer(
                user=user,
                spec=spec,
                source=source,
                api_key=api_key,
                parent=begun_from,
                rule_hits=verdict.kept(),
                remember=remember,
            )
        except IntegrityError:  # the same key was sent twice at once, and the other request was first
            return find_replay()
        return Submission(generation=reused) if reused else None

    def is_answered() -> bool:
        return find_replay() is not None or (reuse and reusing.find_reusable(user=user, spec=spec) is not None)

    if replay := find_replay():
        return replay
    # Here every door comes through, and before any transaction: SQLite's write lock must not wait for it.
    verdict = admit(spec.texts())
    begun_from = find_parent(user, spec, named=parent)
    for _ in range(SUBMIT_TRIES):
        if answer := find_answer():
            return answer
        catalog.askable_model(spec.model)
        trial.check_wish(user, spec)
        check_brought(user, spec)
        price = ledger.current_price(model=spec.model, size=spec.image_size, unit=spec.kind)
        check_carried(spec)
        _refuse_while_away(spec)
        try:
            standing = _entitle(user, api_key)
            with transaction.atomic():
                generation, limits = _insert(standing, spec, source, price, verdict, begun_from, is_answered)
                remember(generation)
                transaction.on_commit(lambda pk=generation.pk: run_generation.delay(pk))  # type: ignore[misc]
            return Submission(generation=generation, limits=limits)
        except _AlreadySubmitted:
            continue
        except (ServiceError, IntegrityError):
            # The same request was sent twice at once, and the other one was first: whatever stopped this one (the last
            # of the quota, the unique key), the answer is that one's generation.
            if answer := find_answer():
                return answer
            raise
    raise Conflict("The same wish was sent many times at once, and ended each time.", remedy="Send it again.")


def _refuse_while_away(spec: GenerationSpec) -> None:
    """Raises UpstreamUnavailable while every upstream of the model is left alone: money would be held for nothing."""
    wait_s = breaker.wait_s(providers_for(spec), spec)
    if wait_s > 0:
        raise UpstreamUnavailable(retry_after=math.ceil(wait_s))


class _AlreadySubmitted(Exception):
    """Leaves the transaction of submit without a trace."""


def _entitle(user: User, api_key: ApiKey | None) -> quotas.Standing:
    """What the user may do; the credit of a month that has begun comes first. Raises QuotaExceeded (storage)."""
    standing = quotas.standing_of(user, api_key=api_key)
    plans.refill(user=user, plan=standing.plan)
    quotas.check_storage(standing=standing)
    return standing


def _insert(
    standing: quotas.Standing,
    spec: GenerationSpec,
    source: str,
    price: Price,
    verdict: Verdict,
    parent: Parent | None,
    is_repeated: Callable[[], bool],
) -> tuple[Generation, tuple[quotas.LimitState, ...]]:
    now = timezone.now()
    # First of all the user's row of today: its lock puts the submits of one user in a line, so that the count of
    # running jobs below is exact on PostgreSQL as well.
    taken = quotas.take_images(standing=standing, count=spec.count, at=now)
    if is_repeated():
        raise _AlreadySubmitted
    trial.check_left(standing.user)
    at_once = quotas.check_concurrent(standing=standing, running=count_running(standing))
    if Generation.objects.filter(status=Status.QUEUED).count() >= settings.QUEUE_LIMIT:
        raise QueueFull(retry_after=30)
    generation = Generation(
        user=standing.user,
        api_key=standing.api_key,
        source=source,
        kind=spec.kind,
        model=spec.model,
        prompt=spec.prompt,
        spec=spec.canonical(),
        rule_hits=verdict.kept(),
        fingerprint=spec.fingerprint,
        likeness=spec.likeness,
        **columns_of(parent),
        price=price,
        quoted_micros=price.amount_micros * spec.count,
        quota_window=taken.day,
        priority=trial.priority_of(standing.user),
        created_at=now,
        queued_at=now,
        next_run_at=now,
        woken_at=now,
    )
    generation.hold = _reserve(generation, standing.api_key)
    generation.save(force_insert=True)
    refuse_closed(standing.user)
    return generation, (*taken.states, *at_once)


def _reserve(generation: Generation, api_key: ApiKey | None) -> Transfer:
    longest = settings.QUEUE_TIMEOUT_S + settings.UPSTREAM_DEADLINE_S + HOLD_MARGIN_S
    return ledger.reserve(
        user=generation.user,
        amount_micros=generation.quoted_micros,
        reference=str(generation.public_id),
        key=f"hold:{generation.public_id}:{generation.run}",
        price=generation.price,
        expires_at=timezone.now() + timedelta(seconds=longest),
        api_key=api_key,
    )


def _find_earlier(user: User, key: str, fingerprint: str) -> Submission | None:
    row = IdempotencyKey.objects.select_related("generation").filter(user=user, endpoint=ENDPOINT, key=key).first()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise IdempotencyMismatch
    return Submission(generation=row.generation, is_replay=True, status_code=row.status_code)


def get(*, user: User, public_id: UUID | str) -> Generation:
    """One of the user's own generations. Raises NotFound, for other people's too."""
    generation = Generation.objects.for_api().filter(user=user, public_id=public_id).first()
    if generation is None:
        raise NotFound("There is no such generation in your account.")
    return generation


def cancel(*, user: User, public_id: UUID | str) -> Generation:
    """End a waiting generation at once. One that is being painted is asked to stop: no further attempt is made,
    and it is charged only if its picture still comes. Raises NotFound, Conflict."""
    generation = get(user=user, public_id=public_id)
    waiting = Generation.objects.unfinished().filter(pk=generation.pk, lease_owner="")
    try:
        settlement.cancel(waiting, generation)
    except LeaseLost:
        asked = Generation.objects.filter(
            pk=generation.pk, status=Status.RUNNING, cancel_requested_at__isnull=True
        ).update(cancel_requested_at=timezone.now(), version=F("version") + 1)
        if asked:
            events.publish(generation.pk)
    generation = get(user=user, public_id=public_id)
    if generation.status in (Status.SUCCEEDED, Status.FAILED):
        raise Conflict(f"This generation has already {generation.status}.", remedy="There is nothing left to cancel.")
    return generation


def retry(*, user: User, public_id: UUID | str, api_key: ApiKey | None = None) -> Generation:
    """Queue a failed or cancelled generation again, with a new hold at today's price. Raises as submit does.

    `api_key` is the key that asks now: its budget and its limits are those of this run, whichever key asked first.
    """
    generation = get(user=user, public_id=public_id)
    spec = GenerationSpec.from_canonical(generation.spec)
    catalog.askable_model(spec.model)
    trial.check_wish(user, spec)
    verdict = admit(spec.texts())  # by the rules of today
    check_brought(user, spec)
    price = ledger.current_price(model=spec.model, size=spec.image_size, unit=spec.kind)
    check_carried(spec)
    _refuse_while_away(spec)
    standing = _entitle(user, api_key)
    now = timezone.now()
    with transaction.atomic():
        ended = Generation.objects.filter(pk=generation.pk, status__in=(Status.FAILED, Status.CANCELED))
        # The first write decides between two retries at once, and locks the row before usage and wallet.
        if not ended.update(status=Status.QUEUED, run=F("run") + 1, version=F("version") + 1):
            raise Conflict(
                f"Only a failed or cancelled generation can be tried again; this one is {generation.status}."
            )
        refuse_closed(user)
        generation.run += 1
        generation.price = price
        generation.quoted_micros = price.amount_micros * spec.count
        taken = quotas.take_images(standing=standing, count=spec.count, at=now)
        trial.check_left(user, besides=generation.pk)
        quotas.check_concurrent(standing=standing, running=count_running(standing, besides=generation.pk))
        Generation.objects.filter(pk=generation.pk).update(
            stage="queued",
            rule_hits=verdict.kept(),
            error_code="",
            error_detail="",
            reused_from=None,
            api_key=api_key,
            hold=_reserve(generation, api_key),
            price=price,
            quoted_micros=generation.quoted_micros,
            quota_window=taken.day,
            priority=trial.priority_of(user),
            cancel_requested_at=None,
            started_at=None,
            finished_at=None,
            queued_at=now,
            next_run_at=now,
            woken_at=now,
        )
        transaction.on_commit(lambda: events.publish(generation.pk))
        transaction.on_commit(lambda: run_generation.delay(generation.pk))
    return get(user=user, public_id=public_id)
