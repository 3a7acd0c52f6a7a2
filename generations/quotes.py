"""What a wish would cost and whether it would be refused, told before anything is asked for; creates nothing.

The figures are those that `services.submit` decides by, read a moment earlier: a promise of the price, not of a place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Window
from django.utils import timezone

from accounts import ledger, plans, quotas
from accounts.errors import (
    AccountNeeded,
    ConcurrencyLimit,
    InsufficientCredit,
    KeyBudgetExceeded,
    QuotaExceeded,
    RateLimited,
    ServiceError,
)
from accounts.ledger import Balance, Budget
from accounts.models import ApiKey, Price, User
from accounts.quotas import LimitState
from accounts.templatetags.plantain import remaining, usd
from gallery.screening.rules import refusal_of, screen
from gallery.screening.verdicts import Verdict
from generations import catalog, reusing, trial
from generations.brought import check_brought
from generations.errors import QueueFull, UpstreamUnavailable
from generations.models import Generation, Status
from generations.parents import find_parent
from generations.providers import breaker
from generations.providers.current import check_carried, providers_for
from generations.running import count_running
from generations.spec import GenerationSpec
from generations.trial import Trial

SHOWN_JOBS = 20
# How people call what a limit counts; one that is not here is called by its name.
COUNTED = {"images_per_day": "today's {limit} images", "images_per_month": "this month's {limit} images"}
RUNS = {"key": "runs of this API key", "site": "runs of everybody"}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One limit now and after the wish, which adds `adds` to it, or does not ask it at all."""

    state: LimitState
    adds: int
    is_asked: bool = True

    @property
    def used_after(self) -> int:
        return self.state.used + self.adds

    @property
    def is_refused(self) -> bool:
        """Whether the wish would pass the limit; one that it adds nothing to must have something left."""
        limit = self.state.limit
        return self.is_asked and limit is not None and self.state.used + max(self.adds, 1) > limit


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the wish would be refused now; `resolves_at` is when that ends by itself at the latest, if it does."""

    code: str
    message: str
    remedy: str
    resolves_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Price, balance, limits and holds as they are, and why the wish would be refused; amounts in micro-USD.

    `balance` has the month's credit that submit grants first; `budget` is that of the API key, if it has one.
    `reusable` is an earlier identical run; with `is_reused` it would answer, and the total is nothing.
    """

    spec: GenerationSpec
    price: Price
    balance: Balance
    budget: Budget | None
    effects: tuple[Effect, ...]
    jobs: Sequence[Generation]
    job_count: int
    reusable: Generation | None
    is_reused: bool
    wait_s: float
    verdict: Verdict  # of the prompt filter
    trial: Trial | None  # a guest's
    refusals: tuple[Refusal, ...]

    @property
    def total(self) -> int:
        return 0 if self.is_reused else self.price.amount_micros * self.spec.count

    @property
    def after(self) -> int:
        """What would be available afterwards; below zero when it is not enough."""
        return self.balance.available - self.total

    @property
    def is_enough(self) -> bool:
        return self.after >= 0


def quote(
    *,
    user: User,
    spec: GenerationSpec,
    api_key: ApiKey | None = None,
    reuse: bool = False,
    parent: UUID | None = None,
    look_for_earlier: bool = True,
    ignore_case: bool = False,
) -> Quote:
    """What the wish would cost this user now, asked for with this key. Raises as submit does for what cannot be sold:
    InvalidInput, RetiredModel and PriceUnknown.

    With `reuse` an earlier identical wish would answer it, as in submit. `ignore_case` finds also one whose text
    differs in case only, which is good enough for an offer.
    """
    catalog.askable_model(spec.model)
    trial.check_wish(user, spec)
    check_brought(user, spec, is_kept=False)
    find_parent(user, spec, named=parent)
    check_carried(spec)
    now = timezone.now()
    price = ledger.current_price(model=spec.model, size=spec.image_size, unit=spec.kind)
    jobs, job_count = unfinished_of(user)
    standing = quotas.standing_of(user, api_key=api_key, at=now)
    balance = ledger.balance_of(user)
    balance = replace(balance, available=balance.available + plans.due_credit(user=user, plan=standing.plan, at=now))
    budget = ledger.budgets_of([api_key], at=now).get(api_key.pk) if api_key else None
    reusable = reusing.find_reusable(user=user, spec=spec, ignore_case=ignore_case) if look_for_earlier else None
    is_reused = reuse and reusable is not None
    states = quotas.describe_standing(standing, running=count_running(standing), at=now)
    effects = tuple(_effect(state, spec.count, is_reused) for state in states)
    wait_s = breaker.wait_s(providers_for(spec), spec)
    verdict = screen(spec.texts())
    on_trial = trial.trial_of(user)
    total = 0 if is_reused else price.amount_micros * spec.count
    refusals = [_policy_refusal(verdict)] if verdict.blocking else []  # first, as in submit
    is_used_up = on_trial is not None and not on_trial.left
    if on_trial and is_used_up:
        refusals.append(_refusal(AccountNeeded, trial.used_up(on_trial.total), None))
    refusals += [_limit_refusal(effect) for effect in effects if effect.is_refused]
    if not is_reused and wait_s > 0:
        refusals.append(_refusal_while_away(wait_s, now))
    if not is_reused and Generation.objects.filter(status=Status.QUEUED).count() >= settings.QUEUE_LIMIT:
        refusals.append(_refusal(QueueFull, QueueFull.message, None))
    if total > balance.available and not is_used_up:  # that is said once
        refusals.append(_money_refusal(total, balance, jobs))
    if budget and total > budget.left:
        refusals.append(_budget_refusal(total, budget))
    return Quote(
        spec=spec,
        price=price,
        balance=balance,
        budget=budget,
        effects=effects,
        jobs=jobs,
        job_count=job_count,
        reusable=reusable,
        is_reused=is_reused,
        wait_s=wait_s,
        verdict=verdict,
        trial=on_trial,
        refusals=tuple(refusals),
    )


def unfinished_of(user: User) -> tuple[Sequence[Generation], int]:
    """The oldest unfinished jobs, each with its hold, and how many there are in all."""
    jobs = Generation.objects.unfinished().filter(user=user).annotate(of_all=Window(Count("pk")))
    shown = list(jobs.select_related("hold").defer("spec").order_by("pk")[:SHOWN_JOBS])
    return shown, shown[0].of_all if shown else 0


def _effect(state: LimitState, count: int, is_reused: bool) -> Effect:
    """What a wish for `count` pictures does to a limit; one that is answered with an earlier run is a request only."""
    if "requests" in state.name:
        return Effect(state=state, adds=1)
    if is_reused:
        return Effect(state=state, adds=0, is_asked=False)
    return Effect(state=state, adds=count if "images" in state.name else 1 if "concurrent" in state.name else 0)


def _policy_refusal(verdict: Verdict) -> Refusal:
    error = refusal_of(verdict)
    return Refusal(code=error.code, message=error.message, remedy=error.remedy)


def _limit_refusal(effect: Effect) -> Refusal:
    state = effect.state
    whose = f" {quotas.OWNERS[state.source]}" if state.source in RUNS else ""  # one's own needs no explanation
    starts_again = f" {_starts_again(state.resets_at)}" if state.resets_at else ""
    match state.measure:
        case "concurrent":
            runs = RUNS.get(state.source, "of your runs")
            message = f"{state.used} {runs} are unfinished, and {state.limit} at once are allowed."
            return _refusal(ConcurrencyLimit, f"{message} The next one can start when one of these ends.", None)
        case "requests_per_minute":
            message = f"You have sent the {state.limit} requests of this minute.{whose}{starts_again}"
            return _refusal(RateLimited, message, state.resets_at)
        case "storage_bytes":
            message = f"{state.used:,} of {state.limit:,} bytes of storage are used.{whose}"
            return _refusal(QuotaExceeded, message, None, remedy=quotas.STORAGE_REMEDY)
    counted = COUNTED[state.measure].format(limit=state.limit)
    used = f"{state.used} of {counted}" if state.remaining else counted
    message = f"Used are {used}" if whose else f"You have used {used}"
    message += f", and this asks for {effect.adds}." if state.remaining else "."
    return _refusal(QuotaExceeded, f"{message}{whose}{starts_again}", state.resets_at)


def _starts_again(at: datetime) -> str:
    return f"The count starts again at {at:%H:%M} UTC, in {remaining(at)}."


def _refusal_while_away(wait_s: float, now: datetime) -> Refusal:
    seconds = math.ceil(wait_s)
    return _refusal(UpstreamUnavailable, UpstreamUnavailable.message, now + timedelta(seconds=seconds))


def _money_refusal(total: int, balance: Balance, jobs: Sequence[Generation]) -> Refusal:
    frees_at = _enough_at(total - balance.available, jobs)
    if total <= balance.available + balance.held:
        there = balance.available + balance.held
        message = f"{usd(balance.held)} of your {usd(there)} is held by running work. This run needs {usd(total, 3)}."
        if frees_at:
            message += f" What is not used of it is free again by {frees_at:%H:%M} UTC at the latest."
    else:
        message = f"This needs {usd(total, 3)}, and {usd(balance.available)} is available."
    return _refusal(InsufficientCredit, message, frees_at)


def _budget_refusal(total: int, budget: Budget) -> Refusal:
    span = " this month" if budget.resets_at else ""
    message = f"This needs {usd(total, 3)}, and {usd(budget.left)} is left of what this API key may spend{span}."
    return _refusal(KeyBudgetExceeded, message, budget.resets_at)


def _enough_at(missing: int, jobs: Sequence[Generation]) -> datetime | None:
    """When the holds that end first come to what is missing, should they be given back; None when they never do."""
    held = [(job.hold.expires_at, job.hold.amount_micros) for job in jobs if job.hold and job.hold.expires_at]
    for frees_at, micros in sorted(held):
        missing -= micros
        if missing <= 0:
            return frees_at
    return None


def _refusal(
    error: type[ServiceError], message: str, resolves_at: datetime | None, *, remedy: str | None = None
) -> Refusal:
    return Refusal(code=error.code, message=message, remedy=remedy or error.remedy, resolves_at=resolves_at)
