"""The balance with the jobs that hold a part of it, and the limits: the ledger knows no jobs, so it is told here."""

from dataclasses import dataclass
from datetime import UTC, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import ledger, quotas, signup_credit
from accounts.periods import days_before
from accounts.quotas import LimitState
from accounts.usage import usage_of
from generations import quotes
from generations.models import Generation
from generations.views.access import person, signed_in
from generations.views.usage import DAYS, draw

NEARLY = 0.75
LIMIT_NAMES = {
    "images_per_day": "Pictures today",
    "images_per_month": "Pictures this month",
    "concurrent": "Running at once",
    "requests_per_minute": "API requests this minute",
    "storage_bytes": "Storage",
    "site_images_per_day": "Pictures today, everybody's",
    "site_images_per_month": "Pictures this month, everybody's",
    "site_concurrent": "Running at once, everybody's",
    "site_requests_per_minute": "API requests this minute, everybody's",
    "site_storage_bytes": "Storage, everybody's",
}


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One limit as a bar; `percent` is None when it is unlimited."""

    label: str
    state: LimitState

    @property
    def used(self) -> str:
        return self._in_words(self.state.used)

    @property
    def limit(self) -> str:
        return "" if self.state.limit is None else self._in_words(self.state.limit)

    def _in_words(self, figure: int) -> str:
        return filesizeformat(figure) if self.state.measure == "storage_bytes" else str(figure)

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
    """Balance with the credit that expires, holds and limits of the person."""
    user, now = person(request), timezone.now()
    balance = ledger.balance_of(user)
    jobs, running = quotes.unfinished_of(user)
    standing = quotas.standing_of(user, at=now)
    at_site = any(bound.source == "site" for bound in standing.of("concurrent"))
    counts = quotas.Running(user=running, site=Generation.objects.unfinished().count() if at_site else 0)
    limits = quotas.describe_standing(standing, running=counts, at=now)
    today = now.astimezone(UTC).date()
    used = usage_of(user, days_before(now, max(DAYS, today.day)))
    whole = max(1, balance.available + balance.held + balance.spent)
    context = {
        "balance": balance,
        "signup_credit": signup_credit.standing_of(user),
        "held_percent": round(100 * balance.held / whole, 2),
        "available_percent": round(100 * balance.available / whole, 2),
        "spent_this_month": used.since(today.replace(day=1)).spent,
        "month": now,
        "jobs": jobs,
        "unshown_jobs": running - len(jobs),
        "plan": standing.plan,
        "usage": draw(used.since(today - timedelta(days=DAYS - 1))),
        "meters": [Meter(label=LIMIT_NAMES[state.name], state=state) for state in limits],
    }
    return render(request, "generations/account.html", context)
