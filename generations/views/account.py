"""The balance with the jobs that hold a part of it, and the limits: the ledger knows no jobs, so it is told here."""

from dataclasses import dataclass
from datetime import UTC, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import ledger, quotas
from accounts.periods import days_before
from accounts.quotas import LimitState
from accounts.usage import usage_of
from generations import quotes
from generations.views.access import person, signed_in
from generations.views.usage import DAYS, draw

NEARLY = 0.75
LIMIT_NAMES = {
    "images_per_day": "Pictures today",
    "concurrent": "Running at once",
    "requests_per_minute": "API requests this minute",
}


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One limit as a bar; `percent` is None when it is unlimited."""

    label: str
    state: LimitState

    @property
    def percent(self) -> int | None:
        if self.state.limit is None:
            return None
        return min(100, round(100 * self.state.used / self.state.limit)) if self.state.limit else 100

    @property
    def is_full(self) -> bool:
        return self.state.remaining == 0

    @property
    def is_near(self) -> bool:
        return self.is_full or (self.percent is not None and self.percent >= 100 * NEARLY)


@never_cache
@signed_in
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Balance, holds and limits of the person."""
    user, now = person(request), timezone.now()
    balance = ledger.balance_of(user)
    jobs, running = quotes.unfinished_of(user)
    limits = quotas.describe_limits(user=user, running=running, at=now)
    today = now.astimezone(UTC).date()
    used = usage_of(user, days_before(now, max(DAYS, today.day)))
    whole = max(1, balance.available + balance.held + balance.spent)
    context = {
        "balance": balance,
        "held_percent": round(100 * balance.held / whole, 2),
        "available_percent": round(100 * balance.available / whole, 2),
        "spent_this_month": used.since(today.replace(day=1)).spent,
        "month": now,
        "jobs": jobs,
        "unshown_jobs": running - len(jobs),
        "plan": user.plan,
        "usage": draw(used.since(today - timedelta(days=DAYS - 1))),
        "meters": [Meter(label=LIMIT_NAMES[state.name], state=state) for state in limits],
    }
    return render(request, "generations/account.html", context)
